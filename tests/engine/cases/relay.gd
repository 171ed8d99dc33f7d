# Clients talk to each other through a server: what each of them receives is the same, byte for byte and in the same order, whether the
# engine's class relays, our classes on the main thread, or our classes on the thread of their sockets.
# processes: main
# timeout: 120
# expect: ^ERROR: .*(server_relay|connected_peers|pending_peers|Condition ".*" is true|peer).*$
extends "res://lib/case.gd"

const Wrapper := preload("res://lib/wrapper.gd")
const Talker := preload("res://lib/relay_client.gd")
const ENGINE := "WebSocketMultiplayerPeer"
const TIMEOUT := 20.0
const SECRET: PackedByteArray = [115]

var _peer: MultiplayerPeer
var _api: SceneMultiplayer
var _clients := {}
var _turn := 0
## Clients that the server has disconnected: the engine's class, which they are, loses what comes right before a Close.
var _kicked: Array = []


func run() -> void:
	for scenario: Callable in [
		_a_day, _with_authentication, _server_relay_is_toggled, _the_api_is_emptied
	]:
		var ought: Dictionary = await _play(ENGINE, true, scenario)
		var packets: int = 0
		for client: String in ought:
			packets += ought[client].size()
		check(packets > 10, "%s: %d packets" % [scenario.get_method(), packets])
		for kind: String in ["WebSocketServer", "BufferedWebSocketMultiplayerPeer"]:
			for on_io_thread: bool in [true, false]:
				var what := "%s, %s, %s" % [scenario.get_method(), kind, on_io_thread]
				var is_now: Dictionary = await _play(kind, on_io_thread, scenario)
				check_eq(is_now.keys(), ought.keys(), what)
				for client: String in ought:
					_compare(is_now[client], ought[client], "%s, %s" % [what, client])
					if client not in _kicked:
						check_eq(
							is_now[client].size(), ought[client].size(), "%s, %s" % [what, client]
						)
	await _who_is_asked()
	await _the_api_is_gone(false)
	await _the_api_is_gone(true)
	await _through_a_wrapper()


## Joins, bursts, a client that the server disconnects between two packets, one that leaves, an unknown target.
func _a_day() -> void:
	await _join("a")
	await _join("b")
	await _talk("a")
	await _join("c")
	for client: String in ["c", "a", "b"]:
		await _talk(client)
	await _join("d")
	await _talk("d", ["b"])
	await _talk("c")
	# The engine's class loses what comes right before a Close.
	await _talk("a")
	_clients["a"].leave()
	await _until_gone("a")
	await _talk("c")
	await _talk("d")
	_expect_relayed(true)


## A client that is not authenticated yet relays nothing, and is sent nothing.
func _with_authentication() -> void:
	_api.auth_callback = func(id: int, data: PackedByteArray) -> void:
		if data == SECRET:
			_api.complete_auth(id)
	await _join("a", true)
	await _join("b", true)
	await _talk("a")
	await _join("c", false)
	_clients["c"].say(_clients["c"].relay_to(_clients["a"].id, "too early"))
	await _talk("b")
	_clients["c"].authenticate(SECRET)
	await _until_in("c")
	await _talk("c")
	await _talk("a")
	_expect_relayed(true)


func _server_relay_is_toggled() -> void:
	await _join("a")
	await _join("b")
	await _talk("a")
	_expect_relayed(true)
	_api.server_relay = false
	await _talk("b")
	_api.server_relay = true
	await _talk("a")
	await _join("c")
	await _talk("c")
	_expect_relayed(true)


## An API that was emptied, by clear() or because it lost the peer for a moment, relays only between those that came afterwards.
func _the_api_is_emptied() -> void:
	await _join("a")
	await _join("b")
	await _talk("a")
	_expect_relayed(true)
	# In the handler of a packet that stands between others.
	_clients["a"].say(_clients["a"].relay_to(_clients["b"].id, "before"))
	_clients["a"].say_raw("clear")
	await _talk_to_nobody("a")
	await _join("c")
	await _join("d")
	await _talk("c")
	_api.clear()
	await _talk_to_nobody("c")
	await _join("e")
	await _join("f")
	await _talk("e")
	_api.multiplayer_peer = null
	_api.multiplayer_peer = _peer
	await _talk_to_nobody("e")
	await _join("g")
	await _join("h")
	await _talk("g")
	# What was said before waits.
	var relayed := _relayed()
	_clients["g"].burst(_clients, [])
	await _poll_clients_for(0.1)
	_api.multiplayer_peer = null
	_api.auth_callback = func(id: int, _data: PackedByteArray) -> void: _api.complete_auth(id)
	_api.multiplayer_peer = _peer
	await _talk_to_nobody("g")
	check_eq(_relayed(), relayed, "an API that has forgotten all")
	await _join("i", true)
	await _join("j", true)
	await _talk("i")
	check(
		_peer.get_class() == ENGINE or not _peer.relay_on_io_thread or _relayed() > relayed, "anew"
	)
	# It stops to relay in a handler.
	relayed = _relayed()
	_clients["i"].say_raw("stop")
	await _talk_to_nobody("i")
	check_eq(_relayed(), relayed, "server_relay = false in a handler")


