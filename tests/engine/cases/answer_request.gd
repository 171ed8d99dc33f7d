# answer_request(): answers after the handler has returned, with all kinds of values, too late, twice, and for unknown requests.
# processes: main
# timeout: 120
# expect: ^ERROR: WebSocketServer\.request_handler: it returned a dictionary with a later that is not true, or that has other keys
# expect: ^ERROR: WebSocketServer\.request_handler: it returned .*; it must answer at once, without await; to answer later, return \{later = true\}
# expect: ^ERROR: WebSocketServer\.request_handler: it called answer_request\(\) and returned something other than \{later = true\}
# expect: ^ERROR: WebSocketServer\.answer_request\(\): no request with the peer_id -?\d+ waits for an answer
# expect: ^ERROR: WebSocketServer\.answer_request\(\): nothing is open; call listen\(\) first
# expect: ^ERROR: WebSocketServer\.answer_request\(\): the verdict is .*; it must be a bool, a status or a dictionary; the client is answered 500
# expect: ^ERROR: WebSocketServer\.answer_request\(\): the verdict cannot be used: .*; the client is answered 500
extends "res://lib/handler_case.gd"


class Trap:
	extends RefCounted

	var spring: Callable

	func _to_string() -> String:
		spring.call()
		return "trap"


## The time after which requests without an answer are rejected.
const WAIT := 30.0


func run() -> void:
	await _it_may_say_the_same_later()
	await _what_cannot_be_used_is_500()
	await _it_may_answer_while_it_is_asked()
	await _once_and_only_about_those_who_wait()
	await _closing_withdraws()
	await _who_leaves_is_forgotten()
	await _text_that_closes_the_server()
	await _nobody_waits_for_ever()


func _it_may_say_the_same_later() -> void:
	_serve()
	for yes: Variant in [true, 101, {status = 101, meta = {user = "ada"}, headers = ["X-Seat: 7"]}]:
		var id := await _knock_and_wait()
		await frames(3)
		check(_is_connecting(), "it waits")
		check_eq(_server.answer_request(id, yes), OK, "%s" % [yes])
		await until(
			func() -> bool: return _is_in() and _server.has_peer(id), TIMEOUT, "it is connected"
		)
		check_eq(_client.get_unique_id(), id, "the id of the request")
		var meta: Variant = {user = "ada"} if yes is Dictionary else null
		check_eq(_server.get_peer(id).get_handshake_meta(), meta, "meta")
		_client.close()
	for refusal: Array in [
		[false, "403 Forbidden"],
		[401, "401 Unauthorized"],
		[{status = 403, reason = "banned"}, "403 banned"],
	]:
		var id := await _knock_and_wait()
		check_eq(_server.answer_request(id, refusal[0]), OK, "%s" % [refusal[0]])
		await until(_is_out, TIMEOUT, "it is refused")
		check(_client.get_last_error().contains(refusal[1]), _client.get_last_error())
	check_eq(_server.get_statistics().refused_handler, 3, "refused_handler")
	_end()


func _what_cannot_be_used_is_500() -> void:
	_serve()
	for verdict: Variant in [
		null,
		"yes",
		1.0,
		RefCounted.new(),
		200,
		{},
		{later = true},
		{status = 101, stauts = 403},
		{status = 403, reason = "a\r\nb"},
		{status = "no"},
	]:
		var id := await _knock_and_wait()
		check_eq(_server.answer_request(id, verdict), ERR_INVALID_PARAMETER, "%s" % [verdict])
		await until(_is_out, TIMEOUT, "it is refused")
		check(_client.get_last_error().contains("500"), _client.get_last_error())
	for returned: Variant in [{later = false}, {later = 1}, {later = true, status = 101}]:
		_answer = func(_request: Dictionary) -> Variant: return returned
		await _knock()
		check(_client.get_last_error().contains("500"), "%s" % returned)
	_server.close()
	_server.request_handler = func(_request: Dictionary) -> Variant:
		await process_frame
		return {later = true}
	check_eq(_server.listen(0, PackedStringArray(), true), OK, "listen again")
	await _knock()
	check(_client.get_last_error().contains("500"), "await")
	check_eq(_connected, [], "peers")
	_end()


func _it_may_answer_while_it_is_asked() -> void:
	_serve()
	var codes: Array[int] = []
	_answer = func(request: Dictionary) -> Variant:
		codes.append(_server.answer_request(request.peer_id, {status = 101, meta = 5}))
		codes.append(_server.answer_request(request.peer_id, 403))
		return {later = true}
	await _knock()
	check(_is_in(), "a cache had the answer: " + _client.get_last_error())
	check_eq(codes, [OK, ERR_DOES_NOT_EXIST], "codes")
	_client.close()
	_answer = func(request: Dictionary) -> Variant:
		_server.answer_request(request.peer_id, true)
		return 403
	await _knock()
	check(_is_in(), "the first word counts: " + _client.get_last_error())
	_end()


