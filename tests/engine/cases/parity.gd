# Our class and the engine's own WebSocketMultiplayerPeer behave alike at the beginning and the end of a connection: the handle of a
# server while the client connects, the handle of a disconnected peer, sending to a lost peer.
# The variant `web` compares the script of a web export, as a client of the engine's class.
# processes: main
# variant: addon
# variant: web web=main scripts=web
# timeout: 90
# expect: ^ERROR: BufferedWebSocketMultiplayerPeer\.(get_peer|put_packet)\(\): .+\.$
# expect@addon: ^ERROR: BufferedWebSocketPeer\.send_text\(\): not connected\.
# expect: ^ERROR: Condition "(!peers_map\.has|tcp\.is_null|ready_state != STATE_OPEN|get_connection_status).*" is true
extends "res://lib/case.gd"

const Peers := preload("res://lib/peers.gd")
const TIMEOUT := 20.0
const CONNECTED := MultiplayerPeer.CONNECTION_CONNECTED
const CONNECTING := MultiplayerPeer.CONNECTION_CONNECTING
const DISCONNECTED := MultiplayerPeer.CONNECTION_DISCONNECTED

var _kind := ""
var _server: Object
var _client: Object
var _id := 0
var _told: Array = []


func run() -> void:
	var is_web := args.has("scripts")
	for kind: String in ["WebSocketMultiplayerPeer", "BufferedWebSocketMultiplayerPeer"]:
		_kind = kind
		await _while_connecting()
		await _given_up_while_connecting()
		await _nobody_there()
		await _gone()
		await _lost()
	if not is_web:
		await _raw_mode()


func _while_connecting() -> void:
	_serve()
	var url := "ws://127.0.0.1:%d" % port
	check_eq(_client.create_client(url), OK, "create_client()")
	var handle: Object = _client.get_peer(1)
	check(handle != null, _kind + ": there is a handle at once")
	check_eq(handle.get_ready_state(), 0, _kind + ": CONNECTING")
	check_eq(handle.get_requested_url(), url, _kind + ": no slash was added")
	check_eq(handle.get_connected_host(), "127.0.0.1", _kind + ": host")
	check_eq(handle.get_connected_port(), port, _kind + ": port")
	check_eq(handle.get_selected_protocol(), "", _kind + ": protocol")
	check_eq(handle.get_close_code(), -1, _kind + ": close code")
	check_eq(handle.get_available_packet_count(), 0, _kind + ": packets")
	check_eq(handle.get_current_outbound_buffered_amount(), 0, _kind + ": nothing waits")
	check_eq(_client.get_peer_address(1), "127.0.0.1", _kind + ": address")
	check_eq(_client.put_packet(PackedByteArray([1])), ERR_UNCONFIGURED, _kind + ": put_packet()")
	handle.heartbeat_interval = 3
	handle.set_no_delay(true)
	await _pair()
	check(_client.get_peer(1) == handle, _kind + ": the same handle")
	check_eq(handle.get_ready_state(), 1, _kind + ": OPEN")
	check_eq(float(handle.heartbeat_interval), 3.0, _kind + ": what was set before")
	check_eq(handle.get_requested_url(), url, _kind + ": the URL as it was given")
	check_eq(_server.get_peer(_id).get_requested_url(), url + "/", _kind + ": as it was asked for")
	_end()


func _given_up_while_connecting() -> void:
	for way: String in ["close", "disconnect_peer"]:
		_serve()
		check_eq(_client.create_client("ws://127.0.0.1:%d" % port), OK, "create_client()")
		var handle: Object = _client.get_peer(1)
		if way == "close":
			handle.close()
		else:
			_client.disconnect_peer(1)
		check_eq(handle.get_ready_state(), 3, "%s: CLOSED after %s()" % [_kind, way])
		check_eq(_client.get_connection_status(), CONNECTING, "%s: until poll()" % _kind)
		await _until_status(DISCONNECTED)
		check_eq(_told, [], "%s: peers after %s()" % [_kind, way])
		_end()


func _nobody_there() -> void:
	_serve()
	_server.close()
	check_eq(_client.create_client("ws://127.0.0.1:%d" % port), OK, "create_client()")
	var handle: Object = _client.get_peer(1)
	await _until_status(DISCONNECTED)
	check_eq(handle.get_ready_state(), 3, _kind + ": CLOSED")
	check_eq(handle.get_close_code(), -1, _kind + ": close code of a failed connection")
	check(_client.get_peer(1) == null, _kind + ": no handle any more")
	_end()


func _gone() -> void:
	_serve()
	check_eq(_client.create_client("ws://127.0.0.1:%d" % port), OK, "create_client()")
	await _pair()
	_told.clear()
	_client.get_peer(1).close(4001, "so long")
	var both := func() -> bool:
		_server.poll()
		_client.poll()
		return _told.size() == 2
	await until(both, TIMEOUT, _kind + ": disconnects on both sides")
	for end: Array in [["server", _id], ["client", 1]]:
		check(end + [3, 4001, "so long"] in _told, "%s: %s in %s" % [_kind, end, _told])
	check(_server.get_peer(_id) == null, _kind + ": no handle afterwards")
	check(_client.get_peer(1) == null, _kind + ": no handle afterwards")
	_end()


