# A packet of exactly the maximum size arrives. A packet with one byte more is refused with an error that names the setting, and so is
# an empty packet. The connection stays open.
# processes: server client:a
# timeout: 30
# variant: ours kind=ours limit=65536
# variant: ours4 kind=ours4 limit=65535
# expect: ^ERROR: \w+\.put_packet\(\): packet of \d+ bytes is larger than \d+, .*(max_out_buffer_kb|outbound_buffer_size)
# expect: ^ERROR: \w+\.put_packet\(\): an empty packet cannot be sent in multiplayer mode
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const ErrorLines := preload("res://lib/error_lines.gd")
const Pattern := preload("res://lib/pattern.gd")
const Peers := preload("res://lib/peers.gd")
const LAST := 12
## A burst is no lack of attention, however long a busy machine takes for it.
const GRACE := 20.0
const FAREWELL: PackedByteArray = [1]

var end: BarePeer
var other := 1


func run() -> void:
	var limit := int(args["limit"])
	var kind: String = args["kind"]
	if role == "server":
		end = BarePeer.new(self, Peers.make_server(kind, port, {overflow_grace = GRACE}))
		ready_line()
		await until(func() -> bool: return end.has("peer_connected"), 10.0, "the client")
		other = end.events[0].get_slice(" ", 1).to_int()
	else:
		var url := "ws://127.0.0.1:%d" % port
		end = BarePeer.new(self, Peers.make_client(kind, url, {overflow_grace = GRACE}))
		await until(end.is_connected_now, 10.0, "connected")
	var lines := ErrorLines.new()
	for turn in 3:
		check_eq(end.send(other, Pattern.bytes(limit, turn)), OK, "exactly the limit")
		lines.take()
		check_eq(
			end.send(other, Pattern.bytes(limit + 1, turn)), ERR_OUT_OF_MEMORY, "one byte more"
		)
		_one_line(lines, "%d bytes is larger than %d" % [limit + 1, limit])
		check_eq(end.send(other, Pattern.bytes(limit * 10, turn)), ERR_OUT_OF_MEMORY, "far more")
		_one_line(lines, "%d bytes is larger than %d" % [limit * 10, limit])
		# To all: refused as a whole, and packet_refused is not emitted for any peer.
		check_eq(end.send(0, Pattern.bytes(limit + 1, turn)), ERR_OUT_OF_MEMORY, "more, to all")
		_one_line(lines, "%d bytes is larger than %d" % [limit + 1, limit])
		# Through a variable of this type the engine's own method is called, which does nothing.
		check_eq(end.send(other, PackedByteArray()), OK, "an empty packet by way of the engine")
		var as_ours: Variant = end.peer
		check_eq(as_ours.put_packet(PackedByteArray()), ERR_INVALID_PARAMETER, "an empty packet")
		_one_line(lines, "empty packet")
		check_eq(end.send(other, Pattern.bytes(limit - 1, turn)), OK, "one byte less")
	check_eq(end.send(other, Pattern.bytes(LAST, 7)), OK, "a last word")
	var got_all := func() -> bool: return end.packets.get(other, []).size() >= 7
	await until(got_all, 10.0, "all packets")
	var expected: Array[PackedByteArray] = []
	for turn in 3:
		expected.append(Pattern.bytes(limit, turn))
		expected.append(Pattern.bytes(limit - 1, turn))
	expected.append(Pattern.bytes(LAST, 7))
	for index in expected.size():
		var difference := Pattern.difference(end.packets[other][index], expected[index])
		check(difference.is_empty(), "packet %d: %s" % [index, difference])
	check_eq(end.count("peer_disconnected"), 0, "connections lost")
	check_eq(end.count("packet_refused"), 0, "broadcasts that a peer had no room for")
	check_eq(end.peer.get_statistics().packets_refused, 0, "refusals counted as a lack of room")
	# The server stays until the client has looked as well, and the client until the server has gone.
	if role == "server":
		var farewell := func() -> bool: return end.packets[other].size() > expected.size()
		await until(farewell, 10.0, "the client's farewell")
		expected.append(FAREWELL)
	else:
		check_eq(end.send(other, FAREWELL), OK, "a farewell")
		await until(end.is_closed, 10.0, "the server goes")
	await frames(5)
	check_eq(end.packets[other].size(), expected.size(), "packets from the other side")
	check_eq(end.packets[other].back(), expected.back(), "the last of them")
	end.peer.close()
	lines.stop()


func _one_line(lines: ErrorLines, part: String) -> void:
	var taken := lines.take()
	if lines.is_available():
		check(taken.size() == 1 and taken[0].contains(part), "one line with %s: %s" % [part, taken])
