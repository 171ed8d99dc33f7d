extends Node
## Something to look at in the debugger: a server, or its clients, by the first argument.

const CLIENTS := 4
## Packets that each client sends in a second, and the server to each.
const UP := 20
const DOWN := 30

var _port := 0
var _server: WebSocketServer
var _clients: Array[WebSocketClient] = []
var _time := 0.0
var _sent_up := 0
var _sent_down := 0


func _ready() -> void:
	var words := OS.get_cmdline_user_args()
	_port = int(words[1])
	if words[0] == "server":
		_server = WebSocketServer.new()
		_server.heartbeat_interval = 0.5
		if _server.listen(_port, [], true) == OK:
			print("READY ", _port)
		return
	for number in CLIENTS:
		var client := WebSocketClient.new()
		client.connect_to_url("ws://127.0.0.1:%d" % _port, [], true)
		_clients.append(client)


func _process(delta: float) -> void:
	_time += delta
	if _server != null:
		_read(_server)
		while _sent_down < _time * DOWN:
			_sent_down += 1
			if _server.get_statistics().peers > 0:
				_send(_server, 200 + int(150.0 * sin(_time / 3.0)))
	for client in _clients:
		_read(client)
	while _sent_up < _time * UP:
		_sent_up += 1
		for index in _clients.size():
			if _clients[index].get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED:
				_send(_clients[index], 100 * (index + 1))


func _send(peer: MultiplayerPeer, size: int) -> void:
	var packet := PackedByteArray()
	packet.resize(size)
	peer.set_target_peer(0)
	peer.put_packet(packet)


func _read(peer: MultiplayerPeer) -> void:
	peer.poll()
	while peer.get_available_packet_count() > 0:
		peer.get_packet()