## Another API, two of them, and the property.
func _who_is_asked() -> void:
	_open("WebSocketServer", true)
	await _join("a")
	await _join("b")
	await _talk("a")
	var relayed := _relayed()
	check(relayed > 0, "one API")
	var second := _new_api()
	second.multiplayer_peer = _peer
	# It is not looked for at each poll, but when somebody connects.
	await _join("late")
	relayed = _relayed()
	await _talk("a")
	check_eq(_relayed(), relayed, "two APIs")
	check(_clients["b"].last_relayed() == _clients["a"].spoken, "two APIs relay")
	second.multiplayer_peer = null
	_clients["late"].leave()
	await _until_gone("late")
	await _talk("a")
	check_eq(_relayed(), relayed, "those who knew each other before")
	await _join("c")
	await _talk("c")
	check(_relayed() > relayed, "who came when there was one API again")
	relayed = _relayed()
	_peer.relay_on_io_thread = false
	await _talk("c")
	check_eq(_relayed(), relayed, "switched off")
	check(_clients["a"].last_relayed() == _clients["c"].spoken, "relayed by the main thread")
	_peer.relay_on_io_thread = true
	_api.multiplayer_peer = null
	_api = _new_api()
	_api.peer_packet.connect(_on_raw)
	_api.multiplayer_peer = _peer
	_clients["a"].burst(_clients, [])
	await _poll_for(0.2)
	check_eq(_relayed(), relayed, "an API that knows nobody")
	_close()


## What waits when the API lets the peer go, or is freed, is for the script that polls now.
func _the_api_is_gone(is_freed: bool) -> void:
	_open("WebSocketServer", true)
	await _join("a")
	await _join("b")
	await _talk("a")
	var relayed := _relayed()
	check(relayed > 0, "before the API is gone")
	var late: PackedByteArray = _clients["a"].relay_to(_clients["b"].id, "late")
	var received: int = _peer.get_statistics().packets_in
	_clients["a"].say(late)
	var has_come := func() -> bool:
		return _poll_clients() and _peer.get_statistics().packets_in > received
	await until(has_come, TIMEOUT, "what waits")
	await until_handed_over(weakref(_peer), TIMEOUT)
	var kept: SceneMultiplayer = null
	if not is_freed:
		# It has a client, through another peer.
		kept = _api
		kept.multiplayer_peer = OfflineMultiplayerPeer.new()
		kept.multiplayer_peer.peer_connected.emit(2)
		check_eq(kept.get_peers().size(), 1, "clients of the other peer")
	_api = null
	var taken: Array[PackedByteArray] = []
	_peer.poll()
	while _peer.get_available_packet_count() > 0:
		taken.append(_peer.get_packet())
	check_eq(taken, [late] as Array[PackedByteArray], "the API is gone, freed: %s" % is_freed)
	check_eq(_relayed(), relayed, "the API is gone, freed: %s" % is_freed)
	_api = _new_api()
	_close()


## A script between the API and the peer sees each packet.
func _through_a_wrapper() -> void:
	_open("WebSocketServer", true)
	var wrapper: MultiplayerPeer = Wrapper.new(_peer)
	_api.multiplayer_peer = wrapper
	await _join("a")
	await _join("b")
	await _talk("a")
	check_eq(_relayed(), 0, "behind a wrapper")
	check(wrapper.relays > 5, "the wrapper saw %d relays" % wrapper.relays)
	check(_clients["b"].last_relayed() == _clients["a"].spoken, "behind a wrapper")
	_close()
	wrapper.release()


func _play(kind: String, on_io_thread: bool, scenario: Callable) -> Dictionary:
	_open(kind, on_io_thread)
	await scenario.call()
	var names := {}
	for client: String in _clients:
		names[_clients[client].id] = client
	var received := {}
	for client: String in _clients:
		received[client] = _clients[client].transcript(names)
	_close()
	return received


