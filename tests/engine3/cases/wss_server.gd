extends "res://lib/case.gd"

var _server = WebSocketServer.new()
var _connected = 0
var _disconnected = 0
# The client's last message: how often it has connected.
var _expected = -1


func run():
	var crypto = Crypto.new()
	var key = crypto.generate_rsa(2048)
	var certificate = _certificate(crypto, key)
	certificate.save(args["scratch"] + "/server.crt")
	_certificate(crypto, crypto.generate_rsa(2048)).save(args["scratch"] + "/stranger.crt")
	_server.private_key = key
	_server.ssl_certificate = certificate
	_server.connect("peer_connected", self, "_on_connected")
	_server.connect("peer_disconnected", self, "_on_disconnected")
	check_eq(_server.listen(port, PoolStringArray(), true), OK, "listen")
	connect("idle_frame", self, "_on_frame")
	ready_line()
	yield(until(self, "_is_over", [], 40.0, "the client's end"), "completed")
	check_eq(_connected, _expected, "those who got in")
	_server.stop()


func _certificate(crypto, key):
	return crypto.generate_self_signed_certificate(key, "CN=localhost,O=Tests,C=XX")


func _on_frame():
	if not _server.is_listening():
		return
	_server.poll()
	while _server.get_available_packet_count() > 0:
		var sender = _server.get_packet_peer()
		var packet = _server.get_packet()
		var text = packet.get_string_from_ascii() if packet.size() < 20 else ""
		if text.begins_with("end "):
			_expected = int(text.trim_prefix("end "))
		_server.set_target_peer(sender)
		check_eq(_server.put_packet(packet), OK, "echo of %d bytes" % packet.size())


func _is_over():
	return _disconnected == _expected


func _on_connected(_id):
	_connected += 1


func _on_disconnected(_id):
	_disconnected += 1
