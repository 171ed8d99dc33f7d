# The default policy: a peer that accepts no data is closed with 1013 and reported once, and no other peer is affected.
# processes: server client:slow client:b client:c
# timeout: 90
# serial
# variant: grace how=grace wakes_after=0
# variant: late how=grace wakes_after=6
# variant: cap how=cap wakes_after=0
# expect: ^WARNING: WebSocket: peer \d+ \(.*\) does not take its packets: closing it with 1013.*max_out_buffer_kb
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const ErrorLines := preload("res://lib/error_lines.gd")
const Pattern := preload("res://lib/pattern.gd")
const Peers := preload("res://lib/peers.gd")

const BULK := 60000
## What everybody gets, sixty times a second: number and time.
const TICK_BYTES := 1000
const GRACE := 3.0
## The I/O thread counts from the begin of a round, in which it may take what was sent later.
const EARLY := 0.5
## Far above what a busy machine adds, far below closing never, for what the peer still takes.
const LATE := 8.0
## Reaching the cap does not wait for the grace time, which is made longer than the case for that.
const NO_GRACE := 80.0
## From the first bulk to the cap, on a busy machine.
const FILLED := 20.0
## The default of `close_timeout`.
const CLOSE_TIMEOUT := 3.0
const OUT_BYTES := 64 * 1024
const CAP_BYTES := 4 * 1024 * 1024
## How old a tick may be when a peer that keeps up reads it, and how long after the one before: less
## than the grace time, for which it would have to wait for the slow one.
const MOST_AGE := 2.0
const MOST_GAP := 2.0
## Ticks that continue after the slow peer was closed.
const TICKS_AFTERWARDS := 120

var _largest_age := 0.0
var _largest_gap := 0.0
var _last_tick_at := 0.0
var _ticks := 0
## The number of ticks that the server reports.
var _wanted := -1
var _faults: Array[String] = []


func run() -> void:
	Engine.max_fps = 60
	if role == "server":
		await _server()
	elif name == "slow":
		await _slow_client()
	else:
		await _good_client()


func _server() -> void:
	var lines := ErrorLines.new()
	var to_the_cap: bool = args["how"] == "cap"
	var properties := {"overflow_grace": NO_GRACE if to_the_cap else GRACE}
	var end := BarePeer.new(self, Peers.make_server("ours", port, properties))
	ready_line()
	await until(func() -> bool: return end.packets.size() == 4, 15.0, "four connections")
	var ids := {}
	for id: int in end.packets:
		ids[end.packets[id][0].get_string_from_ascii()] = id
	var slow: int = ids["slow"]
	check_eq(end.send(ids["orders"], "stall".to_ascii_buffer()), OK, "an order")
	await until(func() -> bool: return end.packets[ids["orders"]].size() == 2, 10.0, "a stall")

	var overflowed := "peer_overflowed %d" % slow
	var congested := "peer_congested %d" % slow
	# In grace the last time that it was within its limits, else the first bulk.
	var since := Time.get_ticks_usec() / 1e6
	var most_waiting := 0
	var deadline := Time.get_ticks_msec() + 30000
	while not end.has(overflowed):
		if not check(Time.get_ticks_msec() < deadline, "the slow peer is still there"):
			return
		var before := Time.get_ticks_usec() / 1e6
		check_eq(_tick(end), OK, "a tick while one peer is slow")
		if end.peer.has_peer(slow):
			var waiting := end.waiting(slow)
			most_waiting = maxi(most_waiting, waiting)
			if waiting <= OUT_BYTES and not to_the_cap:
				since = before
			# Up to its limits, so that the grace time runs; or all that it can have.
			if to_the_cap or not end.has(congested) or waiting <= OUT_BYTES:
				for packet in 8 if to_the_cap else 1:
					var error := end.send(slow, Pattern.bytes(BULK, packet))
					check(
						error == OK or error == ERR_OUT_OF_MEMORY and to_the_cap, "bulk: %d" % error
					)
		await process_frame
	var took: float = end.times[overflowed] - since
	print("closed after %.2f s, with at most %d bytes waiting" % [took, most_waiting])
	if to_the_cap:
		check(most_waiting > CAP_BYTES * 3 / 4, "closed with %d bytes waiting" % most_waiting)
		check(took < FILLED, "closed %.2f s after the first bulk" % took)
	else:
		check(
			took > GRACE - EARLY,
			"closed %.2f s after it had too much, the grace time is %.1f" % [took, GRACE]
		)
		check(took < GRACE + LATE, "closed only %.2f s after it had too much" % took)
		check(most_waiting < CAP_BYTES, "%d bytes waited" % most_waiting)
	check_eq(end.send(ids["orders"], "wake".to_ascii_buffer()), OK, "an order")
	for tick in TICKS_AFTERWARDS:
		check_eq(_tick(end), OK, "a tick when the slow peer is gone")
		await process_frame
	var left := "peer_disconnected %d" % slow
	await until(func() -> bool: return end.has(left), 10.0, left)
	end.send(ids["orders"], "end".to_ascii_buffer())
	for one: String in ["b", "c"]:
		end.send(ids[one], ("ticks %d" % _ticks).to_ascii_buffer())
	await until(func() -> bool: return end.count("peer_disconnected") == 4, 20.0, "all have left")
	check_eq(end.count("peer_overflowed"), 1, "peer_overflowed")
	check_eq(end.count(left), 1, left)
	check(end.events.find(overflowed) < end.events.find(left), "%s" % [end.events])
	check_eq(end.peer.get_statistics().peers_overflowed, 1, "peers_overflowed")
	if lines.is_available():
		var taken := lines.take()
		check_eq(taken.size(), 1, "one line: %s" % [taken])
		check(taken[0].contains("peer %d " % slow), "the line names the peer: %s" % [taken])
	end.peer.close()
	lines.stop()


func _slow_client() -> void:
	var orders := await _connect("orders")
	var end := await _connect("slow")
	await until(func() -> bool: return orders.packets.has(1), 15.0, "an order")
	end.paused = true
	check_eq(orders.send(1, "stalled".to_ascii_buffer()), OK, "an answer")
	await until(func() -> bool: return _orders(orders).has("wake"), 40.0, "the order to wake up")
	check_eq(end.count("peer_disconnected"), 0, "the end, before it polls")
	await seconds(float(args["wakes_after"]))
	end.paused = false
	await until(end.is_closed, 10.0, "the end, once it polls")
	if float(args["wakes_after"]) < CLOSE_TIMEOUT:
		check_eq(end.peer.get_close_code(), 1013, "close code (%s)" % end.peer.get_last_error())
		check(end.peer.get_last_error().contains("1013"), "why: %s" % end.peer.get_last_error())
	else:
		# The server does not wait for ever for room to say why.
		check(end.peer.get_close_code() in [1013, -1], "close code %d" % end.peer.get_close_code())
		check(not end.peer.get_last_error().is_empty(), "a reason in words")
	check_eq(end.count("peer_disconnected 1"), 1, "peer_disconnected")
	check_eq(end.count("server_disconnected"), 1, "server_disconnected")
	# What came before the close is whole: ticks and bulk, in the order sent.
	var number := 0
	for packet: PackedByteArray in end.packets.get(1, []):
		if packet.size() == TICK_BYTES:
			check_eq(packet.decode_u32(0), number, "tick of the slow client")
			number += 1
		else:
			check_eq(packet.size(), BULK, "size of a packet")
	check(number > 0, "the slow client got no tick at all")
	await until(func() -> bool: return _orders(orders).has("end"), 20.0, "the end")
	check_eq(orders.count("peer_disconnected"), 0, "the other connection of the same process")
	orders.peer.close()


func _good_client() -> void:
	var end := await _connect(name)
	end.on_packet = _on_packet
	await until(func() -> bool: return _wanted >= 0, 50.0, "the number of ticks")
	print(
		(
			"%d ticks, the oldest %.0f ms old, the largest gap %.0f ms"
			% [_ticks, _largest_age * 1000, _largest_gap * 1000]
		)
	)
	check_eq(_ticks, _wanted, "ticks")
	check_eq(_faults, [] as Array[String], "faults")
	check(_largest_age < MOST_AGE, "a tick was %.3f s old" % _largest_age)
	check(_largest_gap < MOST_GAP, "%.3f s without a tick" % _largest_gap)
	check_eq(end.count("peer_disconnected"), 0, "connections lost")
	end.peer.close()


func _on_packet(_sender: int, packet: PackedByteArray) -> void:
	if packet.size() != TICK_BYTES:
		_wanted = packet.get_string_from_ascii().to_int()
		return
	if packet.decode_u32(0) != _ticks and _faults.size() < 5:
		_faults.append("tick %d instead of %d" % [packet.decode_u32(0), _ticks])
	_ticks += 1
	var now := Time.get_unix_time_from_system()
	_largest_age = maxf(_largest_age, now - packet.decode_double(4))
	if _last_tick_at > 0.0:
		_largest_gap = maxf(_largest_gap, now - _last_tick_at)
	_last_tick_at = now


func _tick(end: BarePeer) -> Error:
	var packet := PackedByteArray()
	packet.resize(TICK_BYTES)
	packet.encode_u32(0, _ticks)
	packet.encode_double(4, Time.get_unix_time_from_system())
	_ticks += 1
	return end.send(0, packet)


func _connect(its_name: String) -> BarePeer:
	var end := BarePeer.new(self, Peers.make_client("ours", "ws://127.0.0.1:%d" % port))
	await until(end.is_connected_now, 10.0, "%s connected" % its_name)
	check_eq(end.send(1, its_name.to_ascii_buffer()), OK, "the name of %s" % its_name)
	return end


## The ticks are for everybody; what is left are the orders.
func _orders(orders: BarePeer) -> Array[String]:
	var texts: Array[String] = []
	for packet: PackedByteArray in orders.packets.get(1, []):
		if packet.size() != TICK_BYTES:
			texts.append(packet.get_string_from_ascii())
	return texts
