# The monitors of the debugger show the real values: known traffic, a reader that stalls, and a long round trip.
# processes: server client:near client:far
# timeout: 90
# serial
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const Delay := preload("res://lib/delay.gd")
const Peers := preload("res://lib/peers.gd")

const NAMES: Array[StringName] = [
	&"WebSocket/peers",
	&"WebSocket/packets_in_per_second",
	&"WebSocket/packets_out_per_second",
	&"WebSocket/bytes_in_per_second",
	&"WebSocket/bytes_out_per_second",
	&"WebSocket/packets_relayed_per_second",
	&"WebSocket/queued_in_bytes",
	&"WebSocket/queued_out_bytes",
	&"WebSocket/packets_dropped",
	&"WebSocket/peers_overflowed",
	&"WebSocket/peers_suspended",
	&"WebSocket/sessions_resumed",
	&"WebSocket/rtt_p50_msec",
	&"WebSocket/rtt_max_msec",
	&"WebSocket/poll_usec_per_frame",
]
const TIMEOUT := 20.0
const DELAY_MSEC := 150
const PACKET := 500
const BULK := 20000
## Rates cover half a second at least.
const WINDOW := 0.6

var _echoed := 0


func run() -> void:
	if role == "server":
		await _server()
	else:
		await _client()


func _server() -> void:
	_are_all_zero("before any object")
	var peer := WebSocketServer.new()
	peer.heartbeat_interval = 0.2
	peer.overflow_policy = WebSocketServer.OVERFLOW_REFUSE
	_are_all_zero("before listen()")
	check_eq(peer.listen(port, PackedStringArray(), true), OK, "listen()")
	var end := BarePeer.new(self, peer)
	ready_line()
	await until(func() -> bool: return end.packets.size() == 3, TIMEOUT, "three connections")
	var ids := {}
	for id: int in end.packets:
		ids[end.packets[id][0].get_string_from_ascii()] = id
	check_eq(await _fresh(&"peers"), 3.0, "peers")
	check_eq(int(_now(&"queued_in_bytes") + _now(&"queued_out_bytes")), 0, "nothing waits")
	await _round_trips(end)
	await _rates(end, ids["near"])
	await _waiting_in(end, ids["near"])
	await _waiting_out(end, ids["near"], ids["idle"])
	await _several_objects()
	# The clients leave by themselves.
	end.packets.clear()
	end.send(0, "end".to_ascii_buffer())
	await until(func() -> bool: return end.count("peer_disconnected") == 3, TIMEOUT, "all leave")
	check_eq(await _fresh(&"peers"), 0.0, "peers when all have left")
	check(_now(&"packets_dropped") > 0, "what was dropped is not forgotten")
	peer.close()
	await seconds(WINDOW)
	_are_all_zero("while nothing is open any more")
	await seconds(WINDOW)
	_are_all_zero("and it stays so")


func _round_trips(end: BarePeer) -> void:
	var shown := func() -> bool:
		var all: Array[float] = []
		for id: int in end.packets:
			all.append(end.peer.get_peer_statistics(id).rtt_msec)
		all.sort()
		return (
			all[0] >= 0.0
			and absf(_now(&"rtt_p50_msec") - all[1]) < 0.01
			and absf(_now(&"rtt_max_msec") - all[2]) < 0.01
			and all[2] > all[1]
			and all[2] >= 2 * DELAY_MSEC
		)
	await until(shown, TIMEOUT, "the middle and the longest round trip")
	print("round trips: %.1f ms, %.1f ms at most" % [_now(&"rtt_p50_msec"), _now(&"rtt_max_msec")])


## Counts what it is sent, and sends it back.
func _rates(end: BarePeer, near: int) -> void:
	end.on_packet = func(sender: int, packet: PackedByteArray) -> void:
		_echoed += 1
		end.send(sender, packet)
	end.send(near, "start".to_ascii_buffer())
	await until(func() -> bool: return _echoed > 10, TIMEOUT, "traffic")
	await seconds(WINDOW)
	# The I/O thread keeps counting, so each reading lies between two readings of its counters.
	var moments: Array[Dictionary] = [_moment(end)]
	_now(&"packets_in_per_second")
	moments.append(_moment(end))
	await seconds(2.0)
	moments.append(_moment(end))
	var got := {}
	for which in ["packets_in", "packets_out", "bytes_in", "bytes_out"]:
		got[which] = _now(which + "_per_second")
	moments.append(_moment(end))
	print("packets of %d bytes: %s" % [PACKET, got])
	for which in ["packets_in", "packets_out"]:
		var least := _rate(moments[1], moments[2], moments[0], moments[3], which)
		var most := _rate(moments[0], moments[3], moments[1], moments[2], which)
		check(
			got[which] > least - 0.01 and got[which] < most + 0.01,
			"%s: %f, not %f to %f" % [which, got[which], least, most]
		)
	# A frame's header has at most 8 bytes, and there are pings.
	for which: String in ["in", "out"]:
		var each: float = got["bytes_" + which] / got["packets_" + which]
		check(each >= PACKET and each < PACKET * 1.2, "%.1f bytes in a packet" % each)
	check(_now(&"poll_usec_per_frame") > 0.0, "poll() takes no time")
	# It does not change while it is looked at all the time.
	check_eq(_now(&"packets_in_per_second"), got["packets_in"], "at once again")


func _moment(end: BarePeer) -> Dictionary:
	var moment := {usec = Time.get_ticks_usec()}
	moment.merge(end.peer.get_statistics())
	return moment


## Packets per second: those counted from `a` to `b`, in the time from `since` to `until_then`.
func _rate(
	a: Dictionary, b: Dictionary, since: Dictionary, until_then: Dictionary, which: String
) -> float:
	return (b[which] - a[which]) / ((until_then.usec - since.usec) / 1e6)


func _waiting_in(end: BarePeer, near: int) -> void:
	end.paused = true
	var shown := func() -> bool:
		var queued: int = end.peer.get_peer_statistics(near).queued_in_bytes
		return queued > 10 * PACKET and int(_now(&"queued_in_bytes")) == queued
	await until(shown, TIMEOUT, "what the game does not take")
	end.paused = false
	end.send(near, "stop".to_ascii_buffer())
	await seconds(WINDOW)
	await until(func() -> bool: return _now(&"queued_in_bytes") == 0, TIMEOUT, "all is taken")
	# The names came before.
	var all_counted := func() -> bool:
		return end.peer.get_statistics().packets_in == _echoed + end.count("peer_connected")
	await until(all_counted, TIMEOUT, "as many packets as the game got")
	end.on_packet = Callable()


func _waiting_out(end: BarePeer, near: int, idle: int) -> void:
	end.packets[near] = []
	end.send(near, "stall".to_ascii_buffer())
	var stalled := func() -> bool: return "stalled".to_ascii_buffer() in end.packets[near]
	await until(stalled, TIMEOUT, "a stall")
	var bulk := PackedByteArray()
	bulk.resize(BULK)
	var totals := {}
	var too_much := func() -> bool:
		end.send(idle, bulk)
		end.peer.transfer_mode = MultiplayerPeer.TRANSFER_MODE_UNRELIABLE
		check_eq(end.send(idle, bulk), OK, "an unreliable packet")
		end.peer.transfer_mode = MultiplayerPeer.TRANSFER_MODE_RELIABLE
		totals.assign(end.peer.get_statistics())
		return totals.packets_refused >= 5 and totals.packets_dropped_unreliable >= 5
	await until(too_much, TIMEOUT, "more than the reader that stalls may have waiting")
	var shown := func() -> bool:
		return end.waiting(idle) > BULK and int(_now(&"queued_out_bytes")) == end.waiting(idle)
	await until(shown, TIMEOUT, "what the reader does not take")
	check_eq(
		int(await _fresh(&"packets_dropped")),
		totals.packets_refused + totals.packets_dropped_unreliable,
		"packets dropped"
	)
	end.send(near, "wake".to_ascii_buffer())
	await until(func() -> bool: return _now(&"queued_out_bytes") == 0, TIMEOUT, "all has left")


func _several_objects() -> void:
	var other := WebSocketServer.new()
	other.resume_timeout = 60.0
	check_eq(other.listen(0, PackedStringArray(), true), OK, "a second server")
	var client := WebSocketClient.new()
	client.connect_to_url("ws://127.0.0.1:%d" % other.get_local_port(), PackedStringArray(), true)
	var connected := func() -> bool:
		other.poll()
		client.poll()
		return client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED
	await until(connected, TIMEOUT, "a client of it")
	await until(
		func() -> bool:
			other.poll()
			return _now(&"peers") == 5.0,
		TIMEOUT,
		"the peers of all objects: %d" % _now(&"peers")
	)
	# Each of the two has lost its peer, and no attempt to come back succeeds in time.
	client.simulate_latency_msec = 10000
	client.reconnect()
	await until(func() -> bool: return _now(&"peers_suspended") == 2.0, TIMEOUT, "suspended")
	check_eq(int(_now(&"sessions_resumed")), 0, "sessions resumed")
	client.simulate_latency_msec = 0
	await until(func() -> bool: return _now(&"sessions_resumed") == 2.0, TIMEOUT, "resumed")
	await until(func() -> bool: return _now(&"peers_suspended") == 0.0, TIMEOUT, "not suspended")
	client.close()
	other.close()
	client = null
	other = null
	check_eq(await _fresh(&"peers"), 3.0, "and without them")


func _client() -> void:
	var way := Delay.new(self, port, DELAY_MSEC) if name == "far" else null
	var to := port if way == null else way.port
	var end := await _connect(to, name)
	var idle: BarePeer = null
	if name == "near":
		idle = await _connect(port, "idle")
	var packet := PackedByteArray()
	packet.resize(PACKET)
	var sends := false
	while not end.is_closed():
		await seconds(0.01)
		for order: PackedByteArray in end.packets.get(1, []) + _take(idle):
			match order.get_string_from_ascii() if order.size() < 10 else "":
				"start":
					sends = true
				"stop":
					sends = false
				"stall":
					idle.paused = true
					end.send(1, "stalled".to_ascii_buffer())
				"wake":
					idle.paused = false
				"end":
					if idle != null:
						idle.peer.close()
					end.peer.close()
		end.packets.clear()
		if sends and end.is_connected_now():
			end.send(1, packet)


func _take(end: BarePeer) -> Array:
	if end == null:
		return []
	var taken: Array = end.packets.get(1, [])
	end.packets = {}
	return taken


func _connect(to: int, its_name: String) -> BarePeer:
	# More than what it is sent meanwhile.
	var end := BarePeer.new(self, Peers.make_client("ours", "ws://127.0.0.1:%d" % to))
	await until(end.is_connected_now, TIMEOUT, "%s connected" % its_name)
	check_eq(end.send(1, its_name.to_ascii_buffer()), OK, "the name of %s" % its_name)
	return end


func _are_all_zero(when: String) -> void:
	for id in NAMES:
		if check(Performance.has_custom_monitor(id), "there is no monitor %s" % id):
			check_eq(float(Performance.get_custom_monitor(id)), 0.0, "%s %s" % [id, when])


## A figure of now, not of a moment ago.
func _fresh(which: StringName) -> float:
	await seconds(0.02)
	return _now(which)


func _now(which: StringName) -> float:
	return Performance.get_custom_monitor(StringName("WebSocket/" + which))
