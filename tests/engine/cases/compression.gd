# Compressed messages: what is sent arrives as it was, and the statistics show what was saved. A client of the engine, which does not
# compress, plays along. A message that inflates to more than is allowed ends its connection, and nothing else.
# processes: server client:a client:b
# timeout: 60
# variant: shared server=ours clients=ours,ours4 mode=1 agreed=shared
# variant: dedicated server=ours4 clients=ours4,ours mode=2 agreed=dedicated
# variant: off server=ours clients=ours mode=0
# variant: engine_client server=ours clients=ours,engine mode=1 agreed=shared
# variant: engine_client4 server=ours4 clients=ours4,engine mode=2 agreed=dedicated
# variant: engine_server server=engine clients=ours,ours4 mode=2
# variant: godot3_packets server=ours clients=ours mode=2 wire=1 agreed=dedicated
# variant: web server=ours clients=ours,ours4 mode=1 agreed=shared plain=b web=client:b
extends "res://lib/case.gd"

const Party := preload("res://lib/party.gd")
## Agrees to permessage-deflate, and takes each message by itself.
const REQUEST := (
	"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	+ "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	+ "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
const BOMB_SIZE := 1024 * 1024

var party: Party
## What everybody sends to everybody.
var values: Array = []


func run() -> void:
	seed(1)
	_make_values()
	party = Party.attach(self)
	if party.kind() != "engine":
		party.properties = {"compression_mode": int(args["mode"]), "compression_threshold": 64}
		if args.has("wire"):
			party.properties["wire_format"] = int(args["wire"])
	await party.gather()
	await _all_to_all("first")
	await _compare_statistics()
	await party.barrier("compared")
	if role == "server" and args.has("agreed"):
		await _bomb()
	await party.barrier("after the bomb")
	await _all_to_all("second")
	await party.barrier("checked")
	await party.leave_in_turn()


func _make_values() -> void:
	var state := []
	for id: int in 200:
		state.append({"id": id, "position": [id * 3 % 50, 1.5, id * 7 % 50], "state": "running"})
	values.append(JSON.stringify(state))
	var noise := PackedByteArray()
	for index: int in 20000:
		noise.append(randi())
	values.append(noise)
	for tick: int in 100:
		values.append(
			'{"tick":%d,"position":[%d,1.5,%d],"state":"running"}' % [tick, tick * 7, tick * 3]
		)
	var zeros := PackedByteArray()
	zeros.resize(50000)
	values.append(zeros)


func _all_to_all(round_name: String) -> void:
	for index: int in values.size():
		party.publish("%s %s %d" % [round_name, name, index], values[index])
	await party.barrier(round_name)
	for who: String in party.ids:
		if who == name:
			continue
		for index: int in values.size():
			var found: Variant = party.published.get("%s %s %d" % [round_name, who, index])
			check_eq(found, values[index], "%s: value %d of %s" % [round_name, index, who])


func _compare_statistics() -> void:
	if party.kind() == "engine":
		return
	var peer: Variant = party.peer
	for who: String in party.ids:
		if who == name or role != "server" and who != "server":
			continue
		var figures: Dictionary = peer.get_peer_statistics(party.ids[who])
		# The engine's class offers nothing, nor does what a page has outside a browser.
		var is_plain: bool = _kind_of(who) == "engine" or args.get("plain") in [who, name]
		var agreed: String = "" if is_plain else args.get("agreed", "")
		check_eq(figures["compression"], agreed, "agreed with " + who)
		if agreed.is_empty():
			for figure: String in ["deflated_out_bytes", "inflated_in_bytes"]:
				check_eq(figures[figure], 0, "%s of %s" % [figure, who])
			continue
		_is_saved(who, figures["deflated_out_bytes"], figures["compressed_out_bytes"])
		_is_saved(who, figures["inflated_in_bytes"], figures["compressed_in_bytes"])
		print("%s: %s" % [who, figures])
	var memory: int = peer.get_statistics()["compression_bytes"]
	var is_plain: bool = not args.has("agreed") or args.get("plain") == name
	check_eq(memory > 0, not is_plain, "memory of compressors")
	# The last answers may still be on their way.
	await until(_is_sum, 10.0, "totals that are the sums of all peers")


func _is_sum() -> bool:
	var peer: Variant = party.peer
	var left := 0
	for who: String in party.ids:
		if who != name and (role == "server" or who == "server"):
			left -= peer.get_peer_statistics(party.ids[who])["deflated_out_bytes"]
	left += peer.get_statistics()["deflated_out_bytes"]
	return left == 0


## The JSON, the small messages and the zeros shrink; the noise does not count.
func _is_saved(who: String, plain: int, compressed: int) -> void:
	check(plain > 60000, "%s: %d bytes were compressed" % [who, plain])
	check(compressed > 0 and compressed * 4 < plain, "%s: %d to %d" % [who, plain, compressed])


func _kind_of(who: String) -> String:
	if who == "server":
		return args["server"]
	var kinds: PackedStringArray = args["clients"].split(",")
	return kinds[(who.unicode_at(0) - "a".unicode_at(0)) % kinds.size()]


func _bomb() -> void:
	var peer: Variant = party.peer
	var before: Dictionary = peer.get_statistics()
	var socket := StreamPeerTCP.new()
	check_eq(socket.connect_to_host("127.0.0.1", port), OK, "connect_to_host()")
	var is_connected := func() -> bool:
		return socket.poll() == OK and socket.get_status() == StreamPeerTCP.STATUS_CONNECTED
	await until(is_connected, 10.0, "a connection")
	socket.put_data(REQUEST.to_ascii_buffer())
	var came: Array[PackedByteArray] = [PackedByteArray()]
	var takes := func(until_there: PackedByteArray) -> bool:
		socket.poll()
		var size := socket.get_available_bytes()
		if size > 0:
			came[0].append_array(socket.get_data(size)[1])
		return came[0].hex_encode().contains(until_there.hex_encode())
	await until(takes.bind("\r\n\r\n".to_ascii_buffer()), 10.0, "the answer")
	var answer := _printable(came[0])
	check(answer.contains("Sec-WebSocket-Extensions: permessage-deflate"), answer)
	socket.put_data(_bomb_frame())
	# A Close frame with code 1009.
	await until(takes.bind(PackedByteArray([0x03, 0xf1])), 10.0, "code 1009")
	var words := _printable(came[0])
	check(words.contains("a compressed message of more than 6553"), words)
	socket.disconnect_from_host()
	var counts := func() -> bool:
		var now: Dictionary = peer.get_statistics()
		var violated: int = now["peers_violated"] - before["peers_violated"]
		return violated == 1 and now["peers"] == before["peers"]
	await until(counts, 10.0, "one violation, and the others")


## Some KiB that inflate to BOMB_SIZE.
func _bomb_frame() -> PackedByteArray:
	var zeros := PackedByteArray()
	zeros.resize(BOMB_SIZE)
	# Without the head and the checksum of zlib.
	var deflated := zeros.compress(FileAccess.COMPRESSION_DEFLATE)
	deflated = deflated.slice(2, -4)
	check(deflated.size() in range(126, 65536), "%d bytes" % deflated.size())
	var frame := PackedByteArray([0xc2, 0x80 | 126, deflated.size() >> 8, deflated.size() & 0xff])
	# The mask is zero.
	frame.append_array(PackedByteArray([0, 0, 0, 0]))
	frame.append_array(deflated)
	return frame


func _printable(bytes: PackedByteArray) -> String:
	var text := ""
	for byte: int in bytes:
		text += char(byte) if byte >= 32 and byte < 127 else "."
	return text
