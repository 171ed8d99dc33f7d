# Compressed messages with other WebSocket implementations, as their server and as their client: each parameter of permessage-deflate, each
# mode. The messages come back as they were, and the statistics show that everything that can shrink was compressed.
# processes: server client
# timeout: 60
# variant: node_client node=client mode=1
# variant: node_client_dedicated node=client mode=2
# variant: python_client python=client mode=1
# variant: python_client_dedicated python=client mode=2
# variant: node_server node=server mode=1
# variant: node_server_dedicated node=server mode=2
# variant: python_server python=server mode=1
# variant: python_server_dedicated python=server mode=2
extends "res://lib/case.gd"

const BUFFER_KB := 16384
## The first kinds of answers, with and without takeover of the context, get large messages, too.
const LARGE_KINDS := 4
## The sizes of the messages of noise, and of the large ones, of which one is noise, too.
const NOISE := [1, 50, 3000, 40000]
const LARGE := [200 * 1024, 1024 * 1024]
## The bytes of messages that are so small that they need not shrink.
const SMALL := 4000
const TIMEOUT := 10.0

var _is_over := false
var _peer: BufferedWebSocketPeer


func run() -> void:
	if role == "server":
		await _serve()
	else:
		await _visit()


## Sends everything back. The path of a client says what its offer leads to, the bytes of its messages, and those that are noise:
## `/dedicated/compressed/139219/43051`.
func _serve() -> void:
	var server := WebSocketServer.new()
	server.set_buffers(BUFFER_KB, 1024, BUFFER_KB, 1024)
	server.compression_mode = int(args["mode"])
	server.compression_threshold = 0
	server.data_received.connect(_echo.bind(server))
	check_eq(server.listen(port), OK, "listen")
	process_frame.connect(server.poll)
	ready_line()
	await until(func() -> bool: return _is_over, TIMEOUT * 4, "the client's end")
	process_frame.disconnect(server.poll)


func _echo(id: int, server: WebSocketServer) -> void:
	var peer := server.get_peer(id)
	while peer.get_available_packet_count() > 0:
		var packet := peer.get_packet()
		var is_text := peer.was_string_packet()
		match packet.get_string_from_utf8() if is_text else "":
			"statistics":
				var words := peer.get_requested_path().split("/")
				var figures := server.get_peer_statistics(id)
				_check_statistics(figures, words[1], words[2], int(words[3]), int(words[4]))
			"end":
				_is_over = true
		check_eq(peer.send(packet, 0 if is_text else 1), OK, "echo of %d bytes" % packet.size())


func _visit() -> void:
	var client := WebSocketClient.new()
	client.set_buffers(BUFFER_KB, 1024, BUFFER_KB, 1024)
	client.compression_mode = int(args["mode"])
	client.compression_threshold = 0
	process_frame.connect(client.poll)
	var number := 0
	var more := "more"
	while more == "more":
		var url := "ws://127.0.0.1:%d/%d" % [port, number]
		check_eq(client.connect_to_url(url), OK, url)
		_peer = client.get_peer(1)
		# What the answer of this path leads to.
		var words := (await _next()).get_string_from_utf8().split(" ")
		var messages := _messages(number < LARGE_KINDS)
		var all := 0
		for message: Variant in messages:
			all += message.to_utf8_buffer().size() if message is String else message.size()
			var error := _peer.send_text(message) if message is String else _peer.send(message)
			check_eq(error, OK, "%s: sending" % url)
		for message: Variant in messages:
			var echo := await _next()
			check_eq(_peer.was_string_packet(), message is String, "%s: the kind of an echo" % url)
			var sent: PackedByteArray = message.to_utf8_buffer() if message is String else message
			check(echo == sent, "%s: echo of %d bytes: %d" % [url, sent.size(), echo.size()])
		var figures := client.get_peer_statistics(1)
		var noise := 0
		for size: int in NOISE + LARGE if number < LARGE_KINDS else NOISE:
			noise += size
		_check_statistics(figures, words[0], words[1], all, noise)
		more = words[2]
		client.disconnect_from_host()
		await until(
			func() -> bool: return client.get_connection_status() == 0,
			TIMEOUT,
			"the end of %s" % url
		)
		number += 1
	check(number >= 8, "%d kinds of answers" % number)
	process_frame.disconnect(client.poll)


func _messages(large: bool) -> Array:
	var messages := ["", "x".repeat(40000), "é".repeat(5000), "grüße, 世界 🙂"]
	for tick: int in 60:
		messages.append('{"tick":%d,"id":%d,"place":[%d,1.5]}' % [tick, tick % 5, tick * 7 % 50])
	for size: int in NOISE:
		var noise := PackedByteArray()
		for index: int in size:
			noise.append(randi())
		messages.append(noise)
	messages.append(JSON.stringify(range(9000)))
	# These are compressed and inflated in many pieces, with others behind them.
	for size: int in LARGE if large else []:
		var rows := PackedStringArray()
		for row: int in size / 32:
			rows.append('{"row":%5d,"name":"grüße 🙂"}' % row)
		var text := ",".join(rows)
		var noise := Crypto.new().generate_random_bytes(size)
		var noisy := Marshalls.raw_to_base64(noise.slice(0, size / 4 * 3))
		messages.append_array([text, noise, noisy, text.to_utf8_buffer()])
	return messages


func _check_statistics(
	figures: Dictionary, agreed: String, sent: String, all: int, noise: int
) -> void:
	check_eq(figures["compression"], agreed, "what was agreed on")
	# The others compress noise, too.
	var came: int = figures["inflated_in_bytes"]
	check(came >= all, "%d of %d bytes came compressed" % [came, all])
	var plain: int = figures["deflated_out_bytes"]
	var compressed: int = figures["compressed_out_bytes"]
	if sent == "plain":
		check_eq([plain, compressed], [0, 0], "sent with a window of 256 bytes")
	else:
		var least := all - noise - SMALL
		check(plain >= least, "%d of %d bytes were compressed" % [plain, least])
		check(compressed * 2 < plain, "%d bytes sent as %d" % [plain, compressed])


func _next() -> PackedByteArray:
	await until(
		func() -> bool: return _peer.get_available_packet_count() > 0, TIMEOUT, "the next message"
	)
	return _peer.get_packet()
