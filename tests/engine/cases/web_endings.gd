# What a client of a web export tells of connections that fail, end at once, or give way to another one, with a stand-in for the transport.
# processes: main
# web: main
extends "res://lib/case.gd"

const WEB := "res://addons/websocket_multiplayer/web/"
const CONNECTED := MultiplayerPeer.CONNECTION_CONNECTED
const URL := "wss://play.example.org:9080/lobby?ticket=secret"
const ID := 77
const OTHERS: Array[int] = [88, 99]
const NO_CONNECTION := (
	"no connection to play.example.org:9080: nobody listens there, the server refused it, or its certificate is not trusted; "
	+ "a browser does not say which"
)


## A connection of which a test says what comes.
class Line:
	extends "res://addons/websocket_multiplayer/web/transport.gd"

	func _start(_address: String, _options: Dictionary) -> Error:
		return OK

	func _fetch(_until_usec: int) -> void:
		_judge(0, 0)

	func come_up() -> void:
		_state = WebSocketPeer.STATE_OPEN
		_opened_at = Time.get_ticks_msec()

	func bring(packet: PackedByteArray) -> void:
		_incoming.append(packet)
		_incoming_bytes += packet.size()

	func bring_id() -> void:
		come_up()
		bring(PackedByteArray([ID, 0, 0, 0]))

	## As a server tells its clients of each other: ADD_PEER of a SceneMultiplayer.
	func bring_peer(id: int) -> void:
		bring(PackedByteArray([7, 1, id, 0, 0, 0]))

	func end(code: int, reason: String, words: String = "") -> void:
		_end(code, reason, words)


class Client:
	extends "res://addons/websocket_multiplayer/web/web_socket_client.gd"

	## That of the last connection.
	var line: Line

	func _new_connection(place: _Url, is_for_packets: bool) -> _Connection:
		var made := super(place, is_for_packets)
		line = Line.new()
		made.transport = line
		return made


var _client: Client
var _api: SceneMultiplayer
var _told: Array = []


func run() -> void:
	_check_failures()
	_check_figures()
	for code: int in [4001, 1006]:
		_check_end_at_once(code)
	for is_raw: bool in [true, false]:
		_check_order_at_once(is_raw)
	_check_elsewhere()
	_check_elsewhere_in_a_handler("server_disconnected")
	_check_elsewhere_in_a_handler("peer_disconnected")
	_check_closed_while_told()
	_drop()


func _check_failures() -> void:
	var words_of := {"": NO_CONNECTION, "An insecure WebSocket.": "An insecure WebSocket."}
	for words: String in words_of:
		_made()
		_client.line.end(1006, "", words)
		_api.poll()
		check_eq(_told, ["failed"], "without a connection")
		check_eq(_client.get_last_error(), words_of[words], "why")
		check_eq([_client.get_close_code(), _client.get_close_reason()], [-1, ""], "no Close")
	_made()
	var codes: Array = []
	_client.connection_failed.connect(
		func() -> void:
			var handle: RefCounted = _client.get_peer(1)
			codes.append(handle.call("get_close_code"))
			codes.append(_client.get_close_code())
	)
	_client.line.come_up()
	_client.line.end(4001, "full")
	_api.poll()
	check_eq(_told, ["failed"], "a Close before the id")
	check_eq(codes, [4001, 4001], "in the handler")
	check_eq([_client.get_close_code(), _client.get_close_reason()], [4001, "full"], "the Close")
	check_eq(_client.get_last_error(), "closed by the remote with code 4001 (full)", "in words")
	# Words of this side are no Close of the server's.
	_made()
	_client.line.come_up()
	_client.line.end(4009, "a message of 70000 bytes came", "a message of 70000 bytes came")
	_api.poll()
	check_eq(_client.get_last_error(), "a message of 70000 bytes came", "own words")
	check_eq(_client.get_close_code(), -1, "own words are no Close")


## The message with the id is no packet.
func _check_figures() -> void:
	var from: Dictionary = {"packets_in": 1, "last_packet_msec": 5}
	for step: Array in [[true, 1, 0, -1], [true, 2, 1, 5], [false, 1, 1, 5]]:
		_made(step[0])
		_client.line.bring_id()
		_client.poll()
		from["packets_in"] = step[1]
		_client.line._figures = _client.line._figures.merged(from, true)
		_client.line._state = WebSocketPeer.STATE_CLOSED
		var figures: Dictionary = _client.get_peer_statistics(1)
		check_eq([figures["packets_in"], figures["last_packet_msec"]], step.slice(2), "%s" % [step])
		check_eq(_client.get_statistics()["packets_in"], step[2], "total: %s" % [step])


