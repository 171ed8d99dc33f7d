# What a client of a web export sends over a connection that is slow, lost or back, with a stand-in for the transport: what is dropped, what counts as
# waiting, who does not keep up, and that a text costs no look at each byte.
# processes: main
# web: main
# expect: ^WARNING: WebSocket: peer 1 \(127\.0\.0\.1:9\) does not take its packets: closing it with 4013
extends "res://lib/case.gd"

const WEB := "res://addons/websocket_multiplayer/web/"
const RELIABLE := MultiplayerPeer.TRANSFER_MODE_RELIABLE
const UNRELIABLE := MultiplayerPeer.TRANSFER_MODE_UNRELIABLE
const CONNECTED := MultiplayerPeer.CONNECTION_CONNECTED
const MOST := 4194304


## A connection of which a test says what becomes of the data.
class Line:
	extends "res://addons/websocket_multiplayer/web/transport.gd"

	var unsent := 0
	var again := 0
	## Milliseconds since something came, and without any data leaving.
	var silent := 0
	var stalled := 0
	var reconnects := 0
	## Whether each packet was marked.
	var marks: Array[bool] = []
	var closed_with := 0
	var _is_marked := false

	func open(_address: String, _protocols: PackedStringArray, _options: Dictionary) -> Error:
		_state = WebSocketPeer.STATE_OPEN
		_incoming.append(PackedByteArray([2, 0, 0, 0]))
		return OK

	func _fetch(_until_usec: int) -> void:
		_judge(unsent, 0)

	func send(data: PackedByteArray, _text: bool) -> Error:
		marks.append(_is_marked)
		_is_marked = false
		_sent_bytes += data.size()
		_sent_packets += 1
		unsent += data.size()
		return OK

	func close(code: int = 1000, _why: String = "") -> void:
		if closed_with == 0:
			closed_with = code

	func mark_unreliable() -> void:
		_is_marked = true

	func is_congested() -> bool:
		return unsent > 0

	func buffered_bytes() -> int:
		return maxi(0, super() - again)

	func again_bytes() -> int:
		return again

	func stalled_msec() -> int:
		return stalled

	func reconnect() -> bool:
		reconnects += 1
		return has_session

	func figures() -> Dictionary:
		return FIGURES.merged({"last_receive_msec": silent}, true)

	## The connection is lost, or back.
	func change() -> void:
		changes += 1


class Client:
	extends "res://addons/websocket_multiplayer/web/web_socket_client.gd"

	var line := Line.new()

	func _new_connection(place: _Url, is_for_packets: bool) -> _Connection:
		var made := super(place, is_for_packets)
		made.transport = line
		return made

	## Polls when so many milliseconds are over.
	func later(msec: int) -> void:
		_clock += msec
		poll()

	func put(size: int, mode: MultiplayerPeer.TransferMode) -> Error:
		var packet := PackedByteArray()
		packet.resize(size)
		transfer_mode = mode
		return put_packet(packet)


func run() -> void:
	_check_marks()
	_check_sent_again()
	_check_grace()
	_check_catching_up()
	_check_steady_backlog()
	_check_text()
	_check_write_timeout()


func _connected(has_session: bool, is_multiplayer: bool = true) -> Client:
	var client := Client.new()
	check_eq(client.connect_to_url("ws://127.0.0.1:9", [], is_multiplayer), OK, "connect_to_url")
	client.poll()
	check_eq(client.get_connection_status(), CONNECTED, "connected")
	client.line.has_session = has_session
	return client


## The mark is for the next packet that is sent: one that is dropped leaves none behind.
func _check_marks() -> void:
	var client := _connected(true)
	client.put(10, UNRELIABLE)
	client.put(10, RELIABLE)
	check_eq(client.line.marks, [true, false], "marks")
	client.line.unsent = 20000
	client.poll()
	check_eq(client.put(10, UNRELIABLE), OK, "dropped above unreliable_backlog")
	check_eq(client.put(10, RELIABLE), OK, "reliable")
	check_eq(client.line.marks, [true, false, false], "a mark behind old news")
	client.line.unsent = MOST
	client.poll()
	client.unreliable_backlog_kb = 0
	check_eq(client.put(10, UNRELIABLE), OK, "dropped without room")
	client.line.unsent = 0
	client.poll()
	check_eq(client.put(10, RELIABLE), OK, "reliable")
	check_eq(client.line.marks, [true, false, false, false], "a mark behind one without room")
	client.line.change()
	client.poll()
	check_eq(client.put(10, UNRELIABLE), OK, "dropped without a connection")
	check_eq(client.put(10, RELIABLE), OK, "reliable")
	check_eq(client.line.marks.size(), 5, "packets without a connection")
	check_eq(client.line.marks[4], false, "a mark behind one without a connection")
	check_eq(client.get_statistics().packets_dropped_unreliable, 3, "dropped")
	client.close()


