# OVERFLOW_REFUSE: a receiver that stops polling makes put_packet() refuse, memory stays bounded, and afterwards all that was accepted arrives.
# processes: server client:a
# timeout: 90
# expect: ^ERROR: WebSocketServer\.set_buffers\(\): buffers can only be set before listen\(\)
# expect: ^ERROR: WebSocketClient\.set_buffers\(\): buffers can only be set before connect_to_url\(\)
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const ErrorLines := preload("res://lib/error_lines.gd")
const PacketRun := preload("res://lib/packet_run.gd")
const Peers := preload("res://lib/peers.gd")
const Proc := preload("res://lib/proc.gd")

const SEED := 4711
const SMALLEST := 1000
const LARGEST := 9000
## What `set_buffers` is given here, and what that is rounded to.
const OUT_KB := 60
const OUT_BYTES := 64 * 1024
## How long the receiver does not poll, and what is attempted meanwhile in each frame.
const STALL := 5.0
const TRIES := 40
## The burst that a peer may have waiting (4 MiB) and what the system holds of it is not much more.
const MOST_GROWTH_MIB := 24.0

var lines := ErrorLines.new()


func run() -> void:
	if role == "server":
		await _server()
	else:
		await _client()
	lines.stop()


func _server() -> void:
	var peer := WebSocketServer.new()
	peer.overflow_policy = WebSocketServer.OVERFLOW_REFUSE
	check_eq(peer.set_buffers(64, 1024, OUT_KB, 1024), OK, "set_buffers()")
	check_eq(peer.listen(port, PackedStringArray(), true), OK, "listen()")
	_refused_while_open(peer, "before listen()")
	var end := BarePeer.new(self, peer)
	ready_line()
	# The client comes twice: over one connection it takes orders, the other it does not poll.
	var both_named := func() -> bool: return end.packets.size() == 2
	await until(both_named, 10.0, "both connections")
	var ids := {}
	for id: int in end.packets:
		ids[end.packets[id][0].get_string_from_ascii()] = id
	_refused_while_open(peer, "before listen()")

	var run := PacketRun.new(SEED, SMALLEST, LARGEST)
	end.send(ids["orders"], "stall".to_ascii_buffer())
	await until(func() -> bool: return end.packets[ids["orders"]].size() == 2, 10.0, "a stall")
	var memory := Proc.resident_mib()
	var largest_memory := memory
	var attempts := 0
	var refused := 0
	var attempted_bytes := 0
	var most_waiting := 0
	var least_when_refused := 1 << 62
	var packet := run.next()
	var stop_at := Time.get_ticks_usec() + int(STALL * 1e6)
	while Time.get_ticks_usec() < stop_at:
		for attempt in TRIES:
			attempts += 1
			attempted_bytes += packet.size()
			var error := end.send(ids["data"], packet)
			if error == OK:
				packet = run.next()
				continue
			if not check_eq(error, ERR_OUT_OF_MEMORY, "put_packet() to a peer without room"):
				return
			refused += 1
			# By then the peer takes nothing more, so that this is what was waiting at the refusal.
			if stop_at - Time.get_ticks_usec() < 1000000:
				least_when_refused = mini(
					least_when_refused, end.waiting(ids["data"]) + packet.size()
				)
		most_waiting = maxi(most_waiting, end.waiting(ids["data"]))
		largest_memory = maxf(largest_memory, Proc.resident_mib())
		await process_frame
	var accepted := run.number - 1
	print(
		(
			"%d of %d packets accepted, %d refused, %.0f MB tried, at most %d bytes waited, memory %.1f -> %.1f MiB"
			% [
				accepted,
				attempts,
				refused,
				attempted_bytes / 1e6,
				most_waiting,
				memory,
				largest_memory
			]
		)
	)
	check_eq(accepted + refused, attempts, "each packet is accepted or refused")
	check(run.bytes > OUT_BYTES, "only %d bytes were accepted" % run.bytes)
	check(refused > 1000, "only %d packets were refused" % refused)
	check(least_when_refused > OUT_BYTES, "refused although %d bytes fit" % least_when_refused)
	if memory > 0:
		check(
			largest_memory - memory < MOST_GROWTH_MIB,
			"memory grew from %.1f to %.1f MiB" % [memory, largest_memory]
		)
		check(
			attempted_bytes > 4 * MOST_GROWTH_MIB * 1048576,
			"only %d bytes were tried: that says nothing about memory" % attempted_bytes
		)
	# Until everything on the way is full, the peer may fall behind and catch up again.
	var tide := _tide(end)
	check_eq(tide.back(), "peer_congested %d" % ids["data"], "the last of %s" % [tide.slice(-3)])
	check_eq(peer.get_statistics().packets_refused, refused, "packets_refused")

	# To all: the one with room gets it, the other one is named.
	check_eq(end.count("packet_refused"), 0, "packet_refused without a broadcast")
	var news := "news".rpad(OUT_BYTES, ".").to_ascii_buffer()
	check_eq(end.send(0, news), ERR_OUT_OF_MEMORY, "a broadcast that one has no room for")
	check_eq(end.count("packet_refused"), 0, "packet_refused from inside put_packet()")
	await frames(3)
	check_eq(
		end.count("packet_refused %d %d" % [ids["data"], OUT_BYTES]), 1, "packet_refused of the one"
	)
	check_eq(end.count("packet_refused"), 1, "packet_refused of anybody")
	check_eq(end.send(-ids["data"], "more".to_ascii_buffer()), OK, "a broadcast without that one")

	end.send(ids["orders"], ("poll %d" % accepted).to_ascii_buffer())
	await until(func() -> bool: return _tide(end).size() > tide.size(), 20.0, "peer_drained")
	for index in _tide(end).size():
		var signal_name := "peer_congested" if index % 2 == 0 else "peer_drained"
		check_eq(_tide(end)[index], "%s %d" % [signal_name, ids["data"]], "signal %d" % index)
	check_eq(_tide(end).size(), tide.size() + 1, "congested and drained signals")
	check_eq(end.waiting(ids["data"]), 0, "bytes that wait for a drained peer")
	check_eq(end.send(ids["data"], "end".to_ascii_buffer()), OK, "room again")
	await until(
		func() -> bool: return end.count("peer_disconnected") == 2, 20.0, "the client leaves"
	)
	check_eq(peer.get_statistics().peers_overflowed, 0, "peers that were closed")
	check_eq(end.count("peer_overflowed"), 0, "peer_overflowed")
	peer.close()
	check_eq(peer.set_buffers(1, 1, 1, 1), OK, "set_buffers() after close()")


