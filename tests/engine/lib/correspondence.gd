extends RefCounted
## One process's part in a case where a server and three clients send packets to each other, without
## a MultiplayerAPI. tests/engine3/lib/correspondence.gd does the same on 3.6.
##
## Each peer sends in turn, waits for an answer of each receiver to each packet, and then reports
## that it is done. Connections keep their order, so by then nothing is in flight.

const Bare := preload("res://lib/bare_peer.gd")
const Case := preload("res://lib/case.gd")
const Letters := preload("res://lib/letters.gd")
const ORDER: Array[String] = ["server", "a", "b", "c"]
## Sizes around the steps of the frame header, including nine bytes of packet header, and the
## largest packet that a 3.6 engine sends and accepts.
const SIZES: Array[int] = [60, 116, 117, 118, 1400, 32768, 65517, 65525, 65526]
## Packets in one frame.
const BURST := 60
const BURST_SIZE := 700
## The timeout of one answer: a sender whose packet is lost reports it long before the others time
## out.
const TIMEOUT := 30.0
## The timeout of everything that one peer sends, and of the start of the engines, on a busy
## machine.
const TURN := 240.0

var bare: Bare
## Name -> id.
var ids := {}

var _case: Case
var _answers := {}
## Sender -> ["address number", ...] in the order of arrival.
var _received := {}
var _ended := {}
var _told := {}
var _number := 0


func _init(case: Case, peer: MultiplayerPeer) -> void:
	_case = case
	bare = Bare.new(case, peer)
	bare.on_packet = _on_packet


## Returns when all processes know each other's names.
func introduce() -> void:
	await _case.until(
		func() -> bool: return bare.count("peer_connected") == _case.peers,
		TURN,
		"all others announced to %s" % _case.name
	)
	ids[_case.name] = bare.peer.get_unique_id()
	_post(0, "name", ids[_case.name])
	await _case.until(
		func() -> bool: return ids.size() == _case.peers + 1, TURN, "all names at %s" % _case.name
	)


func write_to_everybody() -> void:
	for writer in ORDER:
		if writer == _case.name:
			await _write()
			_post(0, "end", 0)
		else:
			await _case.until(
				func() -> bool: return _ended.has(writer),
				TURN,
				"%s's end at %s" % [writer, _case.name]
			)
	for writer in ORDER:
		if writer != _case.name:
			var expected := _expected_from(writer)
			var got: Array = _received.get(writer, [])
			_case.check_eq(got, expected, "%s's letters at %s" % [writer, _case.name])


## Tells the server that this client has seen a step. 3.6 loses packets that arrive together with a
## close, so no peer is disconnected before that.
func tell(step: int) -> void:
	_post(1, "told", step)


## Server: returns when these clients have seen the step.
func heard(step: int, from: Array[String]) -> void:
	for one in from:
		await _case.until(
			func() -> bool: return _told.has("%s %d" % [one, step]),
			TIMEOUT,
			"%s's word that it has seen step %d" % [one, step]
		)


## Returns the signals that are expected when these peers leave.
func partings(gone: Array[String]) -> Array[String]:
	var events: Array[String] = []
	for one in gone:
		events.append("peer_disconnected %d" % ids[one])
	return events


func _write() -> void:
	for address in _addresses(_case.name):
		for size in SIZES:
			_number += 1
			_send(address, _number, size)
			await _answered(address, _number)
	for count in BURST:
		_number += 1
		_send("all", _number, BURST_SIZE)
	await _answered("all", _number)


## To everybody but oneself.
func _addresses(writer: String) -> Array[String]:
	var addresses: Array[String] = ["all"]
	for one in ORDER:
		if one != writer:
			addresses.append(one)
			addresses.append("but " + one)
	return addresses


func _readers(writer: String, address: String) -> Array[String]:
	var readers := ORDER.filter(func(one: String) -> bool: return one != writer)
	if address.begins_with("but "):
		var excluded := address.trim_prefix("but ")
		# A 3.6 server also receives packets to everybody but the server.
		if excluded != "server" or _case.args.get("on3", "") != "server":
			readers.erase(excluded)
	elif address != "all":
		readers = [address]
	var named: Array[String] = []
	named.assign(readers)
	return named


func _expected_from(writer: String) -> Array:
	var expected := []
	var number := 0
	for address in _addresses(writer):
		for size in SIZES:
			number += 1
			if _case.name in _readers(writer, address):
				expected.append("%s %d" % [address, number])
	for count in BURST:
		number += 1
		expected.append("all %d" % number)
	return expected


func _send(address: String, number: int, size: int) -> void:
	var target := 0
	if address.begins_with("but "):
		target = -ids[address.trim_prefix("but ")]
	elif address != "all":
		target = ids[address]
	var error := bare.send(target, Letters.write(_case.name, address, number, size))
	_case.check_eq(error, OK, "sending %d bytes to %s" % [size, address])


func _answered(address: String, number: int) -> void:
	for reader in _readers(_case.name, address):
		await _case.until(
			func() -> bool: return _answers.has("%s %d" % [reader, number]),
			TIMEOUT,
			"%s's answer to letter %d to %s" % [reader, number, address]
		)


## A message about the progress, not a test packet.
func _post(to: int, word: String, value: int) -> void:
	var error := bare.send(to, ("%s|%s|%d" % [word, _case.name, value]).to_utf8_buffer())
	_case.check_eq(error, OK, "posting %s" % word)


func _on_packet(sender: int, packet: PackedByteArray) -> void:
	if packet.size() < Letters.SMALLEST:
		var words := packet.get_string_from_utf8().split("|")
		var value := int(words[2])
		match words[0]:
			"name":
				ids[words[1]] = value
				_case.check_eq(
					sender, value, "%s's id in its packets and in its own eyes" % words[1]
				)
			"answer":
				_answers["%s %d" % [words[1], value]] = true
			"end":
				_ended[words[1]] = true
			"told":
				_told["%s %d" % [words[1], value]] = true
		return
	var letter := Letters.read(packet)
	_case.check_eq(letter.fault, "", "letter from %d" % sender)
	_case.check_eq(sender, ids.get(letter.from, -1), "sender of a letter of %s" % letter.from)
	if not _received.has(letter.from):
		_received[letter.from] = []
	_received[letter.from].append("%s %d" % [letter.to, letter.number])
	_post(sender, "answer", letter.number)
