# request_handler: its argument, all values that it can return, and all of its errors.
# processes: main
# timeout: 90
# expect: ^ERROR: WebSocketServer\.request_handler: it returned nothing, or ended with an error
# expect: ^ERROR: WebSocketServer\.request_handler: it returned .*; it must return a bool
# expect: ^ERROR: WebSocketServer\.request_handler: it returned .*; it must answer at once, without await
# expect: ^ERROR: WebSocketServer\.request_handler: it returned status 200 cannot be sent
# expect: ^ERROR: WebSocketServer\.request_handler: it returned a dictionary with the unknown key "stauts"
# expect: ^ERROR: WebSocketServer\.request_handler: it returned a dictionary without a status
# expect: ^ERROR: WebSocketServer\.request_handler: it returned a dictionary that cannot be used: the reason has a control character
# expect: ^ERROR: WebSocketServer\.request_handler: it returned a dictionary that cannot be used: header line
# expect: ^ERROR: WebSocketServer\.request_handler: it returned a dictionary that cannot be used: the client did not offer
# expect: ^ERROR: WebSocketServer\.request_handler: it returned a dictionary whose reason is 5
# expect: ^ERROR: WebSocketServer\.request_handler: its object was freed
extends "res://lib/handler_case.gd"


class Judge:
	extends Object

	func decide(_request: Dictionary) -> bool:
		return true


const UNDECIDED := "server answered 500 Internal Server Error: the server could not decide about the request"
const LONG := "long "


func run() -> void:
	await _what_it_is_told()
	await _what_it_may_return()
	await _what_it_may_not_return()
	await _waiting_is_not_the_clients_fault()
	await _who_left_is_not_asked_about()
	await _it_may_close_and_open()
	await _it_may_drop_the_server()
	await _its_object_may_be_gone()


func _what_it_is_told() -> void:
	_serve(["go", "chess"])
	_answer = func(request: Dictionary) -> Variant:
		return {
			status = 101,
			headers = ["X-Seat: 7"],
			protocol = "chess",
			meta = {user = request.headers["x-user"]},
		}
	var seen: Array = []
	var look := func(id: int) -> void: seen.append(_server.get_peer(id).get_handshake_meta())
	_server.peer_connected.connect(look)
	_client = WebSocketClient.new()
	_client.handshake_timeout = HANDSHAKE_TIMEOUT
	var error := _client.connect_to_url(
		"ws://127.0.0.1:%d/lobby/5?token=a%%20b" % _server.get_local_port(),
		["chess", "go"],
		true,
		["X-User: ada", "X-User: eva"]
	)
	check_eq(error, OK, "connect_to_url")
	await until(func() -> bool: return _is_in() and not seen.is_empty(), TIMEOUT, "it is connected")
	check_eq(_asked.size(), 1, "questions")
	var request := _asked[0]
	check_eq(
		request.keys(),
		["peer_id", "path", "query", "headers", "address", "port", "protocols", "secure"],
		"keys"
	)
	check_eq(request.peer_id, _client.get_unique_id(), "the id that it has then")
	check_eq([request.path, request.query], ["/lobby/5", "token=a%20b"], "path and query")
	check_eq(request.headers["x-user"], "ada, eva", "a header that is there twice")
	check_eq(request.address, "127.0.0.1", "address")
	check(request.port > 0 and not request.secure, "port and secure")
	check_eq(request.protocols, PackedStringArray(["chess", "go"]), "protocols")
	check_eq(seen, [{user = "ada, eva"}], "meta in peer_connected")
	var handle := _server.get_peer(request.peer_id)
	check_eq(handle.get_handshake_meta(), {user = "ada, eva"}, "meta later")
	check_eq(handle.get_selected_protocol(), "chess", "the handler's protocol")
	check_eq(handle.get_request_headers()["x-user"], "ada, eva", "get_request_headers")
	check_eq(_client.get_peer(1).get_handshake_meta(), null, "a client has no meta")
	_client.close()
	await until(func() -> bool: return not _server.has_peer(request.peer_id), TIMEOUT, "it leaves")
	check_eq(handle.get_handshake_meta(), {user = "ada, eva"}, "the handle outlives its connection")
	_end()


func _what_it_may_return() -> void:
	_serve()
	for yes: Variant in [true, 101, {status = 101}, {"status": true}, {status = 101, meta = 5}]:
		_answer = func(_request: Dictionary) -> Variant: return yes
		await _knock()
		check(_is_in(), "%s accepts" % [yes])
		_client.close()
	for refusal: Array in [
		[false, "403 Forbidden: refused by the game"],
		[400, "400 Bad Request: refused by the game"],
		[599, "599 Refused: refused by the game"],
		[{status = 401}, "401 Unauthorized: refused by the game"],
		[{status = 403, reason = "banned for cheating"}, "403 banned for cheating"],
		[{status = 403, reason = "größer"}, "403 Forbidden: größer"],
		[{status = 403, reason = LONG.repeat(20)}, "403: " + LONG.repeat(20).strip_edges()],
		[
			{status = 503, headers = PackedStringArray(["Retry-After: 5"])},
			"503 Service Unavailable: refused by the game; try again in 5 s"
		],
		[
			{status = 503, reason = "so voll", headers = {"Retry-After": 5}},
			"503 so voll; try again in 5 s"
		],
	]:
		_answer = func(_request: Dictionary) -> Variant: return refusal[0]
		await _knock()
		check_eq(_client.get_last_error(), "server answered " + refusal[1], "%s" % [refusal[0]])
	check_eq(_server.get_statistics().refused_handler, 9, "refused_handler")
	await until(func() -> bool: return _connected.size() == 5, TIMEOUT, "all accepted clients")
	_end()


