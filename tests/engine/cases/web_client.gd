# The client classes of a web export against the addon's server: raw mode with its signals, messages, closing and statistics, multiplayer mode
# with both wire formats, and a server that does not read.
# processes: server client
# web: client
# timeout: 60
# expect: ^ERROR: BufferedWebSocketPeer\.\w+\(\): .+\.$
# expect: ^ERROR: WebSocketClient\.\w+\(\): .+\.$
# expect: ^WARNING: WebSocket: peer 1 \(127\.0\.0\.1:\d+\) does not take its packets: closing it with 4013
# expect: ^WARNING: WebSocketClient\.connect_to_url\(\): a browser sends no custom_headers
# expect: ^ERROR: BufferedWebSocketMultiplayerPeer\.create_server\(\): a web export cannot be a server
# expect: ^ERROR: WebSocketServer\.listen\(\): a web export cannot listen
# allow: ^WARNING: WebSocket: peer \d+ \(.*\) does not take its packets
extends "res://lib/case.gd"

const PATIENCE := 10.0
const CONNECTED := MultiplayerPeer.CONNECTION_CONNECTED
const DISCONNECTED := MultiplayerPeer.CONNECTION_DISCONNECTED
## Names of steps, which are files in the scratch folder.
const RAW := "raw"
const GODOT4 := "godot4"
const GODOT3 := "godot3"
const FLOOD := 500

var _server: WebSocketServer
var _client: WebSocketClient
var _events: Array = []
## The server does not poll until then, in milliseconds of the process.
var _sleeps_until := 0


func run() -> void:
	process_frame.connect(_poll)
	if role == "server":
		await _serve()
	else:
		await _raw_mode()
		await _multiplayer_mode(GODOT4, WebSocketClient.WIRE_FORMAT_GODOT4)
		await _multiplayer_mode(GODOT3, WebSocketClient.WIRE_FORMAT_GODOT3)
		_no_servers()
	process_frame.disconnect(_poll)


func _poll() -> void:
	if _server != null and Time.get_ticks_msec() >= _sleeps_until:
		_server.poll()
	if _client != null:
		_client.poll()


func _serve() -> void:
	for step: String in [RAW, GODOT4, GODOT3]:
		_server = WebSocketServer.new()
		_server.client_close_request.connect(
			func(_id: int, code: int, reason: String) -> void: _events.append([code, reason])
		)
		if step == RAW:
			_server.data_received.connect(_answer)
		else:
			_server.peer_packet.connect(_answer_packet)
			if step == GODOT3:
				_server.wire_format = WebSocketServer.WIRE_FORMAT_GODOT3
		check_eq(_server.listen(port, ["go"] if step == RAW else [], step != RAW), OK, "listen")
		if step == RAW:
			ready_line()
		else:
			leave(step, "")
		await until(is_left.bind(step + " done"), 40.0, "the client's word: " + step)
		if step == RAW:
			# The codes that a page may not send are mapped.
			var codes := [[4001, "adiós"], [4001, "away"], [4013, ""], [4003, "by handle"]]
			check_eq(_events.slice(0, 4), codes, "how the client closed")
		_server.stop()
		await frames(5)


## Raw mode: a text is an order, everything else is sent back.
func _answer(id: int) -> void:
	var peer := _server.get_peer(id)
	while peer.get_available_packet_count() > 0:
		var packet := peer.get_packet()
		var text := packet.get_string_from_utf8() if peer.was_string_packet() else ""
		if text == "close":
			peer.send_text("last words")
			_server.disconnect_peer(id, 4002, "geh")
		elif text == "statistics":
			leave("keys", str(_server.get_peer_statistics(id).keys()))
			peer.send_text("left")
		elif peer.was_string_packet():
			peer.send_text(text)
		else:
			peer.send(packet)


