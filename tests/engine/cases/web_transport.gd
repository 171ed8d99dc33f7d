# The connection of a web export without a browser: what goes into a Close frame, what counts as congestion, and how much one poll lets a game take.
# processes: client
# variant: web web=client
# expect: a browser sends no close code of 1001 to 2999: 1001 goes out as 4001
extends "res://lib/case.gd"

const WEB := "res://addons/websocket_multiplayer/web/"

var _listener := TCPServer.new()
var _remote := WebSocketPeer.new()
var _transport: RefCounted


func run() -> void:
	_check_close_frames()
	_check_congestion()
	_check_waiting_packets()
	check_eq(_listener.listen(0, "127.0.0.1"), OK, "listening")
	await _check_opening()
	await _check_share()
	await _check_slow_frames()
	await _check_limit()
	await _check_closing()


func _check_close_frames() -> void:
	var frame: GDScript = load(WEB + "close_frame.gd")
	for pair: Array in [
		[1000, 1000],
		[1001, 4001],
		[1013, 4013],
		[1999, 4999],
		[2000, 4000],
		[2345, 4345],
		[2999, 4999],
		[3000, 3000],
		[4999, 4999],
		[5000, 1000],
		[999, 1000],
		[0, 1000],
		[-1, 1000],
		[70000, 1000],
	]:
		check_eq(frame.call("legal_code", pair[0]), pair[1], "the code %d" % pair[0])
	for pair: Array in [
		["", ""],
		["x".repeat(123), "x".repeat(123)],
		["x".repeat(124), "x".repeat(123)],
		["é".repeat(62), "é".repeat(61)],
		["x" + "é".repeat(61), "x" + "é".repeat(61)],
		["🙂".repeat(40), "🙂".repeat(30)],
		["xx" + "世".repeat(41), "xx" + "世".repeat(40)],
	]:
		check_eq(
			frame.call("legal_reason", pair[0]), pair[1], "the reason of %d letters" % len(pair[0])
		)


func _check_congestion() -> void:
	var line: RefCounted = load(WEB + "congestion.gd").new()
	# Bytes unsent before this frame, sent in this frame already, time, congested, stalled.
	for step: Array in [
		# A burst that is gone at the next poll, again and again.
		[0, 0, 0, false, 0],
		[0, 500000, 16, false, 0],
		[0, 500000, 32, false, 0],
		# Data that waits for 100 ms without a moment at which none did.
		[1000, 0, 48, false, 0],
		[900, 0, 64, false, 0],
		[900, 0, 147, false, 83],
		[900, 0, 148, true, 84],
		# Some leaves: congested, not stalled.
		[500, 0, 164, true, 0],
		[500, 0, 264, true, 100],
		# More is sent than leaves.
		[600, 0, 280, true, 116],
		# All has left.
		[0, 0, 296, false, 0],
		[700, 0, 312, false, 0],
		[700, 0, 412, true, 100],
		# Nobody watched for more than a second, which tells nothing.
		[700, 0, 1500, false, 0],
		[700, 0, 1599, false, 99],
		[700, 0, 1600, true, 100],
	]:
		line.call("judge", step[0], step[1], step[2])
		check_eq(line.get("congested"), step[3], "congested at %d ms" % step[2])
		check_eq(line.call("stalled_msec"), step[4], "stalled at %d ms" % step[2])
		check_eq(line.get("bytes"), step[0] + step[1], "bytes at %d ms" % step[2])
	line.call("sent", 300, 1)
	check_eq([line.get("bytes"), line.get("packets")], [1000, 1], "after a send")
	line.call("judge", 700, 300, 1616)
	check_eq(line.get("packets"), 1, "packets while data waits")
	check_eq(line.get("drained"), false, "data waits")
	line.call("judge", 0, 300, 1624)
	check_eq(line.get("drained"), true, "what this frame has sent does not count")
	line.call("judge", 0, 0, 1632)
	check_eq([line.get("bytes"), line.get("packets")], [0, 0], "when all has left")


