extends Node
## Something to look at in the debugger: a server, or its clients, by the first argument.

const CLIENTS := 4
## Packets that each client sends in a second, and the server to each.
const UP := 20
const DOWN := 30
## Seconds: the first client loses its connection for a while, again and again.
const AWAY := 6.0
const HERE := 14.0

var _port := 0
var _server: WebSocketServer
var _clients: Array[WebSocketClient] = []
var _time := 0.0
var _sent_up := 0
var _sent_down := 0
var _is_away := false


func _ready() -> void:
	var words := OS.get_cmdline_user_args()
	_port = int(words[1])
	if words[0] == "server":
		_server = WebSocketServer.new()
		_server.heartbeat_interval = 0.5
		_server.resume_timeout = 60.0
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
	if not _clients.is_empty():
		_come_and_go()
	while _sent_up < _time * UP:
		_sent_up += 1
		for index in _clients.size():
			if _clients[index].get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED:
				_send(_clients[index], 100 * (index + 1))


func _come_and_go() -> void:
	var away := fmod(_time, HERE + AWAY) > HERE
	if away and not _is_away:
		# No attempt to come back succeeds in time.
		_clients[0].simulate_latency_msec = 10000
		_clients[0].reconnect()
	elif _is_away and not away:
		_clients[0].simulate_latency_msec = 0
	_is_away = away


func _send(peer: MultiplayerPeer, size: int) -> void:
	var packet := PackedByteArray()
	packet.resize(size)
	peer.set_target_peer(0)
	peer.transfer_mode = MultiplayerPeer.TRANSFER_MODE_UNRELIABLE
	peer.put_packet(packet)


func _read(peer: MultiplayerPeer) -> void:
	peer.poll()
	while peer.get_available_packet_count() > 0:
		peer.get_packet()
