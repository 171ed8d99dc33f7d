# The server's main thread blocks for ten seconds: no client disconnects, pings are answered meanwhile, and all packets are delivered
# afterwards.
# processes: server client:quick client:busy client:stock client:idle
# timeout: 60
# variant: ours server=ours
# variant: ours4 server=ours4
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const PacketRun := preload("res://lib/packet_run.gd")
const Peers := preload("res://lib/peers.gd")

const SLEEP := 10.0
## For the clients that detect a missing answer first.
const INTERVAL := 1.0
const TIMEOUT := 5.0
## Of the engine's class, for which it is the time for an answer too.
const STOCK_INTERVAL := 3.0
## An answer that waited for the game would take as long as that sleeps.
const MOST_ROUND_TRIP_MSEC := 5000
## Packets of `quick`, which do not fill the server's input buffer (its pings would wait behind it), and of the server.
const FEW := 40
const FEW_BYTES := 1000
## `busy` sends as much as it may, ten times what the server's input buffer takes.
const MANY_BYTES := 9000
const TO_ALL := 20

var end: BarePeer
var _sent := 0


func run() -> void:
	if role == "server":
		await _server()
	else:
		await _client()


func _server() -> void:
	end = BarePeer.new(self, Peers.make_server(args["server"], port))
	ready_line()
	await until(func() -> bool: return end.packets.size() == 4, 15.0, "all clients")
	var ids := {}
	for id: int in end.packets:
		ids[end.packets[id].pop_front().get_string_from_ascii()] = id
	var to_all := PacketRun.new(1, FEW_BYTES, FEW_BYTES)
	check_eq(end.send(0, "sleep".to_ascii_buffer()), OK, "the word that it sleeps")
	# In the last moment, so that the I/O thread has it while the game hangs.
	for packet in TO_ALL:
		check_eq(end.send(0, to_all.next()), OK, "a packet to all")
	OS.delay_msec(int(SLEEP * 1000))
	end.notes_packets = true
	await frames(2)
	check_eq(end.count("peer_disconnected"), 0, "clients lost: %s" % [end.events.slice(-5)])
	check_eq(end.send(0, "awake".to_ascii_buffer()), OK, "the word that it is awake")
	var reported := func() -> bool:
		return ids.values().all(func(id: int) -> bool: return _report_of(id) >= 0)
	await until(reported, 20.0, "reports of all clients")
	for one: String in ids:
		var packets: Array = end.packets[ids[one]]
		var run := _run_of(one)
		for packet: PackedByteArray in packets.slice(0, -1):
			run.take(packet)
		check_eq(run.fault, "", "packets from %s" % one)
		check_eq(run.number, _report_of(ids[one]), "packets from %s" % one)
	print("packets of the busy one: %d" % _report_of(ids["busy"]))
	check(_report_of(ids["busy"]) * MANY_BYTES > 100000, "the busy one was not busy")
	check_eq(_report_of(ids["quick"]), FEW, "packets of the quick one")
	check_eq(end.count("peer_disconnected"), 0, "clients lost")
	check_eq(end.send(0, "end".to_ascii_buffer()), OK, "the last word")
	await until(func() -> bool: return end.count("peer_disconnected") == 4, 15.0, "all leave")
	end.peer.close()


func _client() -> void:
	var url := "ws://127.0.0.1:%d" % port
	if name == "stock":
		end = BarePeer.new(self, Peers.make_client("engine", url))
	else:
		var properties := {}
		if name != "busy":
			properties = {"heartbeat_interval": INTERVAL, "heartbeat_timeout": TIMEOUT}
		else:
			properties = {"overflow_policy": WebSocketClient.OVERFLOW_REFUSE}
		end = BarePeer.new(self, Peers.make_client("ours", url, properties))
	await until(end.is_connected_now, 10.0, "connected")
	if name == "stock":
		# It drops the connection when no pong has come within one interval.
		end.peer.get_peer(1).heartbeat_interval = STOCK_INTERVAL
	check_eq(end.send(1, name.to_ascii_buffer()), OK, "its name")
	await until(func() -> bool: return _has_heard("sleep"), 20.0, "the word that it sleeps")
	var slept_at := Time.get_ticks_usec()
	var run := _run_of(name)
	var packet := run.next()
	var refused := 0
	var received_early := -1
	var received_late := -1
	while not _has_heard("awake") and not has_ended():
		if name == "busy" and end.send(1, packet) == OK or name == "quick" and _sent < FEW:
			if name == "quick":
				check_eq(end.send(1, packet), OK, "packet %d" % _sent)
			_sent += 1
			packet = run.next()
		elif name == "busy":
			refused += 1
		if received_early < 0 and (Time.get_ticks_usec() - slept_at) / 1e6 > 1.0:
			received_early = _received_bytes()
		if not _has_heard("awake"):
			received_late = _received_bytes()
		check_eq(end.count("peer_disconnected"), 0, "the server")
		if not check(
			(Time.get_ticks_usec() - slept_at) / 1e6 < SLEEP + 10.0, "it does not wake up"
		):
			return
		await process_frame
	var slept := (Time.get_ticks_usec() - slept_at) / 1e6
	check(slept > SLEEP / 2, "the server slept for %.1f s only" % slept)
	var to_all := PacketRun.new(1, FEW_BYTES, FEW_BYTES)
	var received: Array = end.packets[1].filter(
		func(one: PackedByteArray) -> bool: return one.size() == FEW_BYTES
	)
	for one: PackedByteArray in received:
		to_all.take(one)
	check_eq(to_all.fault, "", "what the server sent before it slept")
	check_eq(to_all.number, TO_ALL, "packets that the server sent before it slept")
	if name == "busy":
		check(refused > 0, "the busy one was never refused")
	if name in ["quick", "idle"]:
		# Nothing but answers to its pings came meanwhile: frames with eight bytes in them.
		var answers := (received_late - received_early) / 10
		check(answers >= SLEEP / INTERVAL / 2, "only %d pings were answered" % answers)
		var round_trip: int = end.peer.get_peer_statistics(1).rtt_msec
		check(
			round_trip >= 0 and round_trip < MOST_ROUND_TRIP_MSEC,
			"an answer took %d ms" % round_trip
		)
	# The busy one may have to wait for room.
	var report := ("report %d" % _sent).to_ascii_buffer()
	await until(func() -> bool: return end.send(1, report) == OK, 10.0, "a report")
	await until(func() -> bool: return _has_heard("end"), 20.0, "the last word")
	end.peer.close()


func _run_of(one: String) -> PacketRun:
	var size := MANY_BYTES if one == "busy" else FEW_BYTES
	return PacketRun.new(one.unicode_at(0), size, size)


func _report_of(id: int) -> int:
	var packets: Array = end.packets[id]
	if packets.is_empty() or packets.back().size() > 20:
		return -1
	return packets.back().get_string_from_ascii().trim_prefix("report ").to_int()


func _has_heard(word: String) -> bool:
	for packet: PackedByteArray in end.packets.get(1, []):
		if packet.size() == word.length() and packet.get_string_from_ascii() == word:
			return true
	return false


func _received_bytes() -> int:
	return end.peer.get_peer_statistics(1).bytes_in if Peers.is_ours(end.peer) else -1
