# An object is closed and opened again in one frame: peer_disconnected is emitted for all old peers, including relayed ones, before the
# first new peer connects.
# processes: main
# timeout: 60
# expect: ^ERROR: WebSocketServer\.put_packet\(\): there is no peer \d+
# expect: ^ERROR: BufferedWebSocketMultiplayerPeer\.put_packet\(\): there is no peer \d+
extends "res://lib/case.gd"

const TIMEOUT := 20.0

## The addon's objects, and the MultiplayerAPI of each.
var _apis := {}
## The same -> the signals of its API, and the handles of the disconnected peers.
var _told := {}
var _handles := {}


func run() -> void:
	for classes: Array in [
		["WebSocketServer", "WebSocketClient"],
		["BufferedWebSocketMultiplayerPeer", "BufferedWebSocketMultiplayerPeer"],
	]:
		var first := _server(classes[0])
		var second := _server(classes[0])
		var stays := _client(classes[1], first)
		var changes := _client(classes[1], first)
		await _all_in(changes, 2)
		await _all_in(stays, 2)
		await _a_client_goes_elsewhere(changes, stays, second)
		await _a_server_starts_anew(first, stays)
		for peer: MultiplayerPeer in _apis:
			peer.close()
			_apis[peer].multiplayer_peer = null
			_told[peer].clear()
			_handles[peer].clear()
		_apis.clear()


func _a_client_goes_elsewhere(client: Object, other: Object, to: Object) -> void:
	var relayed: int = other.get_unique_id()
	_told[client].clear()
	client.close()
	_connect(client, to)
	_apis[client].poll()
	var left := ["left %d" % relayed, "left 1"]
	check_eq(_told[client].slice(0, 2), left, "disconnects in the client's API")
	# The new server may have answered before that poll.
	var joined: int = _told[client].size() - 2
	check_eq(_apis[client].get_peers().size(), joined, "ghosts in the client's API")
	check_eq(_handles[client][-1], [3, -1], "the handle of the server that was")
	check_eq(client.get_peer(1).get_ready_state(), joined, "the handle of the server to be")
	await _all_in(client, 1)
	check_eq(_told[client].slice(2), ["joined 1"], "what came then")
	check_eq(client.get_peer(1).get_ready_state(), 1, "it is connected")


func _a_server_starts_anew(server: Object, client: Object) -> void:
	var id: int = client.get_unique_id()
	await until(
		func() -> bool: return _polled() and _apis[server].get_peers().size() == 1, TIMEOUT, "one"
	)
	_told[server].clear()
	var port_before: int = server.get_meta("port")
	server.close()
	_listen(server, port_before)
	server.set_target_peer(id)
	check_eq(server.put_packet(PackedByteArray([1])), OK, "a packet to one whose end is untold")
	_apis[server].poll()
	check_eq(_told[server], ["left %d" % id], "disconnects in the server's API")
	check_eq(_apis[server].get_peers().size(), 0, "ghosts in the server's API")
	check_eq(_handles[server][-1], [3, -1], "the handle of the client that was")
	check_eq(
		server.put_packet(PackedByteArray([1])), ERR_INVALID_PARAMETER, "an unknown peer by now"
	)


func _server(type: String) -> Object:
	var server := _made(type)
	# Any free port cannot be asked of both classes for its number.
	var tcp := TCPServer.new()
	check_eq(tcp.listen(0, "127.0.0.1"), OK, "a free port")
	var free := tcp.get_local_port()
	tcp.stop()
	server.set_meta("port", free)
	_listen(server, free)
	_apis[server].multiplayer_peer = server
	return server


func _client(type: String, to: Object) -> Object:
	var client := _made(type)
	_connect(client, to)
	_apis[client].multiplayer_peer = client
	return client


func _listen(server: Object, at: int) -> void:
	if server is WebSocketServer:
		check_eq(server.listen(at, PackedStringArray(), true), OK, "listen()")
	else:
		check_eq(server.create_server(at), OK, "create_server()")


func _connect(client: Object, to: Object) -> void:
	var url := "ws://127.0.0.1:%d" % to.get_meta("port")
	if client is WebSocketClient:
		check_eq(client.connect_to_url(url, PackedStringArray(), true), OK, "connect_to_url()")
	else:
		check_eq(client.create_client(url), OK, "create_client()")


func _made(type: String) -> Object:
	var peer: MultiplayerPeer = ClassDB.instantiate(type)
	peer.handshake_timeout = TIMEOUT
	var api := SceneMultiplayer.new()
	_apis[peer] = api
	_told[peer] = []
	_handles[peer] = []
	api.peer_connected.connect(func(id: int) -> void: _told[peer].append("joined %d" % id))
	api.peer_disconnected.connect(
		func(id: int) -> void:
			_told[peer].append("left %d" % id)
			if peer.get_unique_id() == 1 or id == 1:
				var handle: Object = peer.get_peer(id)
				_handles[peer].append([handle.get_ready_state(), handle.get_close_code()])
	)
	return peer


func _polled() -> bool:
	for peer: MultiplayerPeer in _apis:
		_apis[peer].poll()
	return true


func _all_in(client: Object, peers: int) -> void:
	await until(
		func() -> bool: return _polled() and _apis[client].get_peers().size() == peers,
		TIMEOUT,
		"%d peers" % peers
	)
