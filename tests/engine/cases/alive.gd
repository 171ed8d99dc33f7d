# `alive`: the engine's own class with the query item gets the agreement, its id and an `ack`, and a server shows no trace of the item.
# A client without the item gets its id first, and the addon's own client says what is wrong with the item.
# processes: main
# timeout: 60
extends "res://lib/handler_case.gd"

const OFFER := "godot-multiplayer=alive.v1"

var _page: WebSocketPeer


func run() -> void:
	_serve()
	_server.heartbeat_interval = 5.0
	_server.heartbeat_timeout = 30.0
	_answer = func(_request: Dictionary) -> Variant: return true
	await _with_the_item()
	await _without()
	await _native_client()
	_end()


func _with_the_item() -> void:
	await _open("/lobby?room=7&%s&team=red" % OFFER)
	check_eq(await _next(), "alive 1 5000 30000", "the agreement")
	var id := await _next_id()
	check_eq(_connected, [id] as Array[int], "the id")
	var request: Dictionary = _asked[0]
	check_eq([request.path, request.query], ["/lobby", "room=7&team=red"], "request_handler")
	check(not str(request).contains("alive"), "no trace: %s" % [request])
	var handle := _server.get_peer(id)
	check_eq(handle.get_requested_path(), "/lobby?room=7&team=red", "get_requested_path()")
	check(not handle.get_requested_url().contains("godot"), "get_requested_url()")
	check_eq(_server.get_peer_statistics(id).path, "/lobby?room=7&team=red", "path")
	check_eq(_server.get_peer_statistics(id).last_packet_msec, -1, "no packet came")
	_page.send_text("ack?")
	check_eq(await _next(), "ack 0 0", "before any packet")
	check_eq(_server.get_available_packet_count(), 0, "a question is no packet")
	check_eq(_server.get_peer_statistics(id).last_packet_msec, -1, "a question is no packet")
	# What the game hears and says goes on as ever.
	_page.send(PackedByteArray([1, 2, 3]))
	_page.send_text("a word of a later version")
	_page.send(PackedByteArray([4]))
	await until(func() -> bool: return _server.get_available_packet_count() == 2, TIMEOUT, "two")
	check_eq(_server.get_packet(), PackedByteArray([1, 2, 3]), "the first")
	check_eq(_server.get_packet(), PackedByteArray([4]), "the second")
	check(_server.get_peer_statistics(id).last_packet_msec >= 0, "packets came")
	check_eq(_server.get_peer_statistics(id).packets_in, 2, "packets_in")
	_server.set_target_peer(id)
	check_eq(_server.put_packet(PackedByteArray([5, 6])), OK, "put_packet")
	check_eq(await _next_bytes(), PackedByteArray([5, 6]), "a packet")
	_page.send_text("ack 1 2")
	_page.send_text("ack?")
	check_eq(await _next(), "ack 2 1", "the counts")
	check_eq(_server.get_peer_statistics(id).packets_out, 1, "packets_out")
	# A client that has lost count.
	_page.send_text("ack 1 5")
	var why := "it has sent 5 messages, and 2 were received: some were lost on the way"
	await until(_is_closed, TIMEOUT, "the Close")
	check_eq([_page.get_close_code(), _page.get_close_reason()], [1002, why], "the Close")
	await until(func() -> bool: return not _server.has_peer(id), TIMEOUT, "it is out")


func _without() -> void:
	await _open("/lobby?room=7")
	var id := await _next_id()
	check_eq(_connected[1], id, "the id comes first")
	_page.send_text("ack?")
	await until(func() -> bool: return _server.get_available_packet_count() == 1, TIMEOUT, "text")
	check_eq(_server.get_packet().get_string_from_utf8(), "ack?", "text is a packet")
	_page.close()
	await until(_is_closed, TIMEOUT, "the end")


func _native_client() -> void:
	var url := "ws://127.0.0.1:%d/?%s" % [_server.get_local_port(), OFFER]
	check_eq(_client.connect_to_url(url, [], true), OK, "connect_to_url")
	await until(
		func() -> bool: return not _client.get_last_error().is_empty(), TIMEOUT, "a failure"
	)
	check(_client.get_last_error().contains("remove it"), _client.get_last_error())


func _open(target: String) -> void:
	_page = WebSocketPeer.new()
	var url := "ws://127.0.0.1:%d%s" % [_server.get_local_port(), target]
	check_eq(_page.connect_to_url(url), OK, "connect_to_url")
	var is_open := func() -> bool:
		_page.poll()
		return _page.get_ready_state() == WebSocketPeer.STATE_OPEN
	await until(is_open, TIMEOUT, "open")


func _is_closed() -> bool:
	_page.poll()
	return _page.get_ready_state() == WebSocketPeer.STATE_CLOSED


## The next message, which is text.
func _next() -> String:
	var message := await _next_bytes()
	check(_page.was_string_packet(), "text: %s" % [message])
	return message.get_string_from_utf8()


func _next_id() -> int:
	var message := await _next_bytes()
	check(not _page.was_string_packet(), "binary: %s" % [message])
	check_eq(message.size(), 4, "a message with an id")
	var is_told := func() -> bool: return message.decode_s32(0) in _connected
	await until(is_told, TIMEOUT, "peer_connected")
	return message.decode_s32(0)


func _next_bytes() -> PackedByteArray:
	var has_one := func() -> bool:
		_page.poll()
		return _page.get_available_packet_count() > 0
	await until(has_one, TIMEOUT, "a message")
	return _page.get_packet()
