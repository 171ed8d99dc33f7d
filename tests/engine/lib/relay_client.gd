extends RefCounted
## A client that speaks the wire format by hand, so that a test decides about each byte, and sees each.

const RELAY := 3
const SYS := 7
const RAW := 3

var title := ""
var id := 0
## The text of the last packet to each other client.
var spoken := ""
## The text messages of the server.
var told: Array[String] = []

var _socket := WebSocketPeer.new()
var _received: Array[PackedByteArray] = []
var _relayed := {}
var _bursts := 0


func _init(its_title: String, port: int, headers := PackedStringArray()) -> void:
	title = its_title
	_socket.handshake_headers = headers
	_socket.max_queued_packets = 8192
	_socket.connect_to_url("ws://127.0.0.1:%d" % port)


func poll() -> void:
	_socket.poll()
	while _socket.get_available_packet_count() > 0:
		var packet := _socket.get_packet()
		if _socket.was_string_packet():
			told.append(packet.get_string_from_utf8())
		elif id == 0:
			id = packet.decode_s32(0)
		else:
			_received.append(packet)
			if packet[0] == SYS and packet[1] == RELAY:
				var texts: Array = _relayed.get_or_add(packet.decode_s32(2), [])
				texts.append(packet.slice(7).get_string_from_utf8())


func say(packet: PackedByteArray) -> void:
	_socket.put_packet(packet)


func say_raw(text: String) -> void:
	say(PackedByteArray([RAW]) + text.to_utf8_buffer())


func relay_to(target: int, text: String) -> PackedByteArray:
	var packet := PackedByteArray([SYS, RELAY, 0, 0, 0, 0, RAW])
	packet.encode_s32(2, target)
	return packet + text.to_utf8_buffer()


func authenticate(secret: PackedByteArray) -> void:
	say(PackedByteArray([SYS, 0]) + secret)
	say(PackedByteArray([SYS, 0]))


## To each other client twice, with packets for the server's game between them, and to targets that are none.
func burst(clients: Dictionary, kicks: Array) -> void:
	_bursts += 1
	for part in 2:
		for other: String in clients:
			if other != title:
				spoken = "%s %d.%d" % [title, _bursts, part]
				say(relay_to(clients[other].id, spoken))
				say_raw("put %s %s" % [other, spoken])
				say(relay_to(clients[other].id, spoken))
		if part == 0:
			say(relay_to(0, spoken + " to all"))
			say(relay_to(-id, spoken + " to all others"))
			say(relay_to(12345, spoken + " to nobody"))
			say(relay_to(1, spoken + " to the server"))
			for kick: String in kicks:
				say_raw("kick " + kick)


## Returns whether less than half of the packets that may wait do.
func has_room() -> bool:
	return _socket.get_current_outbound_buffered_amount() < 16384


func close_code() -> int:
	return (
		_socket.get_close_code() if _socket.get_ready_state() == WebSocketPeer.STATE_CLOSED else -1
	)


func leave() -> void:
	_socket.close()


func has_heard(text: String) -> bool:
	return _received.has(PackedByteArray([RAW]) + text.to_utf8_buffer())


## The text of the last relayed packet.
func last_relayed() -> String:
	for index in range(_received.size() - 1, -1, -1):
		var packet := _received[index]
		if packet[0] == SYS and packet[1] == RELAY:
			return packet.slice(7).get_string_from_utf8()
	return ""


## The texts that another client has sent to this one.
func relayed_from(source: int) -> Array:
	return _relayed.get(source, [])


## All received packets; instead of the ids that the server has drawn, the names of the clients.
func transcript(names: Dictionary) -> Array:
	return _received.map(
		func(packet: PackedByteArray) -> Array:
			if packet[0] == SYS and packet.size() >= 6:
				var other: int = packet.decode_s32(2)
				return [packet.slice(0, 2), names.get(other, other), packet.slice(6)]
			return [packet]
	)
