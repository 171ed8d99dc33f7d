extends Reference
# One process's part in a case where a server and three clients send packets to each other: see
# tests/engine/lib/correspondence.gd, which does the same on 4.x.

const Letters = preload("res://lib/letters.gd")
const ORDER = ["server", "a", "b", "c"]
const SIZES = [60, 116, 117, 118, 1400, 32768, 65517, 65525, 65526]
const SMALLEST = 60
const BURST = 60
const BURST_SIZE = 700
# The timeout of one answer: a sender whose packet is lost reports it long before the others time
# out.
const TIMEOUT = 30.0
# The timeout of everything that one peer sends, and of the start of the engines, on a busy machine.
const TURN = 240.0

# A WebSocketServer or WebSocketClient.
var peer
# Name -> id.
var ids = {}
# "peer_connected 5", in order.
var events = []

var _case
var _letters = Letters.new()
var _answers = {}
var _received = {}
var _ended = {}
var _told = {}
var _number = 0


func _init(case, from):
	_case = case
	peer = from
	peer.connect("peer_connected", self, "_on_peer", ["peer_connected"])
	peer.connect("peer_disconnected", self, "_on_peer", ["peer_disconnected"])
	peer.connect("connection_succeeded", self, "_on_event", ["connection_succeeded"])
	peer.connect("connection_failed", self, "_on_event", ["connection_failed"])
	peer.connect("server_disconnected", self, "_on_event", ["server_disconnected"])
	case.connect("idle_frame", self, "_on_frame")


# Returns when all processes know each other's names.
func introduce():
	var all = ["peer_connected", _case.peers]
	yield(_case.until(self, "_count_is", all, TURN, "all others announced"), "completed")
	ids[_case.name] = peer.get_unique_id()
	_post(0, "name", ids[_case.name])
	yield(_case.until(self, "_knows", [_case.peers + 1], TURN, "all names"), "completed")


func write_to_everybody():
	for writer in ORDER:
		if writer == _case.name:
			yield(_write(), "completed")
			_post(0, "end", 0)
		else:
			var message = "%s's end" % writer
			yield(_case.until(self, "_has_ended", [writer], TURN, message), "completed")
	for writer in ORDER:
		if writer != _case.name:
			_case.check_eq(_received.get(writer, []), _expected_from(writer), "%s's letters" % writer)


# Tells the server that this client has seen a step.
func tell(step):
	_post(1, "told", step)


# Server: returns whether this client has seen the step.
func has_told(who, step):
	return _told.has("%s %d" % [who, step])


func has(event):
	return event in events


func is_closed():
	return peer.get_connection_status() == NetworkedMultiplayerPeer.CONNECTION_DISCONNECTED


func _count_is(event, wanted):
	var count = 0
	for one in events:
		if one.begins_with(event):
			count += 1
	return count == wanted


func _knows(count):
	return ids.size() == count


func _has_ended(writer):
	return _ended.has(writer)


func _has_answer(key):
	return _answers.has(key)


func _write():
	for address in _addresses(_case.name):
		for size in SIZES:
			_number += 1
			_send(address, _number, size)
			yield(_answered(address, _number), "completed")
	for count in BURST:
		_number += 1
		_send("all", _number, BURST_SIZE)
	yield(_answered("all", _number), "completed")


func _addresses(writer):
	var addresses = ["all"]
	for one in ORDER:
		if one != writer:
			addresses.append(one)
			addresses.append("but " + one)
	return addresses


func _readers(writer, address):
	if address != "all" and not address.begins_with("but "):
		return [address]
	var readers = ORDER.duplicate()
	readers.erase(writer)
	if address != "all":
		var excluded = address.trim_prefix("but ")
		# A 3.6 server also receives packets to everybody but the server.
		if excluded != "server" or _case.args.get("on3", "") != "server":
			readers.erase(excluded)
	return readers


func _expected_from(writer):
	var expected = []
	var number = 0
	for address in _addresses(writer):
		for size in SIZES:
			number += 1
			if _case.name in _readers(writer, address):
				expected.append("%s %d" % [address, number])
	for count in BURST:
		number += 1
		expected.append("all %d" % number)
	return expected


func _send(address, number, size):
	var target = 0
	if address.begins_with("but "):
		target = -ids[address.trim_prefix("but ")]
	elif address != "all":
		target = ids[address]
	peer.set_target_peer(target)
	var error = peer.put_packet(_letters.write(_case.name, address, number, size))
	_case.check_eq(error, OK, "sending %d bytes to %s" % [size, address])


func _answered(address, number):
	for reader in _readers(_case.name, address):
		var message = "%s's answer to letter %d to %s" % [reader, number, address]
		var key = "%s %d" % [reader, number]
		yield(_case.until(self, "_has_answer", [key], TIMEOUT, message), "completed")


func _post(to, word, value):
	peer.set_target_peer(to)
	var error = peer.put_packet(("%s|%s|%d" % [word, _case.name, value]).to_utf8())
	_case.check_eq(error, OK, "posting %s" % word)


func _on_frame():
	if is_closed():
		return
	peer.poll()
	while not is_closed() and peer.get_available_packet_count() > 0:
		var sender = peer.get_packet_peer()
		_on_packet(sender, peer.get_packet())


func _on_packet(sender, packet):
	if packet.size() < SMALLEST:
		var words = packet.get_string_from_utf8().split("|")
		var value = int(words[2])
		match words[0]:
			"name":
				ids[words[1]] = value
				_case.check_eq(sender, value, "%s's id in its packets and in its own eyes" % words[1])
			"answer":
				_answers["%s %d" % [words[1], value]] = true
			"end":
				_ended[words[1]] = true
			"told":
				_told["%s %d" % [words[1], value]] = true
		return
	var letter = _letters.read(packet)
	_case.check_eq(letter.fault, "", "letter from %d" % sender)
	_case.check_eq(sender, ids.get(letter.from, -1), "sender of a letter of %s" % letter.from)
	if not _received.has(letter.from):
		_received[letter.from] = []
	_received[letter.from].append("%s %d" % [letter.to, letter.number])
	_post(sender, "answer", letter.number)


func _on_peer(id, event):
	events.append("%s %d" % [event, id])


func _on_event(event):
	events.append(event)