## What a lost connection had sent does not count as waiting on the next one.
func _check_sent_again() -> void:
	var gated: RefCounted = load(WEB + "gated_transport.gd").new()
	gated.get("_congestion").call("sent", 1000, 1)
	gated.set("_again_bytes", 600)
	gated.set("_held_bytes", 50)
	check_eq(gated.call("buffered_bytes"), 450, "with a gate")
	gated.set("_again_bytes", 2000)
	check_eq(gated.call("buffered_bytes"), 50, "with a gate, and more that is sent again")
	var client := _connected(true)
	client.line.change()
	client.poll()
	client.line.change()
	client.line.again = MOST
	client.line.unsent = MOST + 1000
	client.poll()
	check_eq(client.get_peer_statistics(1).queued_out_bytes, 1000, "what waits")
	check_eq(client.put(60000, RELIABLE), OK, "the first packet after the return")
	client.later(100)
	check_eq(client.get_connection_status(), CONNECTED, "after the return")
	check_eq(client.line.closed_with, 0, "no Close")
	client.overflow_policy = WebSocketClient.OVERFLOW_REFUSE
	check_eq(client.put(60000, RELIABLE), ERR_OUT_OF_MEMORY, "no room")
	check_eq(client.put(1000, RELIABLE), OK, "room")
	client.close()


## A connection that has a session gets 5 s, and another one if nothing comes on it.
func _check_grace() -> void:
	for step: Array in [
		# A session, silent for so long, after so long; attempts to reconnect, closed with.
		[false, 0, 1100, 0, 1013],
		[false, 9000, 1100, 1, 1013],
		[true, 0, 4900, 0, 0],
		[true, 9000, 4900, 0, 0],
		[true, 0, 5100, 0, 1013],
		[true, 4000, 5100, 0, 1013],
		[true, 9000, 5100, 1, 0],
	]:
		var client := _connected(step[0])
		client.line.unsent = 100000
		client.poll()
		client.line.silent = step[1]
		client.later(step[2])
		check_eq(client.line.closed_with, step[4], "closed: %s" % [step])
		check_eq(client.line.reconnects, step[3], "reconnects: %s" % [step])
		client.close()


## Who takes what waited, or what is sent again before it, keeps up. A connection that is new has all of the time.
func _check_catching_up() -> void:
	for way: String in ["again", "left", "fewer", "nothing", "back"]:
		var client := _connected(true)
		var line := client.line
		line.again = 1000000 if way == "again" else 0
		line.unsent = 200000 + line.again
		client.poll()
		for round: int in 8:
			match way:
				"again":
					line.again -= 9000
					line.unsent -= 9000 if round % 2 == 0 else 1000
				"left":
					line.unsent -= 210000
					client.put(60000, RELIABLE)
					client.put(60000, RELIABLE)
					client.put(60000, RELIABLE)
					client.put(30000, RELIABLE)
				"fewer":
					line.unsent -= 9000
				"back":
					line.change()
			client.later(4000)
		check_eq(line.closed_with, 1013 if way == "nothing" else 0, way)
		client.close()


## What has left does not count, although something always waits.
func _check_steady_backlog() -> void:
	var client := _connected(false)
	var line := client.line
	for round: int in 300:
		for number: int in 10:
			check_eq(client.put(50, UNRELIABLE), OK, "unreliable")
			check_eq(client.put(50, RELIABLE), OK, "reliable")
		# 1000 bytes in each frame, as many as were sent; those of three frames wait.
		line.unsent = mini(line.unsent, 3000)
		client.later(100)
	check_eq(line.marks.size(), 6000, "packets")
	check_eq(client.get_peer_statistics(1).queued_out_packets, 60, "those that wait")
	check_eq(client.get_statistics().packets_dropped_unreliable, 0, "dropped")
	check_eq(line.closed_with, 0, "no Close")
	client.close()


## A String is valid UTF-8 as it is sent; bytes are looked at one by one.
func _check_text() -> void:
	var client := _connected(false, false)
	var handle: RefCounted = client.get_peer(1)
	handle.call("set_write_mode", 0)
	var text := "ü".repeat(30000)
	var bytes := text.to_utf8_buffer()
	var times: Array[int] = []
	for call: Callable in [handle.send_text.bind(text), handle.put_packet.bind(bytes)]:
		var began := Time.get_ticks_usec()
		for number: int in 5:
			client.line.unsent = 0
			client.poll()
			check_eq(call.call(), OK, "text")
		times.append(Time.get_ticks_usec() - began)
	check(times[0] * 4 < times[1], "%d us for texts, %d us for bytes" % times)
	client.close()


## A connection that takes nothing is replaced if there is a session, and has ended otherwise.
func _check_write_timeout() -> void:
	for has_session: bool in [true, false]:
		var client := _connected(has_session)
		client.overflow_policy = WebSocketClient.OVERFLOW_REFUSE
		client.write_timeout = 2.0
		client.line.unsent = 1000
		client.line.stalled = 1900
		client.poll()
		check_eq(client.line.reconnects, 0, "in time")
		client.line.stalled = 2000
		client.poll()
		check_eq(client.line.reconnects, 1, "reconnects")
		check_eq(
			client.get_connection_status() == CONNECTED, has_session, "connected: %s" % has_session
		)
		client.close()