func _answer_packet(id: int) -> void:
	while _server.get_available_packet_count() > 0:
		var packet := _server.get_packet()
		var text := packet.get_string_from_ascii() if packet.size() < 100 else ""
		if text == "close":
			_server.disconnect_peer(id, 4005, "out")
		elif text == "sleep":
			_sleeps_until = Time.get_ticks_msec() + 2500
		elif text == "flood":
			_server.set_target_peer(id)
			for number in FLOOD:
				_server.put_packet(PackedByteArray([1, number & 255, number >> 8]))
		elif packet.size() < 100:
			_server.set_target_peer(id)
			_server.put_packet(packet)


func _raw_mode() -> void:
	_client = _listened(WebSocketClient.new())
	var handle := await _connect_raw()
	check_eq(_client.get_connected_host(), "127.0.0.1", "host")
	check_eq(_client.get_connected_port(), port, "port")
	check_eq(_client.get_unique_id(), 0, "id in raw mode")
	check(_client.get_peer(1) == handle, "one handle")
	check_eq(_client.get_peer(2), null, "a client has one peer")
	check_eq(_client.put_packet([1]), ERR_UNCONFIGURED, "packets of raw mode")
	await _messages(handle)
	await _statistics(handle)
	_client.disconnect_from_host(1006)
	_client.disconnect_from_host(4001, "adiós")
	check_eq(handle.get_ready_state(), BufferedWebSocketPeer.STATE_CLOSING, "state while closing")
	check_eq(handle.send_text("too late"), FAILED, "sending while closing")
	await _sees([["closed", true]], "the end")
	check_eq([_client.get_close_code(), _client.get_close_reason()], [4001, "adiós"], "own close")
	check_eq(handle.get_ready_state(), BufferedWebSocketPeer.STATE_CLOSED, "state afterwards")
	check_eq(handle.get_close_code(), 4001, "close code of the handle")
	check_eq(_client.get_peer(1), null, "no handle afterwards")
	check(_client.get_last_error().begins_with("closed here"), _client.get_last_error())
	for code: int in [1001, 1013]:
		await _connect_raw()
		_client.disconnect_from_host(code, "away" if code == 1001 else "")
		await _sees([["closed", true]], "the end by %d" % code)
	handle = await _connect_raw()
	handle.close(4003, "by handle")
	await _sees([["closed", true]], "the end by the handle")
	handle = await _connect_raw()
	handle.send_text("close")
	await until(func() -> bool: return _events.size() >= 2, PATIENCE, "the server's close")
	# The engine's class, on which this stands here, may lose what comes together with a close.
	_events.erase(["data"])
	await _sees([["request", 4002, "geh"], ["closed", true]], "the server's close")
	check_eq(
		_client.get_last_error(), "closed by the remote with code 4002 (geh)", "the reason in words"
	)
	handle = await _connect_raw()
	handle.close(-1)
	check_eq(handle.get_ready_state(), BufferedWebSocketPeer.STATE_CLOSED, "dropped at once")
	await _sees([["closed", false]], "a drop")
	check_eq(_client.get_close_code(), -1, "close code of a drop")
	check_eq(_client.connect_to_url("ws://127.0.0.1:%d" % port, ["go"]), OK, "connect_to_url")
	_client.disconnect_from_host()
	check_eq(_client.get_connection_status(), DISCONNECTED, "given up")
	await frames(5)
	check_eq(_events, [], "signals of an attempt that was given up")
	check_eq(_client.connect_to_url("ws://127.0.0.1:1"), OK, "connect_to_url")
	await _sees([["error"]], "nobody there")
	check(_client.get_last_error().contains("127.0.0.1:1"), _client.get_last_error())
	_client.close()
	_client = null
	leave(RAW + " done", "")


func _messages(handle: BufferedWebSocketPeer) -> void:
	for bytes: PackedByteArray in [PackedByteArray(), PackedByteArray([0, 255, 10])]:
		check_eq(handle.put_packet(bytes), OK, "put_packet")
		check_eq(await _next(handle), bytes, "binary")
		check_eq(handle.was_string_packet(), false, "binary is no text")
	check_eq(handle.send_text("grüß dich"), OK, "send_text")
	check_eq((await _next(handle)).get_string_from_utf8(), "grüß dich", "text")
	check_eq(handle.was_string_packet(), true, "text")
	check_eq(handle.put_var({"a": [1, 2.5]}), OK, "put_var")
	await until(func() -> bool: return handle.get_available_packet_count() > 0, PATIENCE, "a value")
	check_eq(handle.get_var(), {"a": [1, 2.5]}, "get_var")
	handle.set_write_mode(BufferedWebSocketPeer.WRITE_MODE_TEXT)
	check_eq(handle.put_packet([255, 254]), ERR_INVALID_DATA, "no UTF-8")
	check_eq(handle.put_packet([0xed, 0xa0, 0x80]), ERR_INVALID_DATA, "half of a pair")
	check_eq(handle.put_packet("x".to_utf8_buffer()), OK, "text by put_packet")
	check_eq((await _next(handle)).get_string_from_utf8(), "x", "text by put_packet")
	var large := PackedByteArray()
	large.resize(65537)
	check_eq(handle.send(large), ERR_OUT_OF_MEMORY, "larger than the output buffer")
	check_eq(handle.get_packet(), PackedByteArray(), "no packet")
	check_eq(handle.get_packet_error(), ERR_UNAVAILABLE, "no packet")


func _statistics(handle: BufferedWebSocketPeer) -> void:
	check_eq(handle.send_text("statistics"), OK, "send_text")
	await _next(handle)
	var figures := _client.get_peer_statistics(1)
	var keys := FileAccess.get_file_as_string(scratch("keys"))
	check_eq(str(figures.keys()), keys, "names of the figures of a peer")
	# Six messages before this one.
	check_eq([figures.packets_in, figures.packets_out], [6, 6], "messages")
	check_eq([figures.queued_in_packets, figures.queued_in_bytes], [0, 0], "all were taken")
	check_eq([figures.address, figures.port], ["127.0.0.1", port], "the server's address")
	check_eq([figures.protocol, figures.path], ["go", "/lobby?room=7"], "protocol and path")
	var totals := _client.get_statistics()
	check_eq([totals.peers, totals.pending, totals.packets_in], [1, 0, 6], "totals")
	check(totals.bytes_in > 20 and totals.poll_usec > 0, "totals: %s" % totals)
	_events.clear()


func _multiplayer_mode(step: String, wire: int) -> void:
	await until(is_left.bind(step), PATIENCE, "the server: " + step)
	_client = _listened(WebSocketClient.new())
	_client.wire_format = wire
	await _connect_multiplayer()
	check_eq(_client.put_packet([]), OK, "an empty packet never reaches a server")
	check_eq(_client.call("put_packet", PackedByteArray()), ERR_INVALID_PARAMETER, "empty")
	for number: int in 100:
		check_eq(_client.put_packet([number, 1]), OK, "put_packet")
	await until(
		func() -> bool: return _client.get_available_packet_count() == 100, PATIENCE, "an echo"
	)
	check_eq(_events.count(["packet", 1]), 100, "peer_packet for each")
	for number: int in 100:
		check_eq(_client.get_packet_peer(), 1, "sender")
		check_eq(_client.get_packet(), PackedByteArray([number, 1]), "packets in order")
	_events.clear()
	await _slow_server()
	check_eq(_client.put_packet("close".to_ascii_buffer()), OK, "put_packet")
	await _sees(
		[["request", 4005, "out"], ["out", 1, DISCONNECTED, 3], ["lost"]], "the server's close"
	)
	check_eq(_client.get_connection_status(), DISCONNECTED, "status")
	await _connect_multiplayer()
	_client.close()
	await frames(10)
	check_eq(_events, [], "close() tells nothing")
	await _reopened()
	await _connect_multiplayer()
	await _overflow()
	_client.close()
	_client = null
	if wire == WebSocketClient.WIRE_FORMAT_GODOT4:
		await _share()
	leave(step + " done", "")


## Congestion, with the policy that refuses.
func _slow_server() -> void:
	_client.overflow_policy = WebSocketClient.OVERFLOW_REFUSE
	check_eq(_client.put_packet("sleep".to_ascii_buffer()), OK, "put_packet")
	await seconds(0.2)
	var sent := _fill()
	check(sent > 20, "a burst of %d packets" % sent)
	await until(func() -> bool: return ["congested", 1] in _events, 2.0, "congestion")
	_client.transfer_mode = MultiplayerPeer.TRANSFER_MODE_UNRELIABLE
	check_eq(_client.put_packet([1, 2, 3]), OK, "an unreliable packet is dropped")
	_client.transfer_mode = MultiplayerPeer.TRANSFER_MODE_RELIABLE
	var totals := _client.get_statistics()
	check_eq([totals.packets_refused, totals.packets_dropped_unreliable], [1, 1], "totals")
	await until(func() -> bool: return ["drained", 1] in _events, PATIENCE, "it has drained")
	check_eq(_events, [["congested", 1], ["drained", 1]], "nothing else")
	_events.clear()


## The default policy ends the connection.
func _overflow() -> void:
	_client.overflow_policy = WebSocketClient.OVERFLOW_DISCONNECT
	check_eq(_client.put_packet("sleep".to_ascii_buffer()), OK, "put_packet")
	await seconds(0.2)
	_fill()
	await until(func() -> bool: return ["lost"] in _events, PATIENCE, "the end")
	check_eq(_events[0], ["overflowed", 1], "what is told first")
	check_eq(_events[-1], ["lost"], "what is told last")
	check(_client.get_last_error().contains("fast enough"), _client.get_last_error())
	check_eq(_client.get_statistics().peers_overflowed, 1, "totals")
	_events.clear()


## A game that takes all there are gets a share of each frame, and hears of the end behind the last packet.
func _share() -> void:
	var client := WebSocketClient.new()
	var url := "ws://127.0.0.1:%d" % port
	check_eq(client.connect_to_url(url, [], true), OK, "connect_to_url")
	var is_in := func() -> bool:
		client.poll()
		return client.get_connection_status() == CONNECTED
	await until(is_in, PATIENCE, "a connection")
	var before: int = client.get_peer_statistics(1).packets_in
	check_eq(client.put_packet("flood".to_ascii_buffer()), OK, "put_packet")
	# The engine's class may lose what comes together with a Close.
	var is_here := func() -> bool:
		client.poll()
		return client.get_peer_statistics(1).packets_in - before == FLOOD
	await until(is_here, PATIENCE, "all packets")
	var taken := 0
	var most := 0
	var has_asked := false
	var first_polls := 0
	while client.get_connection_status() == CONNECTED:
		client.poll()
		var count := 0
		while client.get_available_packet_count() > 0:
			var packet := client.get_packet()
			check_eq(packet.decode_u16(1), taken, "in order")
			taken += 1
			count += 1
			OS.delay_usec(2000)
		most = maxi(most, count)
		if taken > 0 and not has_asked:
			has_asked = true
			first_polls = taken
			check_eq(client.put_packet("close".to_ascii_buffer()), OK, "put_packet")
		await frames(1)
	check(first_polls < FLOOD, "the server closes while packets wait")
	check_eq(taken, FLOOD, "packets before the end")
	# A portion without a look at the clock, and at most 50 ms rounded up to the next one.
	check(most <= 128, "%d packets of 2 ms in one frame" % most)
	check_eq(client.get_close_code(), 4005, "the end")


## Closed and opened again in one frame: a MultiplayerAPI is told that the old server is gone.
func _reopened() -> void:
	var told: Array = []
	var joined := func(id: int) -> void: told.append(["in", id])
	var left := func(id: int) -> void: told.append(["out", id])
	var api := get_multiplayer()
	api.peer_connected.connect(joined)
	api.peer_disconnected.connect(left)
	var url := "ws://127.0.0.1:%d" % port
	check_eq(_client.connect_to_url(url, [], true), OK, "connect_to_url")
	api.multiplayer_peer = _client
	await until(func() -> bool: return told.size() == 1, PATIENCE, "a connection")
	_client.close()
	check_eq(_client.connect_to_url(url, [], true), OK, "connect_to_url again")
	await until(func() -> bool: return told.size() == 3, PATIENCE, "another connection")
	check_eq(told, [["in", 1], ["out", 1], ["in", 1]], "what the MultiplayerAPI tells")
	api.peer_connected.disconnect(joined)
	api.peer_disconnected.disconnect(left)
	api.multiplayer_peer = null
	_client.close()
	_events.clear()