## Packets leave in order, so what waits are the last of them.
func _check_waiting_packets() -> void:
	var line: RefCounted = load(WEB + "congestion.gd").new()
	for step: Array in [
		# Packets of 10 bytes that are sent, those that wait, and bytes of another connection before them; as which they count.
		[5, 5, 0, 5],
		[5, 7, 0, 10],
		[5, 9, 0, 10],
		[0, 5, 0, 5],
		[3, 8, 0, 8],
		[3, 7, 0, 11],
		# What is sent again comes first.
		[2, 4, 1000, 5],
		[0, 2, 0, 2],
		[0, 0, 0, 0],
		[4, 4, 0, 4],
	]:
		line.call("sent", step[0] * 10, step[0])
		line.call("judge", step[1] * 10 + step[2], 0, 0, step[2])
		check_eq(line.get("packets"), step[3], "packets that wait: %s" % [step])
	# Empty messages have left when those before them have.
	line.call("sent", 0, 3)
	line.call("judge", 0, 0, 0)
	check_eq(line.get("packets"), 0, "empty messages")
	# A line that takes nothing for long: few marks, and never less than what waits.
	for number: int in 5000:
		line.call("sent", 10, 1)
		line.call("judge", number * 10 + 10, 0, 0)
	check_eq(line.get("packets"), 5000, "packets that wait for long")
	var marks: PackedInt64Array = line.get("_mark_bytes")
	check(marks.size() <= 512, "%d marks" % marks.size())
	for waiting: int in range(5000, -1, -50):
		line.call("judge", waiting * 10, 0, 0)
		var packets: int = line.get("packets")
		check(packets >= waiting and packets <= waiting + 50, "%d for %d" % [packets, waiting])
	check_eq(line.get("packets"), 0, "when all has left")
	for waiting: int in [5, 10, 7]:
		line.call("sent", 50 if waiting != 7 else 0, 5 if waiting != 7 else 0)
		line.call("judge", waiting * 10, 0, 0)
	check_eq(line.get("packets"), 10, "each frame counts by itself again")
	line.call("judge", 50, 0, 0)
	check_eq(line.get("packets"), 5, "each frame counts by itself again")


func _check_opening() -> void:
	_transport = load(WEB + "lone_transport.gd").new()
	for url: String in ["http://127.0.0.1", "ws://", ""]:
		check_eq(_open(url, {}), ERR_INVALID_PARAMETER, 'the URL "%s"' % url)
		check(_transport.call("last_error").contains("is not the URL of a WebSocket"), "why not")
	check_eq(_transport.call("send", PackedByteArray([1]), false), ERR_UNCONFIGURED, "not open")
	await _connect({})
	check_eq(_open("ws://127.0.0.1", {}), ERR_ALREADY_IN_USE, "open already")
	_transport.call("send", "hello".to_utf8_buffer(), true)
	await until(_remote_has_packet, 5.0, "the text arrives")
	check_eq(_remote.get_packet().get_string_from_utf8(), "hello", "the text")
	check(_remote.was_string_packet(), "it is a text message")
	_remote.send_text("hi")
	_remote.send(PackedByteArray())
	await until(func() -> bool: return _poll() == 2, 5.0, "two messages arrive")
	check_eq(
		[_transport.call("take"), _transport.call("took_string")],
		["hi".to_utf8_buffer(), true],
		"the first"
	)
	check_eq(
		[_transport.call("take"), _transport.call("took_string")],
		[PackedByteArray(), false],
		"the second"
	)
	check_eq(_transport.call("available"), 0, "nothing more")
	var figures: Dictionary = _transport.call("figures")
	check_eq(
		[figures["packets_in"], figures["packets_out"], figures["bytes_in"]],
		[2, 1, 2],
		"the figures"
	)
	_transport.call("close", 1013, "x".repeat(200))
	await until(_has_closed, 5.0, "the end")
	check_eq(
		[_remote.get_close_code(), _remote.get_close_reason()],
		[4013, "x".repeat(123)],
		"the Close frame"
	)


## One poll lets the game take 1 MiB, and packets for some milliseconds.
func _check_share() -> void:
	await _connect({})
	var packet := PackedByteArray()
	packet.resize(1024)
	for number in 3000:
		packet.encode_u32(0, number)
		check_eq(_remote.send(packet), OK, "sending")
	var taken := 0
	var most := 0
	var slow := false
	while taken < 3000 and not _has_closed():
		_poll()
		var count := 0
		while _transport.call("available") > 0:
			var got: PackedByteArray = _transport.call("take")
			check_eq(got.decode_u32(0), taken, "the order")
			taken += 1
			count += 1
			if taken > 2500:
				slow = true
				OS.delay_usec(2000)
		most = maxi(most, count)
		check(count <= 1024, "%d packets of 1 KiB in one poll" % count)
		check(
			not slow or count <= 26 or taken - count < 2500, "%d slow packets in one poll" % count
		)
		await frames(1)
	check_eq(taken, 3000, "all were taken")
	check(most > 100, "at most %d packets in one poll" % most)
	_transport.call("close", 1000, "")
	await until(_has_closed, 5.0, "the end")


