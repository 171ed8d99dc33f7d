extends "res://lib/case.gd"
## A server with a request_handler, and a client that connects to it.

const TIMEOUT := 15.0
## The timeout of both sides, in parts that do not test it.
const HANDSHAKE_TIMEOUT := 20.0

var _server: WebSocketServer
var _client: WebSocketClient
## What the handler returns.
var _answer: Callable
var _asked: Array[Dictionary] = []
var _connected: Array[int] = []


func _serve(protocols: PackedStringArray = []) -> void:
	_asked = []
	_connected = []
	_server = WebSocketServer.new()
	_server.handshake_timeout = HANDSHAKE_TIMEOUT
	_server.request_handler = _decide
	_server.peer_connected.connect(func(id: int) -> void: _connected.append(id))
	check_eq(_server.listen(0, protocols, true), OK, "listen")
	process_frame.connect(_server.poll)
	_client = WebSocketClient.new()
	process_frame.connect(_poll_client)


func _end() -> void:
	_client.close()
	_server.close()
	process_frame.disconnect(_server.poll)
	process_frame.disconnect(_poll_client)
	_server = null


func _poll_client() -> void:
	_client.poll()


func _decide(request: Dictionary) -> Variant:
	_asked.append(request)
	return _answer.call(request)


func _go(timeout := HANDSHAKE_TIMEOUT) -> void:
	_client.close()
	_client = WebSocketClient.new()
	_client.handshake_timeout = timeout
	var url := "ws://127.0.0.1:%d/" % _server.get_local_port()
	check_eq(_client.connect_to_url(url, PackedStringArray(), true), OK, "connect_to_url")


## Connects, and waits until the client is connected or has failed.
func _knock() -> void:
	_go()
	await until(func() -> bool: return _is_in() or _is_out(), TIMEOUT, "an answer")


func _is_in() -> bool:
	return _client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED


func _is_out() -> bool:
	return _client.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED
