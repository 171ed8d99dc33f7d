# refuse_new_connections: new clients fail at once instead of waiting, connected clients stay, and later clients can connect again.
# processes: server client:old client:new
# timeout: 60
# variant: ours server=ours clients=ours
# variant: ours4 server=ours4 clients=ours4
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const Peers := preload("res://lib/peers.gd")

## Far below any timeout of a handshake.
const AT_ONCE := 8.0
const TRIES := 5


func run() -> void:
	match name:
		"server":
			await _server()
		"old":
			await _old()
		"new":
			await _new()


func _server() -> void:
	var end := BarePeer.new(self, Peers.make_server(args["server"], port))
	check_eq(end.peer.refuse_new_connections, false, "refuse_new_connections of a new server")
	_forget_words()
	ready_line()
	await until(func() -> bool: return _from(end, "old") != 0, 15.0, "the old client")
	end.peer.refuse_new_connections = true
	check_eq(end.peer.refuse_new_connections, true, "refuse_new_connections")
	# The other processes follow the messages from here.
	var old := _from(end, "old")
	check_eq(end.send(old, "refusing".to_ascii_buffer()), OK, "a packet to the old one")
	var answered := func() -> bool: return end.packets[old].size() == 2
	await until(answered, 25.0, "the new one has tried")
	check_eq(end.count("peer_connected"), 1, "peers while refusing")
	check_eq(end.count("peer_disconnected"), 0, "peers lost while refusing")
	# The new client keeps trying while the message travels.
	check(end.peer.get_statistics().handshakes_refused >= TRIES, "handshakes_refused")
	end.peer.refuse_new_connections = false
	await until(func() -> bool: return _from(end, "new") != 0, 15.0, "the new client")
	check_eq(end.send(old, "end".to_ascii_buffer()), OK, "a packet to the old one")
	check_eq(end.send(_from(end, "new"), "end".to_ascii_buffer()), OK, "a packet to the new one")
	await until(func() -> bool: return end.count("peer_disconnected") == 2, 10.0, "both leave")
	end.peer.close()
	_forget_words()


func _old() -> void:
	var end := BarePeer.new(self, Peers.make_client(args["clients"], _url()))
	await until(end.is_connected_now, 10.0, "connected")
	check_eq(end.send(1, "old".to_ascii_buffer()), OK, "its name")
	await until(func() -> bool: return _heard(end, 1), 10.0, "the word that it refuses")
	# From now on it is the new client's turn; a file tells the other processes.
	_say("refusing")
	await until(func() -> bool: return FileAccess.file_exists(_file("tried")), 20.0, "the tries")
	check_eq(end.count("peer_disconnected"), 0, "the old one stays")
	check_eq(end.send(1, "still here".to_ascii_buffer()), OK, "a packet")
	await until(func() -> bool: return _heard(end, 2), 20.0, "the end")
	end.peer.close()


func _new() -> void:
	await until(func() -> bool: return FileAccess.file_exists(_file("refusing")), 20.0, "its turn")
	for number in TRIES:
		var end := BarePeer.new(self, Peers.make_client(args["clients"], _url()))
		var started := Time.get_ticks_usec()
		await until(end.is_closed, 10.0, "an answer")
		var took := (Time.get_ticks_usec() - started) / 1e6
		check(took < AT_ONCE, "the refusal took %.2f s" % took)
		check_eq(end.count("peer_connected"), 0, "peer_connected of a refused client")
		if Peers.is_ours(end.peer):
			check_eq(end.count("connection_failed"), 1, "connection_failed")
			check(end.peer.get_last_error().contains("503"), "why: %s" % end.peer.get_last_error())
	_say("tried")
	var end: BarePeer
	while not has_ended() and (end == null or not end.is_connected_now()):
		end = BarePeer.new(self, Peers.make_client(args["clients"], _url()))
		await until(
			func() -> bool: return end.is_connected_now() or end.is_closed(), 10.0, "an answer"
		)
	check_eq(end.send(1, "new".to_ascii_buffer()), OK, "its name")
	await until(func() -> bool: return _heard(end, 1), 10.0, "the end")
	end.peer.close()


func _url() -> String:
	return "ws://127.0.0.1:%d" % port


func _from(end: BarePeer, its_name: String) -> int:
	for id: int in end.packets:
		if end.packets[id][0].get_string_from_ascii() == its_name:
			return id
	return 0


func _heard(end: BarePeer, words: int) -> bool:
	return end.packets.get(1, []).size() >= words


func _file(word: String) -> String:
	return OS.get_user_data_dir().path_join("websocket_refuse_new_%d_%s" % [port, word])


func _forget_words() -> void:
	for word: String in ["refusing", "tried"]:
		if FileAccess.file_exists(_file(word)):
			DirAccess.remove_absolute(_file(word))


func _say(word: String) -> void:
	check(FileAccess.open(_file(word), FileAccess.WRITE) != null, "cannot write %s" % _file(word))