## A slow machine gets up to half of a frame, less what fetching took, or it would never catch up.
func _check_slow_frames() -> void:
	await _connect({})
	for pair: Array in [[0, 8], [60, 50], [200, 50]]:
		var began := Time.get_ticks_usec()
		_poll()
		OS.delay_msec(pair[0])
		_poll()
		var share: int = _transport.call("share_usec")
		var least := clampi(pair[0] * 500, 8000, 50000) / 2
		check(share >= least, "a share of %d us after %d ms" % [share, pair[0]])
		# Another process may have made the frame longer.
		if Time.get_ticks_usec() - began < pair[0] * 1000 + 8000:
			check(share <= pair[1] * 1000, "a share of %d us after %d ms" % [share, pair[0]])
	_transport.call("close", -1)


## Connections that nobody needs any more end without a frame, as in a hidden page.
func _check_closing() -> void:
	var closing: GDScript = load(WEB + "closing_connections.gd")
	var remotes: Array[WebSocketPeer] = []
	var transports: Array[RefCounted] = []
	for number in 3:
		_transport = load(WEB + "lone_transport.gd").new()
		await _connect({})
		remotes.append(_remote)
		transports.append(_transport)
	for number in 3:
		transports[number].call("close", 1000, "")
		closing.call("add", transports[number], 5.0)
		for turn in 20:
			remotes[number].poll()
			OS.delay_msec(5)
	var waiting: Array = closing.get("_waiting")
	check_eq(waiting.has(transports[0]), false, "the first of three is closed")
	check_eq(waiting.has(transports[2]), true, "the last one waits for its end")
	await until(func() -> bool: return waiting.is_empty(), 5.0, "all are closed")


## Above the ceiling the connection ends, after everything was taken.
func _check_limit() -> void:
	await _connect({"limit_messages": 50})
	for number in 51:
		check_eq(_remote.send(PackedByteArray([number])), OK, "sending")
	await until(
		func() -> bool: return _poll() >= 51 or not _transport.call("last_error").is_empty(),
		5.0,
		"too many"
	)
	check_eq(_transport.call("state"), WebSocketPeer.STATE_OPEN, "not closed before all is taken")
	check_eq(
		_transport.call("send", PackedByteArray([1]), false), OK, "sending to a remote that is gone"
	)
	var first := 0
	while _transport.call("available") > 0:
		check_eq(_transport.call("take"), PackedByteArray([first]), "in order")
		first += 1
	check(first > 50, "only %d were taken" % first)
	check_eq(_transport.call("state"), WebSocketPeer.STATE_CLOSED, "closed at last")
	check_eq(_transport.call("close_code"), 4013, "the code")
	check_eq(_transport.call("figures")["packets_to_closed"], 1, "counted")


func _open(url: String, options: Dictionary) -> Error:
	return _transport.call("open", url, PackedStringArray(), options)


func _connect(options: Dictionary) -> void:
	var port := _listener.get_local_port()
	check_eq(_open("ws://127.0.0.1:%d" % port, options), OK, "opening")
	await until(
		func() -> bool:
			_poll()
			return _listener.is_connection_available(),
		5.0,
		"a connection"
	)
	_remote = WebSocketPeer.new()
	_remote.outbound_buffer_size = 1 << 23
	_remote.accept_stream(_listener.take_connection())
	await until(
		func() -> bool:
			_poll()
			return _transport.call("state") == WebSocketPeer.STATE_OPEN,
		5.0,
		"the handshake"
	)


## Answers how many packets may be taken.
func _poll() -> int:
	_remote.poll()
	_transport.call("poll")
	return _transport.call("available")


func _remote_has_packet() -> bool:
	_poll()
	return _remote.get_available_packet_count() > 0


func _has_closed() -> bool:
	_poll()
	return _transport.call("state") == WebSocketPeer.STATE_CLOSED
