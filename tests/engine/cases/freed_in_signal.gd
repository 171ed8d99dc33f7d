# The last reference to a server is dropped inside a signal of another object, on this thread or on another one. Its port is free
# afterwards.
# processes: main
extends "res://lib/case.gd"

const TIMEOUT := 20.0

var _box: Array = []
var _port := 0
var _code := -1


func run() -> void:
	# A line that waits would bring the library to look for what waits with it.
	ProjectSettings.set_setting("network/websocket/log_level", 0)
	await _on_this_thread()
	await _on_another_thread()


## As a game does whose player becomes the host.
func _on_this_thread() -> void:
	var server := WebSocketServer.new()
	await _in_a_signal_of(
		server,
		func() -> void:
			_box.clear()
			var next := WebSocketServer.new()
			_code = next.listen(_port)
	)
	check_eq(_code, OK, "listen() on the port of a freed server")


## What else is called inside of the signal comes before the call whose end the server could wait for.
func _on_another_thread() -> void:
	var server := WebSocketServer.new()
	await _in_a_signal_of(
		server,
		func() -> void:
			var thread := Thread.new()
			thread.start(func() -> void: _box.clear())
			thread.wait_to_finish()
			server.get_statistics()
	)
	check(_box.is_empty(), "freed")
	var probe := TCPServer.new()
	await until(
		func() -> bool: return probe.listen(_port, "127.0.0.1") == OK, TIMEOUT, "the port is free"
	)


func _in_a_signal_of(server: WebSocketServer, deed: Callable) -> void:
	_box = [WebSocketServer.new()]
	check_eq(_box[0].listen(0), OK, "listen")
	_port = _box[0].get_local_port()
	var client := WebSocketClient.new()
	var done := [false]
	server.peer_connected.connect(
		func(_id: int) -> void:
			deed.call()
			done[0] = true,
		CONNECT_ONE_SHOT
	)
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listen")
	var url := "ws://127.0.0.1:%d" % server.get_local_port()
	check_eq(client.connect_to_url(url, PackedStringArray(), true), OK, "connect")
	await until(
		func() -> bool:
			server.poll()
			client.poll()
			return done[0],
		TIMEOUT,
		"the signal"
	)
	server.close()
	client.close()