## The MultiplayerAPI asks for the status behind each poll, and would take an end in the poll of the beginning for a failure.
func _check_end_at_once(code: int) -> void:
	_made()
	_client.line.bring_id()
	_client.line.end(code, "out" if code == 4001 else "")
	_api.poll()
	check_eq(_told, ["connected", "in 1"], "in the first poll")
	check_eq(_client.get_connection_status(), CONNECTED, "behind the first poll")
	_api.poll()
	check_eq(_told.slice(2), ["out 1", "lost"], "in the second poll")
	check_eq(_client.get_close_code(), 4001 if code == 4001 else -1, "the code")


func _check_order_at_once(is_raw: bool) -> void:
	_made(not is_raw)
	var told: Array = []
	_client.connection_established.connect(func(_name: String) -> void: told.append("in"))
	_client.connection_succeeded.connect(func() -> void: told.append("in"))
	_client.connection_closed.connect(func(_clean: bool) -> void: told.append("out"))
	_client.server_disconnected.connect(func() -> void: told.append("out"))
	if is_raw:
		_client.line.come_up()
	else:
		_client.line.bring_id()
	_client.line.end(4001, "")
	_client.poll()
	check_eq(told, ["in"], "in the first poll")
	_client.poll()
	check_eq(told, ["in", "out"], "in the second poll")


## Closed and opened again between two polls: the players of the old server are gone, those that it has relayed included.
func _check_elsewhere() -> void:
	_joined()
	var was: RefCounted = _client.get_peer(1)
	var handles: Array = []
	_api.peer_disconnected.connect(func(_id: int) -> void: handles.append(_client.get_peer(1)))
	_client.close()
	_open()
	var is_to_be: RefCounted = _client.get_peer(1)
	_api.poll()
	check_eq(_told, ["out 99", "out 88", "out 1"], "the old server's players")
	check_eq(_api.get_peers(), PackedInt32Array(), "ghosts")
	check_eq(handles, [was, was, was], "the handle meanwhile")
	check(_client.get_peer(1) == is_to_be and is_to_be != was, "the handle afterwards")
	_client.line.bring_id()
	_api.poll()
	check_eq(_told.slice(3), ["connected", "in 1"], "the new server")


## A game that goes elsewhere as soon as it hears of the end.
func _check_elsewhere_in_a_handler(which: String) -> void:
	_joined()
	var reopen := func() -> void: _open()
	if which == "peer_disconnected":
		reopen = func(_id: int) -> void: _open()
	_client.connect(which, reopen, CONNECT_ONE_SHOT)
	_client.line.end(1006, "")
	_api.poll()
	_api.poll()
	check_eq(_api.get_peers(), PackedInt32Array(), "ghosts after %s" % which)
	for id: int in [1] + OTHERS:
		check_eq(_told.count("out %d" % id), 1, "%d, after %s" % [id, which])
	_client.line.bring_id()
	_api.poll()
	check_eq(_told.slice(3), ["connected", "in 1"], "the new server, after %s" % which)


## Closed and opened once more by a handler that is told of the old players: the next poll tells the rest.
func _check_closed_while_told() -> void:
	_joined()
	var was: RefCounted = _client.get_peer(1)
	_client.close()
	_open()
	var news: Array[bool] = []
	var again := func(_id: int) -> void:
		news.append(_client.get_peer(1) != was)
		_client.close()
		_open()
		news.append(_client.get_peer(1) != was)
	_api.peer_disconnected.connect(again, CONNECT_ONE_SHOT)
	_api.poll()
	check_eq(_told, ["out 99"], "up to the handler")
	check_eq(news, [false, true] as Array[bool], "a new handle, once it is open again")
	_api.poll()
	check_eq(_told.slice(1), ["out 88", "out 1"], "the rest")


## A client with an API, connected to a server that has told of the others.
func _joined() -> void:
	_made()
	_client.line.bring_id()
	for id: int in OTHERS:
		_client.line.bring_peer(id)
	_api.poll()
	check_eq(_api.get_peers().size(), 3, "all are there")
	# What was readable in that poll is not, any more.
	_api.poll()
	_told.clear()


func _made(is_multiplayer: bool = true) -> void:
	_drop()
	_client = Client.new()
	_open(is_multiplayer)
	if not is_multiplayer:
		return
	_api = SceneMultiplayer.new()
	_api.multiplayer_peer = _client
	_api.peer_connected.connect(func(id: int) -> void: _told.append("in %d" % id))
	_api.peer_disconnected.connect(func(id: int) -> void: _told.append("out %d" % id))
	_api.connected_to_server.connect(func() -> void: _told.append("connected"))
	_api.connection_failed.connect(func() -> void: _told.append("failed"))
	_api.server_disconnected.connect(func() -> void: _told.append("lost"))


func _drop() -> void:
	if _api != null:
		_api.multiplayer_peer = null
	_api = null
	_client = null
	_told.clear()


func _open(is_multiplayer: bool = true) -> void:
	check_eq(_client.connect_to_url(URL, [], is_multiplayer), OK, "connect_to_url")