func _what_it_may_not_return() -> void:
	_serve()
	var nonsense: Array = [
		null,
		"yes",
		1.0,
		200,
		{},
		{status = 101, stauts = 403},
		{status = 403, reason = "a\r\nSet-Cookie: b"},
		{status = 403, reason = 5},
		{status = 403, headers = ["A: b\r\nC: d"]},
		{status = 101, protocol = "poker"},
	]
	for answer: Variant in nonsense:
		_answer = func(_request: Dictionary) -> Variant: return answer
		await _knock()
		check_eq(_client.get_last_error(), UNDECIDED, "%s" % [answer])
	await _serve_with(
		func(_request: Dictionary) -> Variant:
			await process_frame
			return true
	)
	check_eq(_client.get_last_error(), UNDECIDED, "await")
	# An error in a script: the engine's own lines about it are not wanted here.
	Engine.print_error_messages = false
	await _serve_with(func(request: Dictionary) -> Variant: return request["no such key"].x)
	check_eq(_client.get_last_error(), UNDECIDED, "an error")
	await _serve_with(func() -> Variant: return true)
	check_eq(_client.get_last_error(), UNDECIDED, "no parameter")
	# The engine makes `false` of an error in such a function.
	await _serve_with(func(request: Dictionary) -> bool: return request["no such key"].x)
	var refused := "server answered 403 Forbidden: refused by the game"
	check_eq(_client.get_last_error(), refused, "an error in a typed one")
	Engine.print_error_messages = true
	check_eq(_connected, [], "peers")
	_end()


func _waiting_is_not_the_clients_fault() -> void:
	_serve()
	# Within it the client's thread must be able to send its request.
	_server.handshake_timeout = 2.0
	_answer = func(_request: Dictionary) -> Variant:
		OS.delay_msec(2500)
		return true
	await _knock()
	check(_is_in(), "a slow handler")
	_client.close()
	_answer = func(_request: Dictionary) -> Variant: return true
	_go()
	process_frame.disconnect(_server.poll)
	await seconds(3.0)
	check_eq(_asked.size(), 1, "no request without poll()")
	process_frame.connect(_server.poll)
	await until(_is_in, TIMEOUT, "accepted after more than handshake_timeout")
	_end()


func _who_left_is_not_asked_about() -> void:
	_serve()
	_answer = func(_request: Dictionary) -> Variant: return true
	process_frame.disconnect(_server.poll)
	_go()
	var has_asked := func() -> bool:
		return _server.get_statistics().pending == 1 and _server.get_statistics().bytes_in > 0
	await until(has_asked, TIMEOUT, "it waits")
	_client.close()
	await until(_refused.bind(1), TIMEOUT, "it leaves")
	process_frame.connect(_server.poll)
	await frames(5)
	check_eq(_asked.size(), 0, "requests of a disconnected client")
	# One leaves while the handler thinks: no peer, and nothing is kept for it.
	_answer = func(_request: Dictionary) -> Variant:
		_client.close()
		var end := Time.get_ticks_msec() + int(TIMEOUT * 1000)
		while _server.get_statistics().pending > 0 and Time.get_ticks_msec() < end:
			OS.delay_msec(5)
		return {status = 101, meta = "lost"}
	_go()
	await until(func() -> bool: return _asked.size() == 1, TIMEOUT, "a question")
	await until(_refused.bind(2), TIMEOUT, "no peer")
	await frames(5)
	check_eq(_connected.size(), 0, "peers")
	_end()


func _it_may_close_and_open() -> void:
	_serve()
	_answer = func(_request: Dictionary) -> Variant:
		_server.close()
		return true
	await _knock()
	check(_client.get_last_error().contains("503"), "close(): " + _client.get_last_error())
	check_eq(_server.listen(0, PackedStringArray(), true), OK, "listen again")
	_answer = func(_request: Dictionary) -> Variant:
		_server.close()
		check_eq(_server.listen(0, PackedStringArray(), true), OK, "listen in the handler")
		_server.poll()
		return {status = 101, meta = "of the old one"}
	await _knock()
	check(_client.get_last_error().contains("503"), "close() and listen()")
	_answer = func(_request: Dictionary) -> Variant: return true
	await _knock()
	check(_is_in(), "the server that was opened in the handler")
	await until(func() -> bool: return not _connected.is_empty(), TIMEOUT, "the peer")
	check_eq(_connected.size(), 1, "peers")
	_end()


func _it_may_drop_the_server() -> void:
	_serve()
	_answer = func(_request: Dictionary) -> Variant:
		process_frame.disconnect(_server.poll)
		_server = null
		return true
	var gone: WeakRef = weakref(_server)
	_go()
	await until(_is_out, TIMEOUT, "the client gets the answer")
	check(gone.get_ref() == null, "the server is freed")
	_client.close()
	process_frame.disconnect(_poll_client)


func _its_object_may_be_gone() -> void:
	var judge := Judge.new()
	_serve()
	_server.close()
	_server.request_handler = judge.decide
	check_eq(_server.listen(0, PackedStringArray(), true), OK, "listen")
	judge.free()
	await _knock()
	check_eq(_client.get_last_error(), UNDECIDED, "no handler")
	_end()


func _serve_with(handler: Callable) -> void:
	_server.close()
	_server.request_handler = handler
	check_eq(_server.listen(0, PackedStringArray(), true), OK, "listen")
	await _knock()


## Nobody waits any more, and so many did not get in. The count comes last of what is noted then.
func _refused(count: int) -> bool:
	var statistics: Dictionary = _server.get_statistics()
	return statistics.pending == 0 and statistics.handshakes_refused == count
