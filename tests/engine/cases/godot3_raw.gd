# Raw mode between a real 3.6 and ours, both ways round: subprotocols, text and binary messages,
# Variants, close codes and reasons. The client makes one connection after the other; the number of a connection tells both sides
# what to do with it.
# processes: server client
# timeout: 60
# variant: client_3 engine3=client
# variant: server_3 engine3=server server=3
# variant: ours
# variant: web web=client
# expect@client_3: ^ERROR: Invalid protocol or status code\.$
# expect@client_3: ^ERROR: Invalid response headers\.$
# expect@web: ^ERROR: Invalid status code\. Got: '400', expected '101'\.$
# expect@web: ^ERROR: Invalid response headers\.$
extends "res://lib/case.gd"

const TEXTS: Array[String] = ["echo", "grüße, 世界 🙂", "x"]
const SIZES: Array[int] = [1, 125, 126, 127, 4096, 65535]
const VALUES := ["niño", 7, -(1 << 40), 2.5, true, Vector2(1, -2)]
const TIMEOUT := 10.0

var _events: Array = []
## The id of the present client, or 1.
var _id := 0
## How many of the values came, while they come.
var _values := VALUES.size()
var _server: WebSocketServer
var _client: WebSocketClient


func run() -> void:
	if role == "server":
		await _serve()
	else:
		await _connect_again_and_again()


func _serve() -> void:
	_server = WebSocketServer.new()
	_server.client_connected.connect(
		func(id: int, protocol: String) -> void:
			_id = id
			_events.append(["connected", protocol])
	)
	_server.client_disconnected.connect(
		func(_id: int, clean: bool) -> void: _events.append(["disconnected", clean])
	)
	_server.client_close_request.connect(
		func(_id: int, code: int, reason: String) -> void: _events.append(["close", code, reason])
	)
	_server.data_received.connect(_echo)
	check_eq(_server.listen(port, ["chess", "go"]), OK, "listen")
	process_frame.connect(func() -> void: _server.poll())
	ready_line()

	# 1: echo, the client closes.
	var first := [["connected", "go"], ["close", 4001, "adiós"], ["disconnected", true]]
	await _sees(first, "first connection")
	# 2: the server closes, as the client asks it to.
	await _sees([["connected", "chess"], ["disconnected", true]], "second connection")
	# 3 and 4: the same through the handles.
	var third := [["connected", "go"], ["close", 4003, "by handle"], ["disconnected", true]]
	await _sees(third, "third connection")
	await _sees([["connected", "go"], ["disconnected", true]], "fourth connection")
	# 5 and 6 were not let in. 7: the end of the server.
	await _sees([["connected", "go"]], "last connection")
	# The engine's class does not know the subprotocol of a connection that begins and ends in one poll.
	await seconds(0.5)
	_server.stop()
	await seconds(0.3)
	check_eq(_events, [], "after stop()")


func _echo(id: int) -> void:
	check_eq(id, _id, "who sent data")
	var peer := _server.get_peer(id)
	while peer.get_available_packet_count() > 0:
		if _values < VALUES.size():
			# What was decoded is encoded again, so that the client sees what was understood.
			var got: Variant = peer.get_var()
			check_eq(got, VALUES[_values], "value that came")
			_values += 1
			peer.set_write_mode(BufferedWebSocketPeer.WRITE_MODE_BINARY)
			check_eq(peer.put_var(got), OK, "value back")
			continue
		var packet := peer.get_packet()
		var text := packet.get_string_from_utf8() if peer.was_string_packet() else ""
		if text == "close me":
			_server.disconnect_peer(id, 4002, "geh, schöner Gast")
			return
		if text == "close me by handle":
			peer.close(4004, "by handle")
			return
		peer.set_write_mode(
			(
				BufferedWebSocketPeer.WRITE_MODE_TEXT
				if peer.was_string_packet()
				else BufferedWebSocketPeer.WRITE_MODE_BINARY
			)
		)
		if text == "values":
			_values = 0
			continue
		if packet.is_empty():
			packet = "empty".to_utf8_buffer()
		check_eq(peer.put_packet(packet), OK, "echo of %d bytes" % packet.size())


