extends "res://lib/case.gd"

const VALUES = 6
const TIMEOUT = 10.0

var _events = []
var _server = WebSocketServer.new()
# How many of the next packets are values.
var _values = 0


func run():
	_server.connect("client_connected", self, "_on_connected")
	_server.connect("client_disconnected", self, "_on_disconnected")
	_server.connect("client_close_request", self, "_on_close_request")
	_server.connect("data_received", self, "_echo")
	check_eq(_server.listen(port, PoolStringArray(["chess", "go"])), OK, "listen")
	connect("idle_frame", _server, "poll")
	ready_line()

	# The connections are those of tests/engine/cases/godot3_raw.gd.
	var first = [["connected", "go"], ["close", 4001, "adiós"], ["disconnected", true]]
	yield(_sees(first, "first connection"), "completed")
	# 3.6 reports an end that it began itself as unclean.
	yield(_sees([["connected", "chess"], ["disconnected", false]], "second connection"), "completed")
	var third = [["connected", "go"], ["close", 4003, "by handle"], ["disconnected", true]]
	yield(_sees(third, "third connection"), "completed")
	yield(_sees([["connected", "go"], ["disconnected", false]], "fourth connection"), "completed")
	yield(_sees([["connected", "go"]], "last connection"), "completed")
	_server.stop()


func _echo(id):
	var peer = _server.get_peer(id)
	while peer.get_available_packet_count() > 0:
		if _values > 0:
			_values -= 1
			peer.set_write_mode(WebSocketPeer.WRITE_MODE_BINARY)
			check_eq(peer.put_var(peer.get_var()), OK, "value back")
			continue
		var packet = peer.get_packet()
		var text = packet.get_string_from_utf8() if peer.was_string_packet() else ""
		if text == "close me":
			_server.disconnect_peer(id, 4002, "geh, schöner Gast")
			return
		if text == "close me by handle":
			peer.close(4004, "by handle")
			return
		var is_text = peer.was_string_packet()
		peer.set_write_mode(
			WebSocketPeer.WRITE_MODE_TEXT if is_text else WebSocketPeer.WRITE_MODE_BINARY
		)
		if text == "values":
			_values = VALUES
			continue
		if packet.size() == 0:
			packet = "empty".to_utf8()
		check_eq(peer.put_packet(packet), OK, "echo of %d bytes" % packet.size())


func _on_connected(_id, protocol):
	_events.append(["connected", protocol])


func _on_disconnected(_id, was_clean):
	_events.append(["disconnected", was_clean])


func _on_close_request(_id, code, reason):
	_events.append(["close", code, reason])


func _sees(expected, what):
	yield(until(self, "_has_events", [expected.size()], TIMEOUT, what), "completed")
	check_eq(_events.slice(0, expected.size() - 1), expected, what)
	for event in expected:
		_events.pop_front()


func _has_events(count):
	return _events.size() >= count
