# Clients that flood the relay, and clients that send lists against the rules: those who talk to each other through the same server miss
# nothing.
# processes: main
# timeout: 90
extends "res://lib/case.gd"

const Talker := preload("res://lib/relay_client.gd")
const TIMEOUT := 30.0
const WORDS := 300
const FLOOD_PER_FRAME := 2000
## docs/limits.md: half of the default of `max_in_packets`.
const MOST_TARGETS := 512
const DEFINE := 0x41
const USE := 0x40

var _server: WebSocketServer
var _api: SceneMultiplayer
var _clients := {}
var _raw := 0


func run() -> void:
	_server = WebSocketServer.new()
	check_eq(_server.listen(port, PackedStringArray(), true), OK, "listen()")
	_api = SceneMultiplayer.new()
	_api.root_path = ^"/root"
	_api.peer_packet.connect(func(_id: int, _packet: PackedByteArray) -> void: _raw += 1)
	_api.multiplayer_peer = _server
	for title: String in ["a", "b", "flood"]:
		await _join(title)
	await _talk_beside_a_flood()
	await _one_message_for_several()
	await _targets_that_nobody_has()
	await _lists_against_the_rules()
	_api.multiplayer_peer = null
	_server.close()


func _talk_beside_a_flood() -> void:
	var a: Talker = _clients["a"]
	var b: Talker = _clients["b"]
	var flood: Talker = _clients["flood"]
	var heavy := flood.relay_to(b.id, "x".repeat(200))
	for number in WORDS:
		for packet in FLOOD_PER_FRAME:
			if not flood.has_room():
				break
			flood.say(heavy)
		var word := "word %d" % number
		a.say(a.relay_to(b.id, word))
		b.say(b.relay_to(a.id, word))
		var heard := func() -> bool:
			_poll()
			return _heard(a, b.id).size() > number and _heard(b, a.id).size() > number
		await until(heard, TIMEOUT, word)
	var words := range(WORDS).map(func(number: int) -> String: return "word %d" % number)
	check_eq(_heard(a, b.id), words, "what a hears")
	check_eq(_heard(b, a.id), words, "what b hears")
	var flooded := _heard(b, flood.id).size()
	check(flooded > 10 * WORDS, "%d packets of the flood arrive" % flooded)
	check_eq(_raw, 0, "packets for the server's game")
	check_eq(_api.get_peers().size(), 3, "clients")
	print("%d packets of the flood beside %d words" % [flooded, WORDS])


func _one_message_for_several() -> void:
	var speaker: Talker = await _join_with_lists("speaker")
	var targets := [_clients["a"].id, _clients["b"].id]
	speaker.say(_define(0, targets))
	speaker.say(_use(0, 0, 2, "to both"))
	var heard := func() -> bool:
		_poll()
		return ["a", "b"].all(
			func(title: String) -> bool: return _heard(_clients[title], speaker.id) == ["to both"]
		)
	await until(heard, TIMEOUT, "both hear it")
	speaker.leave()
	await _until_gone("speaker")


func _targets_that_nobody_has() -> void:
	var speaker: Talker = await _join_with_lists("speaker")
	var closed: int = _server.get_statistics().packets_to_closed
	speaker.say(_define(1, range(2, 2 + MOST_TARGETS - 1) + [_clients["a"].id]))
	speaker.say(_use(1, 0, MOST_TARGETS, "to nobody but one"))
	var heard := func() -> bool: return _poll() and _heard(_clients["a"], speaker.id).size() == 1
	await until(heard, TIMEOUT, "the one")
	check_eq(_server.get_statistics().packets_to_closed - closed, MOST_TARGETS - 1, "for nobody")
	check_eq(_raw, 0, "packets for the server's game")
	speaker.leave()
	await _until_gone("speaker")


func _lists_against_the_rules() -> void:
	var a: int = _clients["a"].id
	var b: int = _clients["b"].id
	for wrong: String in [
		"twice", "own", "server", "negative", "number", "many", "undefined", "short"
	]:
		var violated: int = _server.get_statistics().peers_violated
		var hostile: Talker = await _join_with_lists("hostile")
		var message := PackedByteArray()
		match wrong:
			"twice":
				message = _define(0, [a, b, a])
			"own":
				message = _define(0, [a, hostile.id])
			"server":
				message = _define(0, [1, a])
			"negative":
				message = _define(0, [-a])
			"number":
				message = _define(16, [a, b])
			"many":
				message = _define(0, range(2, 3 + MOST_TARGETS))
			"undefined":
				message = _use(3, 0, 2, "x")
			"short":
				message = PackedByteArray([7, USE, 0])
		hostile.say(message)
		hostile.say(hostile.relay_to(a, "behind it"))
		await until(func() -> bool: return _poll() and hostile.close_code() != -1, TIMEOUT, wrong)
		check_eq(hostile.close_code(), 1008, "the code for %s" % wrong)
		check_eq(_server.get_statistics().peers_violated - violated, 1, wrong)
		await _until_gone("hostile")
		check_eq(_heard(_clients["a"], hostile.id), [], "what is behind %s" % wrong)
	var one: Talker = _clients["a"]
	one.say(one.relay_to(b, "still here"))
	# Something of the flood may come behind it.
	var heard := func() -> bool:
		return _poll() and _heard(_clients["b"], one.id).back() == "still here"
	await until(heard, TIMEOUT, "the others go on")


func _define(list: int, targets: Array) -> PackedByteArray:
	var message := PackedByteArray([7, DEFINE, list, 0, 0])
	message.encode_u16(3, targets.size())
	for target: int in targets:
		var place := message.size()
		message.resize(place + 6)
		message.encode_s32(place, target)
		message.encode_u16(place + 4, 0)
	return message


func _use(list: int, from: int, count: int, text: String) -> PackedByteArray:
	var message := PackedByteArray([7, USE, list, 0, 0, 0, 0])
	# The byte above the range is that of the packet, which is raw.
	message.encode_u32(3, from | (count - 1) << 12 | Talker.RAW << 24)
	return message + text.to_utf8_buffer()


## What a client has heard from another one, in order.
func _heard(client: Talker, from: int) -> Array:
	return client.relayed_from(from)


func _join(title: String, headers := PackedStringArray()) -> Talker:
	var client: Talker = Talker.new(title, port, headers)
	_clients[title] = client
	var is_in := func() -> bool:
		_poll()
		return client.id != 0 and client.id in _api.get_peers()
	await until(is_in, TIMEOUT, title + " is in")
	return client


func _join_with_lists(title: String) -> Talker:
	var client: Talker = await _join(title, ["Godot-Multiplayer: relay-list; v=1"])
	check_eq(client.told, ["lists 1 %d 32768" % MOST_TARGETS], "the terms")
	return client


func _until_gone(title: String) -> void:
	var client: Talker = _clients[title]
	var is_gone := func() -> bool: return _poll() and client.id not in _api.get_peers()
	await until(is_gone, TIMEOUT, title + " is gone")
	_clients.erase(title)


func _poll() -> bool:
	_api.poll()
	for client: Talker in _clients.values():
		client.poll()
	return true
