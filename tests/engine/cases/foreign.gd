# Raw mode with other WebSocket implementations, as their server and as their client: echo
# of text and bytes, empty, large and fragmented messages, pings, subprotocols, close codes.
# processes: server client
# timeout: 60
# variant: node_client node=client
# variant: python_client python=client
# variant: curl_client curl=client
# variant: curl_client_compression curl=client mode=2
# variant: node_server node=server
# variant: python_server python=server
extends "res://lib/case.gd"

const Pattern := preload("res://lib/pattern.gd")
const SIZES: Array[int] = [0, 1, 125, 126, 65535, 65536, 60 * 1024, 1 << 20]
const TEXTS: Array[String] = ["", "grüße, 世界 🙂", "x"]
## More than a message of 1 MiB, each way.
const BUFFER_KB := 2048
const TIMEOUT := 10.0

var _events: Array = []
var _peer: BufferedWebSocketPeer
var _is_over := false


func run() -> void:
	if role == "server":
		await _serve()
	else:
		await _visit()


## What the scripts in tests/interop do here they check themselves; both sides see the ends.
func _serve() -> void:
	var server := WebSocketServer.new()
	server.set_buffers(BUFFER_KB, 1024, BUFFER_KB, 1024)
	# curl offers no compression.
	server.compression_mode = int(args.get("mode", "0"))
	server.client_connected.connect(
		func(_id: int, protocol: String) -> void: _events.append(["connected", protocol])
	)
	server.client_disconnected.connect(
		func(_id: int, clean: bool) -> void: _events.append(["disconnected", clean])
	)
	server.client_close_request.connect(
		func(_id: int, code: int, reason: String) -> void: _events.append(["close", code, reason])
	)
	server.data_received.connect(_echo.bind(server))
	check_eq(server.listen(port, ["chess", "echo"]), OK, "listen")
	process_frame.connect(server.poll)
	ready_line()
	var first := [["connected", "echo"], ["close", 4001, "adiós"], ["disconnected", true]]
	await _sees(first, "first connection")
	await _sees([["connected", "echo"], ["disconnected", true]], "second connection")
	await _sees([["connected", "chess"]], "third connection")
	await until(func() -> bool: return _is_over, TIMEOUT, "the client's end")
	server.stop()
	await seconds(0.2)
	check_eq(_events, [], "after stop()")
	process_frame.disconnect(server.poll)


func _echo(id: int, server: WebSocketServer) -> void:
	var peer := server.get_peer(id)
	while peer.get_available_packet_count() > 0:
		var packet := peer.get_packet()
		var is_text := peer.was_string_packet()
		match packet.get_string_from_utf8() if is_text else "":
			"close me":
				server.disconnect_peer(id, 4002, "geh, schöner Gast")
				return
			"end":
				_is_over = true
				return
		var error := peer.send(packet, 0 if is_text else 1)
		check_eq(error, OK, "echo of %d bytes" % packet.size())


func _visit() -> void:
	var client := WebSocketClient.new()
	client.set_buffers(BUFFER_KB, 1024, BUFFER_KB, 1024)
	client.connection_established.connect(
		func(protocol: String) -> void: _events.append(["connected", protocol])
	)
	client.connection_closed.connect(
		func(clean: bool) -> void: _events.append(["disconnected", clean])
	)
	client.connection_error.connect(func() -> void: _events.append(["error"]))
	client.server_close_request.connect(
		func(code: int, reason: String) -> void: _events.append(["close", code, reason])
	)
	process_frame.connect(client.poll)
	var url := "ws://127.0.0.1:%d/some/path?x=1" % port

	check_eq(client.connect_to_url(url, ["nonsense", "echo"], false, ["X-Test: yes"]), OK, "1")
	await _sees([["connected", "echo"]], "first connection")
	_peer = client.get_peer(1)
	for text in TEXTS:
		check_eq(_peer.send_text(text), OK, "sending a text")
		check_eq((await _next()).get_string_from_utf8(), text, "echo of a text")
		check(_peer.was_string_packet(), "the echo of a text is text")
	for size in SIZES:
		var message := Pattern.bytes(size, size)
		check_eq(_peer.send(message), OK, "sending %d bytes" % size)
		check_eq(Pattern.difference(await _next(), message), "", "echo of %d bytes" % size)
		check(not _peer.was_string_packet(), "the echo of bytes is no text")
	# Three frames, a ping between them.
	_peer.send_text("fragments")
	check_eq((await _next()).get_string_from_utf8(), "one, zwö, three", "a text in fragments")
	check(_peer.was_string_packet(), "fragments of text are text")
	client.disconnect_from_host(4001, "adiós")
	await _sees([["disconnected", true]], "first connection's end")

	check_eq(client.connect_to_url(url, ["echo"], false, ["X-Test: yes"]), OK, "2")
	await _sees([["connected", "echo"]], "second connection")
	client.get_peer(1).send_text("close me")
	await _sees([["close", 4002, "geh, schöner Gast"], ["disconnected", true]], "its end")

	# Without the header the server does not want us.
	check_eq(client.connect_to_url(url, ["echo"]), OK, "3")
	await _sees([["error"]], "refusal")
	check_eq(client.get_last_error(), "server answered 401 Unauthorized: Go away", "why")

	check_eq(client.connect_to_url(url, ["echo"], false, ["X-Test: yes"]), OK, "4")
	await _sees([["connected", "echo"]], "fourth connection")
	client.get_peer(1).send_text("vanish")
	await _sees([["disconnected", false]], "lost connection")
	process_frame.disconnect(client.poll)


func _next() -> PackedByteArray:
	await until(
		func() -> bool: return _peer.get_available_packet_count() > 0, TIMEOUT, "the next message"
	)
	return _peer.get_packet()


## Waits for these events, and for no others.
func _sees(expected: Array, what: String) -> void:
	await until(func() -> bool: return _events.size() >= expected.size(), TIMEOUT, what)
	check_eq(_events.slice(0, expected.size()), expected, what)
	_events = _events.slice(expected.size())