func _connect_again_and_again() -> void:
	_client = WebSocketClient.new()
	_client.connection_established.connect(
		func(protocol: String) -> void: _events.append(["connected", protocol])
	)
	_client.connection_closed.connect(
		func(clean: bool) -> void: _events.append(["disconnected", clean])
	)
	_client.connection_error.connect(func() -> void: _events.append(["error"]))
	_client.server_close_request.connect(
		func(code: int, reason: String) -> void: _events.append(["close", code, reason])
	)
	process_frame.connect(func() -> void: _client.poll())

	await _open(["bridge", "go"])
	await _sees([["connected", "go"]], "first connection")
	await _exchange()
	_client.disconnect_from_host(4001, "adiós")
	await _sees([["disconnected", true]], "first connection's end")
	check_eq(_client.get_close_code(), 4001, "own close code")

	await _open(["chess", "go"])
	_say("close me")
	var closed := [
		["connected", "chess"], ["close", 4002, "geh, schöner Gast"], ["disconnected", true]
	]
	await _sees(closed, "second connection")
	check_eq(_client.get_close_reason(), "geh, schöner Gast", "the server's reason")

	await _open(["go"])
	_client.get_peer(1).close(4003, "by handle")
	await _sees([["connected", "go"], ["disconnected", true]], "third connection")
	await _open(["go"])
	_say("close me by handle")
	var by_handle := [["connected", "go"], ["close", 4004, "by handle"], ["disconnected", true]]
	await _sees(by_handle, "fourth connection")

	for protocols: Array in [["bridge"], []]:
		check_eq(
			_client.connect_to_url("ws://127.0.0.1:%d" % port, protocols), OK, "connect_to_url"
		)
		await _sees([["error"]], "connection with the protocols %s" % [protocols])
		print("refused: ", _client.get_last_error())
		check(not _client.get_last_error().is_empty(), "a refusal has a reason")

	await _open(["go"])
	var end := [["connected", "go"], ["close", 1000 if args.get("server") == "3" else 1001, ""]]
	await _sees(end + [["disconnected", true]], "last connection")


func _open(protocols: PackedStringArray) -> void:
	check_eq(_client.connect_to_url("ws://127.0.0.1:%d" % port, protocols), OK, "connect_to_url")
	await until(
		func() -> bool: return not _events.is_empty(), TIMEOUT, "an answer to %s" % protocols
	)


func _say(text: String) -> void:
	var peer := _client.get_peer(1)
	peer.set_write_mode(BufferedWebSocketPeer.WRITE_MODE_TEXT)
	check_eq(peer.put_packet(text.to_utf8_buffer()), OK, "saying %s" % text)


## Text and binary, both echoed as what they were, and values.
func _exchange() -> void:
	var peer := _client.get_peer(1)
	for text in TEXTS:
		_say(text)
		check_eq((await _next()).get_string_from_utf8(), text, "echo of a text")
		check(peer.was_string_packet(), "the echo of a text is text")
	for size in SIZES:
		var message := PackedByteArray()
		message.resize(size)
		message.fill(size & 255)
		peer.set_write_mode(BufferedWebSocketPeer.WRITE_MODE_BINARY)
		check_eq(peer.put_packet(message), OK, "sending %d bytes" % size)
		check(await _next() == message, "echo of %d bytes" % size)
		check(not peer.was_string_packet(), "the echo of bytes is no text")
	# 3.6 takes an empty message, but never sends one.
	check_eq(peer.send_text(""), OK, "sending an empty text")
	check_eq((await _next()).get_string_from_utf8(), "empty", "answer to an empty text")
	_say("values")
	peer.set_write_mode(BufferedWebSocketPeer.WRITE_MODE_BINARY)
	for value: Variant in VALUES:
		check_eq(peer.put_var(value), OK, "put_var")
		await until(func() -> bool: return peer.get_available_packet_count() > 0, TIMEOUT, "value")
		check_eq(peer.get_var(), value, "value that came back")


func _next() -> PackedByteArray:
	var peer := _client.get_peer(1)
	await until(func() -> bool: return peer.get_available_packet_count() > 0, TIMEOUT, "echo")
	return peer.get_packet()


## Waits for these events, and for no others.
func _sees(expected: Array, what: String) -> void:
	await until(func() -> bool: return _events.size() >= expected.size(), TIMEOUT, what)
	check_eq(_events.slice(0, expected.size()), expected, what)
	_events = _events.slice(expected.size())