## A client refuses packets to a lost connection. A server sends to one peer after the other, and continues.
func _lost() -> void:
	_serve()
	check_eq(_client.create_client("ws://127.0.0.1:%d" % port), OK, "create_client()")
	await _pair()
	var handle: Object = _client.get_peer(1)
	_server.set_target_peer(_id)
	_client.set_target_peer(1)
	_server.get_peer(_id).close(-1)
	check_eq(_server.put_packet(PackedByteArray([1])), OK, _kind + ": a server goes on")
	_server.set_target_peer(0)
	check_eq(_server.put_packet(PackedByteArray([1])), OK, _kind + ": to everybody")
	handle.close()
	check(handle.get_ready_state() >= 2, _kind + ": CLOSING or CLOSED")
	check_eq(_client.get_connection_status(), CONNECTED, _kind + ": until poll()")
	check_eq(_client.put_packet(PackedByteArray([1])), FAILED, _kind + ": it is refused")
	await _until_status(DISCONNECTED)
	check_eq(_client.put_packet(PackedByteArray([1])), ERR_UNCONFIGURED, _kind + ": afterwards")
	_end()


func _raw_mode() -> void:
	var server := WebSocketServer.new()
	var client := WebSocketClient.new()
	var told: Array = []
	var seen := func(who: String, handle: BufferedWebSocketPeer) -> void:
		told.append([who, handle.get_ready_state(), handle.get_close_code()])
	var ids: Array[int] = []
	server.client_connected.connect(func(id: int, _protocol: String) -> void: ids.append(id))
	server.client_disconnected.connect(
		func(id: int, _clean: bool) -> void: seen.call("server", server.get_peer(id))
	)
	client.connection_closed.connect(
		func(_clean: bool) -> void: seen.call("client", client.get_peer(1))
	)
	client.connection_error.connect(func() -> void: seen.call("error", client.get_peer(1)))
	check_eq(server.listen(0), OK, "listen()")
	check_eq(client.connect_to_url("ws://127.0.0.1:%d" % server.get_local_port()), OK, "a URL")
	var handle := client.get_peer(1)
	check_eq(handle.send_text("too early"), FAILED, "a message before there is a connection")
	var poll := func() -> void:
		server.poll()
		client.poll()
	var paired := func() -> bool:
		poll.call()
		return not ids.is_empty() and client.get_connection_status() == CONNECTED
	await until(paired, TIMEOUT, "a pair")
	server.get_peer(ids[0]).set_write_mode(BufferedWebSocketPeer.WRITE_MODE_TEXT)
	var here := server.get_peer(ids[0])
	server.disconnect_peer(ids[0], 4002)
	var over := func() -> bool:
		poll.call()
		return told.size() == 2
	await until(over, TIMEOUT, "disconnects on both sides")
	told.sort()
	check_eq(told, [["client", 3, 4002], ["server", 3, 4002]], "states of the handles")
	check_eq(here.get_close_code(), 4002, "the handle that was kept")
	told.clear()
	check_eq(client.connect_to_url("ws://127.0.0.1:%d" % server.get_local_port()), OK, "again")
	client.get_peer(1).close()
	var failed := func() -> bool:
		poll.call()
		return told.size() == 1
	await until(failed, TIMEOUT, "it was given up")
	check_eq(told, [["error", 3, -1]], "what the handle says of a connection that never was")
	server.stop()
	# Both are in handlers of their own.
	for one: Object in [server, client]:
		for own in ClassDB.class_get_signal_list(one.get_class(), true):
			for connection in one.get_signal_connection_list(own.name):
				one.disconnect(own.name, connection.callable)


func _serve() -> void:
	# A web export has no server.
	_server = _made("WebSocketMultiplayerPeer" if args.has("scripts") else _kind)
	_client = _made(_kind)
	_server.handshake_timeout = TIMEOUT
	_client.handshake_timeout = TIMEOUT
	_told = []
	_id = 0
	_server.peer_connected.connect(func(id: int) -> void: _id = id)
	_client.peer_connected.connect(func(id: int) -> void: _told.append(["in", id]))
	_server.peer_disconnected.connect(_note.bind("server", _server))
	_client.peer_disconnected.connect(_note.bind("client", _client))
	check_eq(_server.create_server(port, "127.0.0.1"), OK, "create_server()")


func _made(kind: String) -> Object:
	if ClassDB.class_exists(kind):
		return ClassDB.instantiate(kind)
	return Peers.script_of(kind).new()


func _note(id: int, who: String, peer: Object) -> void:
	var handle: Object = peer.get_peer(id)
	var state: int = handle.get_ready_state()
	_told.append([who, id, state, handle.get_close_code(), handle.get_close_reason()])


func _pair() -> void:
	var paired := func() -> bool:
		_server.poll()
		_client.poll()
		return _id != 0 and _client.get_connection_status() == CONNECTED
	await until(paired, TIMEOUT, _kind + ": a pair")


func _until_status(status: MultiplayerPeer.ConnectionStatus) -> void:
	var reached := func() -> bool:
		_server.poll()
		_client.poll()
		return _client.get_connection_status() == status
	await until(reached, TIMEOUT, "%s: status %d" % [_kind, status])


func _end() -> void:
	# Both refer to this object and it to them.
	_client.close()
	_server.close()
	_client = null
	_server = null
