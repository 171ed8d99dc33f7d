# A game that quits while connected neither hangs nor prints errors, and the other side gets the disconnect at once.
# processes: server client:first client:second
# timeout: 60
extends "res://lib/case.gd"

## Far below heartbeat_timeout: the end must be a Close frame, not a timeout.
const SOON := 5.0

## Kept to the end of the process on purpose.
var peer: MultiplayerPeer
var events: Array[String] = []


func run() -> void:
	get_multiplayer().peer_connected.connect(func(id: int) -> void: events.append("in %d" % id))
	get_multiplayer().peer_disconnected.connect(func(id: int) -> void: events.append("out %d" % id))
	if role == "server":
		await _server()
	else:
		await _client()
	_quit_as_games_do()


func _server() -> void:
	var server := WebSocketServer.new()
	peer = server
	server.bind_ip = "127.0.0.1"
	check_eq(server.listen(port, PackedStringArray(), true), OK, "listen()")
	get_multiplayer().multiplayer_peer = server
	var codes: Array[int] = []
	server.client_close_request.connect(
		func(_id: int, code: int, _reason: String) -> void: codes.append(code)
	)
	ready_line()
	await until(func() -> bool: return _count("in ") == 2, 30.0, "two clients")
	for id in get_multiplayer().get_peers():
		server.set_target_peer(id)
		check_eq(server.put_packet("hello".to_utf8_buffer()), OK, "put_packet()")
	await until(func() -> bool: return _count("out ") == 1, 20.0, "the first client leaves")
	check_eq(codes, [1000] as Array[int], "close code of a client that quits")
	# Quits with the second client connected, and with something still to be sent.
	server.set_target_peer(0)
	check_eq(server.put_packet("last words".to_utf8_buffer()), OK, "put_packet()")


func _client() -> void:
	var client := WebSocketClient.new()
	peer = client
	var url := "ws://127.0.0.1:%d" % port
	check_eq(client.connect_to_url(url, PackedStringArray(), true), OK, "connect_to_url()")
	# Not through a MultiplayerAPI: the packets of this case are no commands of it.
	var heard: Array[String] = []
	var listen := func(count: int) -> bool:
		client.poll()
		while client.get_available_packet_count() > 0:
			var packet := client.get_packet()
			# 7 is a command of the relay.
			if packet[0] & 7 != 7:
				heard.append(packet.get_string_from_utf8())
		return heard.size() >= count
	await until(listen.bind(1), 30.0, "the server's hello")
	if name == "first":
		return
	await until(listen.bind(2), 20.0, "the server's last words")
	check_eq(heard, ["hello", "last words"] as Array[String], "packets")
	var gone := func() -> bool:
		client.poll()
		return client.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED
	await until(gone, SOON, "the server's end")
	check_eq(
		client.get_close_code(),
		1001,
		"close code of a server that quits: " + client.get_last_error()
	)


func _count(beginning: String) -> int:
	return events.filter(func(event: String) -> bool: return event.begins_with(beginning)).size()


## Nothing is closed, nothing is dropped before the engine does it.
func _quit_as_games_do() -> void:
	if has_ended():
		return
	_ended = true
	print("CASE OK")
	quit(0)
