extends "res://lib/case.gd"

const SIZES = [1, 1000, 16383, 16384, 16385, 60000]
const TIMEOUT = 10.0

var _client = WebSocketClient.new()
var _failed = false
var _has_id = false


func run():
	_client.connect("connection_failed", self, "_on_failed")
	_client.connect("connection_succeeded", self, "_on_succeeded")
	connect("idle_frame", _client, "poll")
	yield(_works("server", true), "completed")
	yield(_works("", false), "completed")
	yield(_is_refused("localhost", "stranger"), "completed")
	yield(_is_refused("localhost", ""), "completed")
	yield(_is_refused("127.0.0.1", "server"), "completed")
	var trusted = "server"
	var successes = 3
	if args["server"] == "ours":
		_connect("localhost", "server", true)
		yield(_echoes("replace".to_utf8()), "completed")
		_client.disconnect_from_host()
		yield(until(self, "_is_closed", [], TIMEOUT, "end"), "completed")
		yield(_works("second", true), "completed")
		yield(_is_refused("localhost", "server"), "completed")
		trusted = "second"
		successes += 2
	_connect("localhost", trusted, true)
	yield(_echoes(("end %d" % successes).to_utf8()), "completed")
	_client.disconnect_from_host()
	yield(until(self, "_is_closed", [], TIMEOUT, "end"), "completed")


func _connect(host, trusted, verify):
	_failed = false
	_has_id = false
	_client.verify_ssl = verify
	_client.trusted_ssl_certificate = null
	if trusted != "":
		var certificate = X509Certificate.new()
		check_eq(certificate.load("%s/%s.crt" % [args["scratch"], trusted]), OK, "certificate")
		_client.trusted_ssl_certificate = certificate
	var url = "wss://%s:%d" % [host, port]
	check_eq(_client.connect_to_url(url, PoolStringArray(), true), OK, "connect_to_url")


func _works(trusted, verify):
	_connect("localhost", trusted, verify)
	for size in SIZES:
		var packet = PoolByteArray()
		packet.resize(size)
		packet.fill(size & 255)
		yield(_echoes(packet), "completed")
	_client.disconnect_from_host()
	yield(until(self, "_is_closed", [], TIMEOUT, "end"), "completed")


func _echoes(packet):
	yield(until(self, "_is_in", [], TIMEOUT, "connection"), "completed")
	_client.set_target_peer(1)
	check_eq(_client.put_packet(packet), OK, "sending")
	yield(until(self, "_has_packet", [], TIMEOUT, "echo"), "completed")
	check(_client.get_packet() == packet, "echo of %d bytes" % packet.size())


func _is_refused(host, trusted):
	_connect(host, trusted, true)
	yield(until(self, "_is_closed", [], TIMEOUT, "refusal"), "completed")
	check(_failed, "connection_failed")


func _is_in():
	return _has_id


func _has_packet():
	return _client.get_available_packet_count() > 0


func _is_closed():
	return _client.get_connection_status() == NetworkedMultiplayerPeer.CONNECTION_DISCONNECTED


func _on_failed():
	_failed = true


# The status is "connected" before the id is there.
func _on_succeeded():
	_has_id = true
