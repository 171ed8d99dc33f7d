class_name PackageTry
extends SceneTree
# All four classes in a project that has nothing but the addon. The exit code says how it went.

var _port := int(OS.get_cmdline_user_args()[0])
# Members, because a function that holds the object whose signal it is connected to keeps it for ever.
var _server: WebSocketServer
var _client: WebSocketClient
var _heard: Array[String] = []


func _initialize() -> void:
	OS.low_processor_usage_mode_sleep_usec = 1
	var good := await _raw() and await _multiplayer(0)
	if not OS.is_debug_build():
		good = await _is_lean() and good
	if not good:
		printerr("ERROR: the addon does not work")
	quit(0 if good else 1)


func _raw() -> bool:
	_server = WebSocketServer.new()
	_client = WebSocketClient.new()
	_server.data_received.connect(_answer)
	_client.connection_established.connect(
		func(_protocol: String) -> void: _client.get_peer(1).send_text("hello")
	)
	_client.data_received.connect(func() -> void: _hear(_client.get_peer(1)))
	if _server.listen(_port) != OK or _client.connect_to_url("ws://127.0.0.1:%d" % _port) != OK:
		return false
	var good := await _until(
		func() -> bool:
			_server.poll()
			_client.poll()
			return _heard.size() == 2
	)
	_client.close()
	_server.stop()
	_client = null
	_server = null
	return good and _heard == ["hello", "welcome"]


func _answer(id: int) -> void:
	var peer: BufferedWebSocketPeer = _server.get_peer(id)
	_hear(peer)
	peer.send_text("welcome")


func _hear(peer: BufferedWebSocketPeer) -> void:
	_heard.append(peer.get_packet().get_string_from_utf8())


## A release export simulates no bad network, and adds no monitors.
func _is_lean() -> bool:
	var started := Time.get_ticks_msec()
	var good := await _multiplayer(3000) and Time.get_ticks_msec() - started < 3000
	var names := Performance.get_custom_monitor_names()
	return (
		good
		and not names.any(func(name: StringName) -> bool: return "websocket" in name.to_lower())
	)


func _multiplayer(latency: int) -> bool:
	var server := BufferedWebSocketMultiplayerPeer.new()
	var client := BufferedWebSocketMultiplayerPeer.new()
	client.simulate_latency_msec = latency
	if server.create_server(_port) != OK or client.create_client("ws://127.0.0.1:%d" % _port) != OK:
		return false
	var sent := PackedByteArray([0, 1, 2, 255])
	var state := {"sent": false}
	var good := await _until(
		func() -> bool:
			server.poll()
			client.poll()
			if client.get_connection_status() != MultiplayerPeer.CONNECTION_CONNECTED:
				return false
			if not state.sent:
				client.set_target_peer(1)
				state.sent = client.put_packet(sent) == OK
			return server.get_available_packet_count() == 1
	)
	good = (
		good and server.get_packet_peer() == client.get_unique_id() and server.get_packet() == sent
	)
	client.close()
	server.close()
	return good


func _until(condition: Callable) -> bool:
	var end := Time.get_ticks_msec() + 20_000
	while not condition.call():
		if Time.get_ticks_msec() > end:
			return false
		await process_frame
	return true