func _open(kind: String, on_io_thread: bool) -> void:
	_peer = ClassDB.instantiate(kind)
	_peer.handshake_timeout = TIMEOUT
	if kind != ENGINE:
		_peer.relay_on_io_thread = on_io_thread
	if kind == "WebSocketServer":
		check_eq(_peer.listen(port, PackedStringArray(), true), OK, "listen()")
	else:
		check_eq(_peer.create_server(port), OK, "create_server()")
	_api = _new_api()
	_api.auth_timeout = TIMEOUT
	_api.peer_packet.connect(_on_raw)
	_api.multiplayer_peer = _peer
	_clients = {}
	_turn = 0
	_kicked = []


func _new_api() -> SceneMultiplayer:
	var api := SceneMultiplayer.new()
	api.root_path = ^"/root"
	return api


func _close() -> void:
	_api.multiplayer_peer = null
	# It refers to this object, and through it to itself.
	_api.auth_callback = Callable()
	_api = null
	_peer.close()
	_peer = null
	_clients = {}


## The server's game: it sends raw packets where their sender wants, and disconnects clients.
func _on_raw(_source: int, packet: PackedByteArray) -> void:
	var words := packet.get_string_from_utf8().split(" ")
	match words[0]:
		"kick":
			_api.disconnect_peer(_clients[words[1]].id)
		"clear":
			_api.clear()
		"stop":
			_api.server_relay = false
		"put":
			_api.send_bytes(packet, _clients[words[1]].id)
		"over":
			for id in _api.get_peers():
				_api.send_bytes(packet, id)


func _join(title: String, authenticates: Variant = null) -> void:
	var client: Talker = Talker.new(title, port)
	_clients[title] = client
	await until(func() -> bool: return _poll() and client.id != 0, TIMEOUT, title + " connects")
	if authenticates == null:
		await _until_in(title)
	elif authenticates:
		client.authenticate(SECRET)
		await _until_in(title)
	else:
		await _poll_for(0.1)


func _until_in(title: String) -> void:
	var is_in := func() -> bool: return _poll() and _clients[title].id in _api.get_peers()
	await until(is_in, TIMEOUT, title + " is in")
	await _poll_for(0.05)


func _until_gone(title: String) -> void:
	var is_gone := func() -> bool: return _poll() and _clients[title].id not in _api.get_peers()
	await until(is_gone, TIMEOUT, title + " is gone")


## One client sends a burst: to each other one, through the server, to nobody; and then a word that the server sends to all, so that it
## is known when everything has come. In the middle the server disconnects others.
func _talk(title: String, kicks: Array = []) -> void:
	_turn += 1
	var client: Talker = _clients[title]
	_kicked.append_array(kicks)
	client.burst(_clients, kicks)
	client.say_raw("over %d" % _turn)
	var over := func() -> bool:
		_poll()
		for id in _api.get_peers():
			for other: Talker in _clients.values():
				if other.id == id and not other.has_heard("over %d" % _turn):
					return false
		return true
	await until(over, TIMEOUT, "everybody hears turn %d" % _turn)


## A burst that the server relays to nobody.
func _talk_to_nobody(title: String) -> void:
	_clients[title].burst(_clients, [])
	await _poll_for(0.2)


func _poll() -> bool:
	_api.poll()
	return _poll_clients()


func _poll_clients() -> bool:
	for client: Talker in _clients.values():
		client.poll()
	return true


func _poll_for(time: float) -> void:
	var end := Time.get_ticks_usec() + int(time * 1e6)
	await until(func() -> bool: return _poll() and Time.get_ticks_usec() > end, TIMEOUT, "a while")


## The server does not take what the clients say.
func _poll_clients_for(time: float) -> void:
	var end := Time.get_ticks_usec() + int(time * 1e6)
	var poll := func() -> bool: return _poll_clients() and Time.get_ticks_usec() > end
	await until(poll, TIMEOUT, "a while")


func _relayed() -> int:
	if _peer.get_class() == ENGINE:
		return 0
	return _peer.get_statistics().packets_relayed


func _expect_relayed(yes: bool) -> void:
	if _peer.get_class() == ENGINE:
		return
	var relayed := _relayed()
	check_eq(relayed > 0, yes and _peer.relay_on_io_thread, "%d packets relayed" % relayed)


func _compare(is_now: Array, ought: Array, what: String) -> void:
	for index in mini(is_now.size(), ought.size()):
		check_eq(is_now[index], ought[index], "%s, packet %d" % [what, index])
