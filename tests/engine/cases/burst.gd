# All packets that are sent in one frame to a peer that keeps up arrive, in both directions; so does a long run of random packets.
# processes: server client:a
# timeout: 420
# serial
# variant: ours server=ours client=ours run=100000 back=20000
# variant: ours4 server=ours4 client=ours4 run=10000 back=10000
# variant: engine_client server=ours client=engine run=10000 back=10000
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const PacketRun := preload("res://lib/packet_run.gd")
const Peers := preload("res://lib/peers.gd")

## Packets in one frame: how many, and of which size.
const BURSTS := [[3000, 100], [60, 60000], [3000, 100], [60, 60000]]
const LARGEST := 60 * 1024
## The default output buffer. The long run stays below it: a peer that always has more waiting counts as
## too slow, however much it takes.
const OUT_BYTES := 65535
const DONE := "done"
## A burst is no lack of attention, however long a busy machine takes for it.
const GRACE := 20.0

var end: BarePeer
var other := 1
## What the other side sends in each turn, as it should be.
var _incoming: Array[PacketRun] = []
var _turn := 0
## The turn that the other side is at.
var _others_turn := 0


func run() -> void:
	var turns: Array[Dictionary] = []
	# The sides take turns, then send at the same time.
	for burst: Array in BURSTS:
		for sender: String in ["server", "client", "both"]:
			turns.append(
				{sender = sender, count = burst[0], smallest = burst[1], largest = burst[1]}
			)
	turns.append({sender = "server", count = int(args["run"]), smallest = 1, largest = LARGEST})
	turns.append({sender = "client", count = int(args["back"]), smallest = 1, largest = LARGEST})
	for turn in turns.size():
		_incoming.append(_make_run(turns[turn], turn, role == "client"))
	await _open()
	for turn in turns:
		var outgoing := _make_run(turn, _turn, role == "server")
		if turn.sender != "both" and turn.smallest != turn.largest:
			await _long_run(turn, outgoing)
		else:
			await _burst(turn, outgoing)
		if has_ended():
			return
	if role == "server":
		await until(func() -> bool: return end.has("peer_disconnected"), 10.0, "the client leaves")
	end.peer.close()


func _open() -> void:
	if role == "server":
		end = BarePeer.new(self, Peers.make_server(args["server"], port, {overflow_grace = GRACE}))
		end.on_packet = _on_packet
		ready_line()
		await until(func() -> bool: return end.has("peer_connected"), 10.0, "the client")
		other = end.events[0].get_slice(" ", 1).to_int()
		return
	var properties := {overflow_grace = GRACE}
	if args["client"] == "engine":
		# It refuses what does not fit its buffer, where ours takes a burst.
		properties = {"outbound_buffer_size": 8 << 20, "max_queued_packets": 8192}
	end = BarePeer.new(
		self, Peers.make_client(args["client"], "ws://127.0.0.1:%d" % port, properties)
	)
	end.on_packet = _on_packet
	await until(end.is_connected_now, 10.0, "connected")


func _burst(turn: Dictionary, outgoing: PacketRun) -> void:
	if turn.sender in [role, "both"]:
		while outgoing.number < turn.count:
			if not check_eq(
				end.send(other, outgoing.next()), OK, "packet %d of %s" % [outgoing.number, turn]
			):
				return
	await _both_done(turn)


func _long_run(turn: Dictionary, outgoing: PacketRun) -> void:
	var started := Time.get_ticks_usec()
	if turn.sender == role:
		while outgoing.number < turn.count and not has_ended():
			while outgoing.number < turn.count and _waiting() + LARGEST <= OUT_BYTES:
				if not check_eq(
					end.send(other, outgoing.next()), OK, "packet %d" % outgoing.number
				):
					return
			await process_frame
	await _both_done(turn)
	if turn.sender != role:
		var took := (Time.get_ticks_usec() - started) / 1e6
		var megabytes := _incoming[_turn - 1].bytes / 1e6
		print(
			(
				"from the %s: %d packets, %.0f MB in %.1f s, %.0f MB/s"
				% [turn.sender, turn.count, megabytes, took, megabytes / took]
			)
		)


## Each side announces it, in order with everything that it has sent in this turn.
func _both_done(turn: Dictionary) -> void:
	check_eq(end.send(other, DONE.to_ascii_buffer()), OK, "the word that it is done")
	var incoming := _incoming[_turn]
	var wanted: int = 0 if turn.sender == role else turn.count
	_turn += 1
	var settled := func() -> bool: return _others_turn >= _turn or not incoming.fault.is_empty()
	await until(settled, 600.0, "the other side in turn %d, %s" % [_turn, turn])
	check_eq(incoming.fault, "", "what came in, in turn %d, %s" % [_turn, turn])
	check_eq(incoming.number, wanted, "packets that came in, in turn %d, %s" % [_turn, turn])
	# Otherwise the next burst would come on top of this one.
	await until(func() -> bool: return _waiting() == 0, 60.0, "everything has left")
	check_eq(end.count("peer_disconnected"), 0, "connections lost")


func _on_packet(_sender: int, packet: PackedByteArray) -> void:
	if packet.size() == DONE.length() and packet.get_string_from_ascii() == DONE:
		_others_turn += 1
	else:
		_incoming[_others_turn].take(packet)


func _make_run(turn: Dictionary, number: int, from_server: bool) -> PacketRun:
	return PacketRun.new(number * 2 + int(from_server), turn.smallest, turn.largest)


## Bytes on their way out, as far as the class knows.
func _waiting() -> int:
	if Peers.is_ours(end.peer):
		return end.waiting(other)
	return end.peer.get_peer(other).get_current_outbound_buffered_amount()
