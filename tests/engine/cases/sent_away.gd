# A server sends a client away in its peer_connected. The client that hears of both in one poll was in the game: its MultiplayerAPI emits
# server_disconnected, not connection_failed, and the code and the reason are there.
# processes: main
# timeout: 30
extends "res://lib/case.gd"

const TIMEOUT := 10.0
## The client's thread has received everything by then; its poll sees all of it at once.
const BLINK_MSEC := 300

var _server := WebSocketServer.new()
var _sent_away := 0
var _events: Array[String] = []


func run() -> void:
	_server.peer_connected.connect(_send_away)
	for client: MultiplayerPeer in [
		WebSocketClient.new(), ClassDB.instantiate(&"BufferedWebSocketMultiplayerPeer")
	]:
		await _banned(client)


func _banned(client: MultiplayerPeer) -> void:
	_events.clear()
	var what := client.get_class()
	_sent_away = 0
	check_eq(_server.listen(0, PackedStringArray(), true), OK, "listen")
	var url := "ws://127.0.0.1:%d" % _server.get_local_port()
	var error: int = (
		client.connect_to_url(url, PackedStringArray(), true)
		if client is WebSocketClient
		else client.create_client(url)
	)
	check_eq(error, OK, what)
	var api := SceneMultiplayer.new()
	api.connected_to_server.connect(func() -> void: _events.append("connected"))
	api.connection_failed.connect(func() -> void: _events.append("failed"))
	api.server_disconnected.connect(func() -> void: _events.append("server gone"))
	api.peer_connected.connect(func(id: int) -> void: _events.append("joined %d" % id))
	api.peer_disconnected.connect(func(id: int) -> void: _events.append("left %d" % id))
	api.multiplayer_peer = client
	var is_sent_away := func() -> bool:
		_server.poll()
		return _sent_away > 0
	await until(is_sent_away, TIMEOUT, what + " is sent away")
	OS.delay_msec(BLINK_MSEC)
	api.poll()
	check_eq(client.get_connection_status(), MultiplayerPeer.CONNECTION_CONNECTED, what)
	var joined: Array[String] = ["connected", "joined 1"]
	check_eq(_events, joined, what + ", first poll")
	api.poll()
	check_eq(client.get_connection_status(), MultiplayerPeer.CONNECTION_DISCONNECTED, what)
	check_eq(_events, joined + ["left 1", "server gone"] as Array[String], what + ", second poll")
	check_eq([client.get_close_code(), client.get_close_reason()], [4001, "banned"], what)
	api.multiplayer_peer = null
	_server.stop()


func _send_away(id: int) -> void:
	_sent_away = id
	_server.disconnect_peer(id, 4001, "banned")
