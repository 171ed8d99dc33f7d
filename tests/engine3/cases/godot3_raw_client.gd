extends "res://lib/case.gd"

const TEXTS = ["echo", "grüße, 世界 🙂", "x"]
const SIZES = [1, 125, 126, 127, 4096, 65535]
const VALUES = ["niño", 7, -(1 << 40), 2.5, true, Vector2(1, -2)]
const TIMEOUT = 10.0

var _events = []
var _client = WebSocketClient.new()


func run():
	_client.connect("connection_established", self, "_on_established")
	_client.connect("connection_closed", self, "_on_closed")
	_client.connect("connection_error", self, "_on_error")
	_client.connect("server_close_request", self, "_on_close_request")
	connect("idle_frame", _client, "poll")

	# 3.6 reports its own goodbye as unclean.
	yield(_open(["bridge", "go"]), "completed")
	yield(_sees([["connected", "go"]], "first connection"), "completed")
	yield(_exchange(), "completed")
	_client.disconnect_from_host(4001, "adiós")
	yield(_sees([["disconnected", false]], "first connection's end"), "completed")

	yield(_open(["chess", "go"]), "completed")
	_say("close me")
	var closed = [["connected", "chess"], ["close", 4002, "geh, schöner Gast"], ["disconnected", true]]
	yield(_sees(closed, "second connection"), "completed")

	yield(_open(["go"]), "completed")
	_client.get_peer(1).close(4003, "by handle")
	yield(_sees([["connected", "go"], ["disconnected", false]], "third connection"), "completed")
	yield(_open(["go"]), "completed")
	_say("close me by handle")
	var by_handle = [["connected", "go"], ["close", 4004, "by handle"], ["disconnected", true]]
	yield(_sees(by_handle, "fourth connection"), "completed")

	for protocols in [["bridge"], []]:
		yield(_open(protocols), "completed")
		yield(_sees([["error"]], "connection with the protocols %s" % [protocols]), "completed")

	yield(_open(["go"]), "completed")
	var end = [["connected", "go"], ["close", 1001, ""], ["disconnected", true]]
	yield(_sees(end, "last connection"), "completed")


func _open(protocols):
	var url = "ws://127.0.0.1:%d" % port
	check_eq(_client.connect_to_url(url, PoolStringArray(protocols)), OK, "connect_to_url")
	var message = "an answer to %s" % [protocols]
	yield(until(self, "_has_events", [1], TIMEOUT, message), "completed")


func _say(text):
	var peer = _client.get_peer(1)
	peer.set_write_mode(WebSocketPeer.WRITE_MODE_TEXT)
	check_eq(peer.put_packet(text.to_utf8()), OK, "saying %s" % text)


# Text and binary, both echoed as what they were, and values.
func _exchange():
	var peer = _client.get_peer(1)
	for text in TEXTS:
		_say(text)
		yield(_wait_for_packet("echo of a text"), "completed")
		check_eq(peer.get_packet().get_string_from_utf8(), text, "echo of a text")
		check(peer.was_string_packet(), "the echo of a text is text")
	for size in SIZES:
		var message = PoolByteArray()
		message.resize(size)
		message.fill(size & 255)
		peer.set_write_mode(WebSocketPeer.WRITE_MODE_BINARY)
		check_eq(peer.put_packet(message), OK, "sending %d bytes" % size)
		yield(_wait_for_packet("echo of %d bytes" % size), "completed")
		check(peer.get_packet() == message, "echo of %d bytes" % size)
		check(not peer.was_string_packet(), "the echo of bytes is no text")
	_say("values")
	peer.set_write_mode(WebSocketPeer.WRITE_MODE_BINARY)
	for value in VALUES:
		check_eq(peer.put_var(value), OK, "put_var")
		yield(_wait_for_packet("value"), "completed")
		check_eq(peer.get_var(), value, "value that came back")


func _wait_for_packet(what):
	yield(until(self, "_has_packet", [], TIMEOUT, what), "completed")


func _has_packet():
	return _client.get_peer(1).get_available_packet_count() > 0


func _sees(expected, what):
	yield(until(self, "_has_events", [expected.size()], TIMEOUT, what), "completed")
	check_eq(_events.slice(0, expected.size() - 1), expected, what)
	for event in expected:
		_events.pop_front()


func _has_events(count):
	return _events.size() >= count


func _on_established(protocol):
	_events.append(["connected", protocol])


func _on_closed(was_clean):
	_events.append(["disconnected", was_clean])


func _on_error():
	_events.append(["error"])


func _on_close_request(code, reason):
	_events.append(["close", code, reason])