func _once_and_only_about_those_who_wait() -> void:
	_serve()
	for id: int in [0, 1, -1, 77, 1 << 40, -(1 << 40)]:
		check_eq(
			_server.answer_request(id, true), ERR_DOES_NOT_EXIST, "an unknown request: %d" % id
		)
	var waiting := await _knock_and_wait()
	check_eq(_server.answer_request(waiting, true), OK, "once")
	check_eq(_server.answer_request(waiting, 403), ERR_DOES_NOT_EXIST, "twice")
	await until(
		func() -> bool: return _is_in() and _server.has_peer(waiting), TIMEOUT, "it is connected"
	)
	check_eq(_server.answer_request(waiting, 403), ERR_DOES_NOT_EXIST, "it is connected")
	_client.close()
	# An answer that was given at once.
	_answer = func(_request: Dictionary) -> Variant: return true
	await _knock()
	check_eq(_server.answer_request(_asked.back().peer_id, true), ERR_DOES_NOT_EXIST, "answered")
	_end()


func _closing_withdraws() -> void:
	_serve()
	var id := await _knock_and_wait()
	_server.close()
	check_eq(_server.answer_request(id, true), ERR_UNCONFIGURED, "closed")
	await until(_is_out, TIMEOUT, "the client gets the answer")
	check_eq(_server.listen(0, PackedStringArray(), true), OK, "listen again")
	check_eq(_server.answer_request(id, {status = 101, meta = 1}), ERR_DOES_NOT_EXIST, "of before")
	id = await _knock_and_wait()
	_server.refuse_new_connections = true
	await until(_is_out, TIMEOUT, "no more clients are accepted")
	_server.refuse_new_connections = false
	await _knock_and_wait()
	check_eq(_server.answer_request(id, true), ERR_DOES_NOT_EXIST, "withdrawn")
	check_eq(_connected, [], "peers")
	_end()


func _who_leaves_is_forgotten() -> void:
	_serve()
	var id := await _knock_and_wait()
	_client.close()
	await until(_nobody_is_pending, TIMEOUT, "it leaves")
	# The next request is passed to the handler after that.
	var next := await _knock_and_wait()
	check_eq(_server.answer_request(id, {status = 101, meta = "lost"}), ERR_DOES_NOT_EXIST, "late")
	# Known to the I/O thread only.
	id = next
	process_frame.disconnect(_server.poll)
	_client.close()
	await until(_nobody_is_pending, TIMEOUT, "it leaves")
	check_eq(
		_server.answer_request(id, {status = 101, meta = "lost"}),
		OK,
		"the disconnect is not known yet"
	)
	process_frame.connect(_server.poll)
	await frames(5)
	check_eq(_connected, [], "peers")
	_end()


func _text_that_closes_the_server() -> void:
	_serve()
	var id := await _knock_and_wait()
	var trap := Trap.new()
	trap.spring = func() -> void: _server.close()
	var verdict := {status = 403, headers = {"X-A": trap}}
	check_eq(_server.answer_request(id, verdict), ERR_DOES_NOT_EXIST, "closed meanwhile")
	check(not _server.is_listening(), "it is closed")
	_end()


func _nobody_waits_for_ever() -> void:
	_serve()
	var started := Time.get_ticks_msec()
	# The client of this addon does not wait so long by itself.
	var id := await _knock_and_wait(WAIT * 3)
	await until(_is_out, WAIT * 2, "a request without an answer")
	check(Time.get_ticks_msec() - started > (WAIT - 1) * 1000, "it waits as long as it may")
	check(_client.get_last_error().contains("503"), _client.get_last_error())
	check_eq(_server.get_statistics().handshakes_timed_out, 1, "handshakes_timed_out")
	await _knock_and_wait()
	check_eq(_server.answer_request(id, true), ERR_DOES_NOT_EXIST, "too late")
	_end()


## Connects, and waits until the handler was asked; the id in the request.
func _knock_and_wait(timeout := HANDSHAKE_TIMEOUT) -> int:
	var before := _asked.size()
	_go(timeout)
	await until(func() -> bool: return _asked.size() > before, TIMEOUT, "a question")
	return _asked.back().peer_id


func _serve(protocols: PackedStringArray = []) -> void:
	_answer = func(_request: Dictionary) -> Variant: return {later = true}
	super(protocols)


func _nobody_is_pending() -> bool:
	return _server.get_statistics().pending == 0


func _is_connecting() -> bool:
	return _client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTING
