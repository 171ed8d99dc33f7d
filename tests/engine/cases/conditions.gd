# A simulated bad network on the client changes the round trip and the arrival times, but never the packets. It can be changed
# while connected, and a Close frame passes through it.
# processes: server client
# timeout: 90
# variant: ours server=ours client=ours
# variant: ours4 server=ours4 client=ours4
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const PacketRun := preload("res://lib/packet_run.gd")
const Peers := preload("res://lib/peers.gd")

const TIMEOUT := 20.0
const LATENCY := 0.1
const BULK := 40
const BULK_BYTES := 5000
const OFF := {
	simulate_latency_msec = 0,
	simulate_jitter_msec = 0,
	simulate_bandwidth_kbps = 0,
	simulate_stall_every_sec = 0,
}

var end: BarePeer
var _last := ""


func run() -> void:
	if role == "server":
		await _server()
	else:
		await _client()


## Sends everything back; what comes last decides whether all of it was right.
func _server() -> void:
	var properties := {heartbeat_interval = 0.1, handshake_timeout = TIMEOUT}
	end = BarePeer.new(self, Peers.make_server(args["server"], port, properties))
	var bulk := PacketRun.new(7, BULK_BYTES, BULK_BYTES)
	end.on_packet = func(from: int, packet: PackedByteArray) -> void:
		if packet.size() == BULK_BYTES:
			bulk.take(packet)
		else:
			_last = packet.get_string_from_ascii()
			check_eq(end.send(from, packet), OK, "the echo")
	ready_line()
	await until(func() -> bool: return end.has("peer_connected"), TIMEOUT, "a client")
	var id := end.events[0].get_slice(" ", 1).to_int()
	await until(func() -> bool: return _round_trip(id) >= 2000 * LATENCY, TIMEOUT, "the latency")
	await until(func() -> bool: return end.has("peer_disconnected"), 60.0, "it leaves")
	check_eq(_last, "last words", "the last message")
	check_eq(bulk.fault, "", "the bulk")
	check_eq(bulk.number, BULK, "packets of the bulk")
	end.peer.close()


func _client() -> void:
	var start := Time.get_ticks_usec()
	var properties := {
		heartbeat_interval = 0.1,
		handshake_timeout = TIMEOUT,
		close_timeout = TIMEOUT,
		simulate_latency_msec = int(LATENCY * 1000),
		simulate_seed = 7,
	}
	var url := "ws://127.0.0.1:%d" % port
	end = BarePeer.new(self, Peers.make_client(args["client"], url, properties))
	await until(end.is_connected_now, TIMEOUT, "connected")
	check(_since(start) >= 2 * LATENCY, "joining took %.3f s" % _since(start))
	await until(func() -> bool: return _round_trip(1) >= 2000 * LATENCY, TIMEOUT, "the latency")
	await _echoes({simulate_jitter_msec = 50}, 2 * LATENCY)
	await _echoes({simulate_latency_msec = 20}, 0.04)
	_change(OFF)
	await until(func() -> bool: return _round_trip(1) < 40, TIMEOUT, "no latency")
	await _bandwidth()
	await _stalls()
	_change({simulate_stall_every_sec = 0, simulate_latency_msec = 300})
	check_eq(end.send(1, "last words".to_ascii_buffer()), OK, "the last words")
	end.peer.close()


## Packets come back in order, and none sooner than the network lets it.
func _echoes(conditions: Dictionary, least: float) -> void:
	_change(conditions)
	var sent: Array[int] = []
	end.packets.clear()
	for number in 50:
		sent.append(Time.get_ticks_usec())
		check_eq(end.send(1, str(number).to_ascii_buffer()), OK, "packet %d" % number)
		await frames(1)
	var came := 0
	while came < sent.size() and not has_ended():
		await until(func() -> bool: return not _taken().is_empty(), TIMEOUT, "echo %d" % came)
		var packet: PackedByteArray = end.packets[1].pop_front()
		check_eq(packet.get_string_from_ascii(), str(came), "the order")
		check(_since(sent[came]) >= least, "an echo came after %.3f s" % _since(sent[came]))
		came += 1


## A hundred kilobytes a second.
func _bandwidth() -> void:
	_change({simulate_bandwidth_kbps = 800})
	var start := Time.get_ticks_usec()
	var bulk := PacketRun.new(7, BULK_BYTES, BULK_BYTES)
	for number in BULK:
		check_eq(end.send(1, bulk.next()), OK, "bulk %d" % number)
	await _echo()
	var wanted := BULK * BULK_BYTES / 100_000.0
	check(_since(start) >= wanted, "%d bytes took %.2f s" % [BULK * BULK_BYTES, _since(start)])
	check(end.has("peer_congested"), "peer_congested was not emitted")
	_change({simulate_bandwidth_kbps = 0})


func _stalls() -> void:
	_change({simulate_stall_every_sec = 3})
	var start := Time.get_ticks_usec()
	var longest := 0.0
	while longest < 0.8 and check(_since(start) < TIMEOUT, "it never stands still"):
		var sent := Time.get_ticks_usec()
		await _echo()
		longest = maxf(longest, _since(sent))


func _echo() -> void:
	end.packets.clear()
	check_eq(end.send(1, "echo".to_ascii_buffer()), OK, "a packet")
	await until(func() -> bool: return not _taken().is_empty(), TIMEOUT, "the echo")


func _change(conditions: Dictionary) -> void:
	for property: String in conditions:
		end.peer.set(property, conditions[property])
		check_eq(end.peer.get(property), conditions[property], property)


func _taken() -> Array:
	return end.packets.get(1, [])


func _round_trip(id: int) -> float:
	return end.peer.call(&"get_peer_statistics", id).rtt_msec


func _since(usec: int) -> float:
	return (Time.get_ticks_usec() - usec) / 1e6
