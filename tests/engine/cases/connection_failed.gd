# A client connects to a closed port, to a server that closes, to a silent server, to a server that is not a WebSocket server, and to
# a server that rejects with a reason: get_last_error() describes each.
# processes: main
# timeout: 90
# variant: ours client=ours
# variant: ours4 client=ours4
extends "res://lib/case.gd"

const Peers := preload("res://lib/peers.gd")
## Of a client that only its timeout can end.
const SHORT_TIMEOUT := 1.0
## Of the others, and within what they have to fail: long before it.
const LONG_TIMEOUT := 15.0
const TIMEOUT := 10.0

## What a server answers, and what the game reads.
const REFUSALS: Array = [
	[
		(
			"401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n"
			+ '{"error":"token expired"}'
		),
		'server answered 401 Unauthorized: {"error":"token expired"}',
	],
	[
		"403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nM\u00e4rz \U01f642\n\r\n0\r\n\r\n",
		"server answered 403 Forbidden: M\u00e4rz \U01f642",
	],
	["403 bis M\u00e4rz\r\nContent-Length: 0\r\n\r\n", "server answered 403 bis M\u00e4rz"],
	["503 Busy\r\nRetry-After: 9\r\n\r\nfull", "server answered 503 Busy: full; try again in 9 s"],
	[
		"301 Moved\r\nLocation: https://game.example/ws\r\n\r\n",
		(
			"server answered 301 Moved and redirects to https://game.example/ws; "
			+ "redirects are not followed, connect to wss://game.example/ws"
		),
	],
	[
		"200 OK\r\n\r\n<html>",
		"server answered 200 OK and no upgrade: this path does not serve WebSockets",
	],
]

var events: Array[String] = []
var _listener := TCPServer.new()
var _accepted: Array[StreamPeerTCP] = []
var _answer := ""
var _reason := ""


func run() -> void:
	var api := get_multiplayer()
	api.connected_to_server.connect(func() -> void: events.append("connected_to_server"))
	api.connection_failed.connect(func() -> void: events.append("connection_failed"))
	api.server_disconnected.connect(func() -> void: events.append("server_disconnected"))
	api.peer_connected.connect(func(id: int) -> void: events.append("peer_connected %d" % id))
	api.peer_disconnected.connect(func(id: int) -> void: events.append("peer_disconnected %d" % id))

	await _attempt("nobody listens", LONG_TIMEOUT)
	check_eq(_listener.listen(port, "127.0.0.1"), OK, "the test's own listener")
	_answer = "hang up"
	await _attempt("hangs up", LONG_TIMEOUT)
	_answer = "silence"
	await _attempt("silence", SHORT_TIMEOUT, SHORT_TIMEOUT)
	_answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	await _attempt("a web server", LONG_TIMEOUT)
	for refusal: Array in REFUSALS:
		_answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 " + refusal[0]
		await _attempt(refusal[1], LONG_TIMEOUT)
		check_eq(_reason, refusal[1], "get_last_error()")
	_answer = "garbage\r\n\r\n"
	await _attempt("no HTTP at all", LONG_TIMEOUT)
	_listener.stop()

	await _a_second_try_with_the_same_object_works()


## The client must fail no sooner than `at_least` seconds, and soon after.
func _attempt(what: String, timeout: float, at_least := 0.0) -> void:
	events.clear()
	_accepted.clear()
	var begun := Time.get_ticks_usec()
	var peer := _client(timeout)
	if peer == null:
		return
	check_eq(peer.get_connection_status(), MultiplayerPeer.CONNECTION_CONNECTING, what + ": begins")
	get_multiplayer().multiplayer_peer = peer
	var failed := func() -> bool:
		_serve()
		return events.has("connection_failed")
	await until(failed, at_least + TIMEOUT, what)
	var took := (Time.get_ticks_usec() - begun) / 1e6
	check(took >= at_least, "%s: given up after %.2f s" % [what, took])
	await frames(20)
	check_eq(events, ["connection_failed"] as Array[String], what + ": signals")
	check_eq(
		peer.get_connection_status(), MultiplayerPeer.CONNECTION_DISCONNECTED, what + ": status"
	)
	if Peers.is_ours(peer):
		_reason = peer.call(&"get_last_error")
		print("%s: %s" % [what, _reason])
		check(not _reason.is_empty(), what + ": get_last_error() says nothing")
		if what == "nobody listens":
			check(_reason.contains("refused"), what + ": " + _reason)
		elif what == "a web server":
			check(_reason.contains("404"), what + ": " + _reason)
	get_multiplayer().multiplayer_peer = null


func _client(timeout: float) -> MultiplayerPeer:
	var peer := Peers.make_client(
		args.get("client", "ours"), "ws://127.0.0.1:%d" % port, {"handshake_timeout": timeout}
	)
	check(peer != null, "no client")
	return peer


func _serve() -> void:
	if not _listener.is_listening() or not _listener.is_connection_available():
		return
	var connection := _listener.take_connection()
	if _answer == "hang up":
		connection.disconnect_from_host()
		return
	if _answer != "silence":
		connection.put_data(_answer.to_utf8_buffer())
	_accepted.append(connection)


func _a_second_try_with_the_same_object_works() -> void:
	events.clear()
	var kind: String = args.get("client", "ours")
	var peer := _client(LONG_TIMEOUT)
	if peer == null:
		return
	get_multiplayer().multiplayer_peer = peer
	await until(func() -> bool: return events.has("connection_failed"), TIMEOUT, "first try")
	var server := Peers.make_server(kind, port)
	if not check(server != null, "no server"):
		return
	var error: Error
	if kind == "ours":
		error = peer.call(&"connect_to_url", "ws://127.0.0.1:%d" % port, PackedStringArray(), true)
	else:
		error = peer.call(&"create_client", "ws://127.0.0.1:%d" % port)
	check_eq(error, OK, "second try with the same object")
	get_multiplayer().multiplayer_peer = null
	get_multiplayer().multiplayer_peer = peer
	var joined := func() -> bool:
		server.poll()
		return events.has("connected_to_server")
	await until(joined, TIMEOUT, "second try")
	server.close()
