extends Node
## A chat room in the style of 3.x: WebSocketServer in raw mode, text messages, four signals.
##
## Messages are JSON objects, so that a browser can take part (web/chat.html). A client sends
## `{"type": "hello", "name": N}` once and then `{"type": "say", "text": T}`; it gets `welcome`,
## `said`, `joined` and `left`, each with the person's `seat`, which selects the colour.

signal noted(text: String)

const PROTOCOL := "gem-rush-chat"
const MAX_NAME := 14
const MAX_TEXT := 300
## RFC 6455: the client violated the policy of the server.
const CLOSE_POLICY := 1008

var _server := WebSocketServer.new()
## Id -> {"name", "seat"}, for everybody who has sent `hello`.
var _people := {}


func _ready() -> void:
	_server.client_connected.connect(_on_client_connected)
	_server.client_close_request.connect(_on_client_close_request)
	_server.client_disconnected.connect(_on_client_disconnected)
	_server.data_received.connect(_on_data_received)


func _process(_delta: float) -> void:
	if _server.is_listening():
		_server.poll()


func _exit_tree() -> void:
	stop()


## Returns an empty string, or an error message.
func start(port: int) -> String:
	var error := _server.listen(port, PackedStringArray([PROTOCOL]))
	if error == OK:
		return ""
	var reason := _server.get_last_error()
	return "Cannot listen on port %d: %s" % [port, reason if reason else error_string(error)]


func stop() -> void:
	_server.stop()
	_people.clear()


## Clients can send anything: a message that is not a JSON object is read as an empty one.
static func read(packet: PackedByteArray) -> Dictionary:
	var json := JSON.new()
	if json.parse(packet.get_string_from_utf8()) == OK and json.data is Dictionary:
		return json.data
	return {}


func _on_client_connected(id: int, _protocol: String) -> void:
	noted.emit("%s has connected as peer %d" % [_server.get_peer_address(id), id])


func _on_client_close_request(id: int, code: int, reason: String) -> void:
	noted.emit("peer %d closes: %d %s" % [id, code, reason])


func _on_client_disconnected(id: int, was_clean: bool) -> void:
	noted.emit("peer %d has left%s" % [id, "" if was_clean else ", without a closing handshake"])
	if _people.has(id):
		var person: Dictionary = _people[id]
		_people.erase(id)
		_send_to_all({"type": "left", "name": person.name, "seat": person.seat})


func _on_data_received(id: int) -> void:
	var peer := _server.get_peer(id)
	var packet := peer.get_packet()
	var message := read(packet) if peer.was_string_packet() else {}
	if message.get("type") == "hello" and not _people.has(id):
		_welcome(id, str(message.get("name", "")))
	elif message.get("type") == "say" and _people.has(id):
		_pass_on(id, str(message.get("text", "")))
	else:
		_server.disconnect_peer(id, CLOSE_POLICY, "this is not a chat message")


func _welcome(id: int, wanted: String) -> void:
	var taken := _people.values().map(func(person: Dictionary) -> int: return person.seat)
	var seat := 0
	while taken.has(seat):
		seat += 1
	var tidy := wanted.strip_edges().strip_escapes().left(MAX_NAME)
	var person := {"name": tidy if tidy else "Guest %d" % (seat + 1), "seat": seat}
	_people[id] = person
	_send(id, {"type": "welcome", "people": _people.values()}.merged(person))
	for other: int in _people:
		if other != id:
			_send(other, {"type": "joined"}.merged(person))


func _pass_on(id: int, text: String) -> void:
	var line := text.strip_escapes().strip_edges().left(MAX_TEXT)
	if line:
		_send_to_all({"type": "said", "text": line}.merged(_people[id]))


func _send_to_all(message: Dictionary) -> void:
	for id: int in _people:
		_send(id, message)


func _send(id: int, message: Dictionary) -> void:
	var peer := _server.get_peer(id)
	peer.set_write_mode(BufferedWebSocketPeer.WRITE_MODE_TEXT)
	# A packet to a slow reader is refused here, so that the others do not wait.
	if peer.put_packet(JSON.stringify(message).to_utf8_buffer()) != OK:
		noted.emit("peer %d does not keep up" % id)