## Sends until there is no room. Returns how many packets had room.
func _fill() -> int:
	var packet := PackedByteArray()
	packet.resize(60000)
	for number: int in 1000:
		var error := _client.put_packet(packet)
		if error != OK:
			check_eq(error, ERR_OUT_OF_MEMORY, "without room")
			return number
		_client.poll()
	fail("1000 packets of 60000 bytes had room")
	return 0


func _no_servers() -> void:
	check_eq(WebSocketServer.new().listen(port), ERR_UNAVAILABLE, "listen()")
	var peer := BufferedWebSocketMultiplayerPeer.new()
	check_eq(peer.create_server(port), ERR_UNAVAILABLE, "create_server()")


func _connect_raw() -> BufferedWebSocketPeer:
	_events.clear()
	var url := "ws://127.0.0.1:%d/lobby?room=7" % port
	check_eq(_client.connect_to_url(url, ["chess", "go"], false, ["X: y"]), OK, "connect_to_url")
	check_eq(_client.connect_to_url(url), ERR_ALREADY_IN_USE, "open already")
	var handle := _client.get_peer(1)
	check_eq(handle.get_ready_state(), BufferedWebSocketPeer.STATE_CONNECTING, "state at first")
	await _sees([["established", "go"]], "a connection")
	check_eq(handle.get_ready_state(), BufferedWebSocketPeer.STATE_OPEN, "state")
	check_eq(handle.get_selected_protocol(), "go", "protocol")
	check_eq(handle.get_requested_url(), url, "URL")
	return handle


func _connect_multiplayer() -> void:
	_events.clear()
	check_eq(_client.connect_to_url("ws://127.0.0.1:%d" % port, [], true), OK, "connect_to_url")
	check_eq(_client.put_packet([1]), ERR_UNCONFIGURED, "before it is connected")
	await _sees([["in", 1, CONNECTED], ["succeeded"]], "a connection")
	check(_client.get_unique_id() > 1, "an id")


func _next(handle: BufferedWebSocketPeer) -> PackedByteArray:
	await until(func() -> bool: return handle.get_available_packet_count() > 0, PATIENCE, "an echo")
	return handle.get_packet()


## Waits for these events, and for no others.
func _sees(expected: Array, what: String) -> void:
	await until(func() -> bool: return _events.size() >= expected.size(), PATIENCE, what)
	await frames(3)
	check_eq(_events, expected, what)
	_events.clear()


func _listened(client: WebSocketClient) -> WebSocketClient:
	# A handler must not hold the object that it is connected to.
	var weak: WeakRef = weakref(client)
	client.connection_established.connect(
		func(protocol: String) -> void: _events.append(["established", protocol])
	)
	client.connection_closed.connect(func(clean: bool) -> void: _events.append(["closed", clean]))
	client.connection_error.connect(func() -> void: _events.append(["error"]))
	client.server_close_request.connect(
		func(code: int, reason: String) -> void: _events.append(["request", code, reason])
	)
	client.peer_connected.connect(
		func(id: int) -> void: _events.append(["in", id, weak.get_ref().get_connection_status()])
	)
	client.peer_disconnected.connect(
		func(id: int) -> void:
			var peer: WebSocketClient = weak.get_ref()
			var state := peer.get_peer(1).get_ready_state()
			_events.append(["out", id, peer.get_connection_status(), state])
	)
	client.connection_succeeded.connect(func() -> void: _events.append(["succeeded"]))
	client.connection_failed.connect(func() -> void: _events.append(["failed"]))
	client.server_disconnected.connect(func() -> void: _events.append(["lost"]))
	client.peer_packet.connect(func(id: int) -> void: _events.append(["packet", id]))
	client.peer_congested.connect(func(id: int) -> void: _events.append(["congested", id]))
	client.peer_drained.connect(func(id: int) -> void: _events.append(["drained", id]))
	client.peer_overflowed.connect(func(id: int) -> void: _events.append(["overflowed", id]))
	return client