func _tide(end: BarePeer) -> Array[String]:
	return end.events.filter(
		func(event: String) -> bool:
			return event.begins_with("peer_congested") or event.begins_with("peer_drained")
	)


func _client() -> void:
	var ends := {}
	for its_name: String in ["orders", "data"]:
		var peer := Peers.make_client("ours", "ws://127.0.0.1:%d" % port)
		_refused_while_open(peer, "before connect_to_url()")
		var end := BarePeer.new(self, peer)
		ends[its_name] = end
		await until(end.is_connected_now, 10.0, "%s connected" % its_name)
		check_eq(end.send(1, its_name.to_ascii_buffer()), OK, "its name")
	var orders: BarePeer = ends["orders"]
	var data: BarePeer = ends["data"]
	await _next_order(orders, 1)
	data.paused = true
	orders.send(1, "ok".to_ascii_buffer())
	# The stall, and what was sent to all but the data connection.
	await _next_order(orders, 4)
	check_eq(orders.packets[1][1].size(), OUT_BYTES, "the broadcast")
	check_eq(
		orders.packets[1][2].get_string_from_ascii(), "more", "the broadcast without the other"
	)
	check_eq(data.packets.size(), 0, "packets taken while not polled")
	var accepted := (orders.packets[1][3] as PackedByteArray).get_string_from_ascii().to_int()
	check(accepted > 8, "%d packets to come" % accepted)
	data.paused = false
	await until(func() -> bool: return _is_last(data), 20.0, "the end of the data")
	var run := PacketRun.new(SEED, SMALLEST, LARGEST)
	var received: Array = data.packets[1]
	for packet: PackedByteArray in received.slice(0, -1):
		if not run.take(packet):
			break
	check_eq(run.fault, "", "what was accepted arrives in order")
	check_eq(run.number, accepted, "packets that arrived")
	for end: BarePeer in ends.values():
		check_eq(end.count("peer_disconnected"), 0, "lost connections")
		end.peer.close()


func _next_order(orders: BarePeer, number: int) -> void:
	var came := func() -> bool: return orders.packets.get(1, []).size() >= number
	await until(came, 30.0, "order %d" % number)


func _is_last(data: BarePeer) -> bool:
	return data.packets.has(1) and data.packets[1].back().get_string_from_ascii() == "end"


func _refused_while_open(peer: Variant, hint: String) -> void:
	lines.take()
	var before: int = peer.max_message_size_kb
	check_eq(peer.set_buffers(128, 128, 128, 128), FAILED, "set_buffers() while open")
	check_eq(peer.max_message_size_kb, before, "the input buffer after a refusal")
	var taken := lines.take()
	if lines.is_available():
		check(taken.size() == 1 and taken[0].contains(hint), "one line: %s" % [taken])
