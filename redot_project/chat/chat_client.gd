extends Node
## One person in the chat room: WebSocketClient in raw mode, in the style of 3.x.

signal entered(people: Array)
signal heard(message: Dictionary)
## The connection has ended, or failed. `reason` is a text for people.
signal ended(reason: String)

const ChatServer := preload("res://chat/chat_server.gd")

var my_name := ""
var url := ""

var _client := WebSocketClient.new()


func _ready() -> void:
	_client.connection_established.connect(_on_connection_established)
	_client.connection_error.connect(_on_connection_error)
	_client.connection_closed.connect(_on_connection_closed)
	_client.data_received.connect(_on_data_received)


func _process(_delta: float) -> void:
	if is_open():
		_client.poll()


func _exit_tree() -> void:
	leave()


func is_open() -> bool:
	return _client.get_connection_status() != MultiplayerPeer.CONNECTION_DISCONNECTED


## Returns an empty string if the attempt has begun, or an error message.
func join(server_url: String, player_name: String) -> String:
	url = server_url
	my_name = player_name
	if _client.connect_to_url(url, PackedStringArray([ChatServer.PROTOCOL])) == OK:
		return ""
	return "Cannot connect to %s: %s" % [url, _client.get_last_error()]


func leave() -> void:
	_client.disconnect_from_host(1000, "bye")


func say(text: String) -> void:
	_send({"type": "say", "text": text})


func _on_connection_established(_protocol: String) -> void:
	_send({"type": "hello", "name": my_name})


func _on_connection_error() -> void:
	ended.emit("Cannot connect to %s: %s" % [url, _client.get_last_error()])


func _on_connection_closed(was_clean: bool) -> void:
	if was_clean:
		ended.emit(
			"Closed with code %d %s" % [_client.get_close_code(), _client.get_close_reason()]
		)
	else:
		ended.emit("The connection broke off: %s" % _client.get_last_error())


func _on_data_received() -> void:
	var message := ChatServer.read(_client.get_peer(1).get_packet())
	if message.get("type") == "welcome":
		my_name = message.get("name", my_name)
		entered.emit(message.get("people", []))
	else:
		heard.emit(message)


func _send(message: Dictionary) -> void:
	var peer := _client.get_peer(1)
	peer.set_write_mode(BufferedWebSocketPeer.WRITE_MODE_TEXT)
	peer.put_packet(JSON.stringify(message).to_utf8_buffer())
