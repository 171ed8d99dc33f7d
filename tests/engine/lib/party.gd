extends Node
## One process's part in a case with a server and named clients.
##
## Connects, learns the names of all processes, keeps a log of the multiplayer signals, and has
## barriers: a barrier opens when all processes have reached it. Connections keep their order, and
## relayed packets pass through the server, so after a barrier everything that was sent before it
## has arrived.

const Case := preload("res://lib/case.gd")
const Peers := preload("res://lib/peers.gd")
const TIMEOUT := 20.0

var case: Case
## Set on the peer before it is opened.
var properties := {}
var peer: MultiplayerPeer
## Name -> peer id, of everybody; the server is called "server".
var ids := {}
## The emitted signals, in order: "peer_connected a", "server_disconnected", ...
var events: Array[String] = []
## What the others published.
var published := {}

var _names := {1: "server"}
## Ids that were in a signal before their name was known.
var _unnamed: Array = []
var _arrived := {}
var _released := {}


## Puts the node into the tree, where the other processes have theirs.
static func attach(to: Case) -> Node:
	var party: Node = new()
	party.case = to
	party.name = "Party"
	to.root.add_child(party)
	return party


func _ready() -> void:
	multiplayer.peer_connected.connect(func(id: int) -> void: _log("peer_connected", id))
	multiplayer.peer_disconnected.connect(func(id: int) -> void: _log("peer_disconnected", id))
	multiplayer.connected_to_server.connect(func() -> void: events.append("connected_to_server"))
	multiplayer.connection_failed.connect(func() -> void: events.append("connection_failed"))
	multiplayer.server_disconnected.connect(func() -> void: events.append("server_disconnected"))


## Returns the kind of peer of this process. Variants pass `server=KIND` and
## `clients=KIND[,KIND...]`, for the clients a, b, c in turn.
func kind() -> String:
	if case.role == "server":
		return case.args.get("server", "ours")
	var kinds: PackedStringArray = case.args.get("clients", "ours").split(",")
	return kinds[(case.name.unicode_at(0) - "a".unicode_at(0)) % kinds.size()]


func url() -> String:
	return ("wss://127.0.0.1:%d" if _is_encrypted() else "ws://127.0.0.1:%d") % case.port


## Listens or connects. The caller prints the server's `ready_line`, because it may have more to
## prepare.
func open() -> void:
	if case.role == "server":
		var tls := Peers.make_certificate(case.args["scratch"]) if _is_encrypted() else ""
		peer = Peers.make_server(kind(), case.port, properties, tls)
	else:
		peer = Peers.make_client(kind(), url(), properties)
	if not case.check(peer != null, "%s: no peer of kind %s" % [case.name, kind()]):
		return
	multiplayer.multiplayer_peer = peer


## Opens, and returns when all processes are connected and know each other's names.
func gather() -> void:
	open()
	if case.role == "server":
		case.ready_line()
		await case.until(
			func() -> bool: return _names.size() == case.peers + 1, TIMEOUT, "all here"
		)
		_roster.rpc(_names)
		_learn(_names)
	else:
		await case.until(
			func() -> bool: return events.has("connected_to_server"), TIMEOUT, "connected"
		)
		_hello.rpc_id(1, case.name)
		await case.until(func() -> bool: return not ids.is_empty(), TIMEOUT, "roster")


## Returns when everybody in `who` (apart from the server) has called this with the same label.
func barrier(label: String, who: Array = []) -> void:
	var others := _clients_of(who)
	if case.role == "server":
		await _all_arrive(label, others)
		for one: String in others:
			release(ids[one], label)
	else:
		_arrive.rpc_id(1, label)
		await case.until(is_released.bind(label), TIMEOUT, 'barrier "%s"' % label)


## Server: lets one peer pass, without waiting for others.
func release(id: int, label: String) -> void:
	_release.rpc_id(id, label)


func is_released(label: String) -> bool:
	return _released.has(label)


## Sends a value to all the others, or to one; it appears in their `published`.
func publish(key: String, value: Variant, to := MultiplayerPeer.TARGET_PEER_BROADCAST) -> void:
	_publish.rpc_id(to, key, value)


## The engine's own class, on either side, can lose packets that were sent right before a close, so
## the server waits until everybody in `who` has passed the barrier `label`. The addon's classes
## must not lose them, so cases without the engine's class do not wait here. The scripts of a web
## export use the engine's class where there is no browser: their variants say `below=engine`.
func wait_for_engine(label: String, who: Array = []) -> void:
	var kinds: String = (
		case.args.get("server", "") + case.args.get("clients", "") + case.args.get("below", "")
	)
	if not kinds.contains("engine"):
		return
	var passed := label + ", passed"
	if case.role == "server":
		await _all_arrive(passed, _clients_of(who))
	else:
		_arrive.rpc_id(1, passed)


## The clients close one after the other; the server's part ends with the last one. If they all
## closed at once, the engine's own server would print errors about sending notices to those that
## leave.
func leave_in_turn() -> void:
	var clients: Array = ids.keys().filter(func(one: String) -> bool: return one != "server")
	clients.sort()
	for one: String in clients:
		if one == case.name:
			peer.close()
			return
		await wait_for_event("peer_disconnected %s" % one)


func wait_for_event(event: String, within := TIMEOUT) -> void:
	await case.until(func() -> bool: return events.has(event), within, event)


## Variants with `tls=yes` use TLS.
func _is_encrypted() -> bool:
	return case.args.has("tls")


func name_of(id: int) -> String:
	return _names.get(id, str(id))


## Returns the name of the sender of the current RPC.
func sender() -> String:
	return name_of(multiplayer.get_remote_sender_id())


@rpc("any_peer", "call_remote", "reliable")
func _hello(its_name: String) -> void:
	_names[multiplayer.get_remote_sender_id()] = its_name


@rpc("authority", "call_remote", "reliable")
func _roster(names: Dictionary) -> void:
	_learn(names)


@rpc("any_peer", "call_remote", "reliable")
func _publish(key: String, value: Variant) -> void:
	published[key] = value


@rpc("any_peer", "call_remote", "reliable")
func _arrive(label: String) -> void:
	if not _arrived.has(label):
		_arrived[label] = {}
	_arrived[label][sender()] = true


@rpc("authority", "call_remote", "reliable")
func _release(label: String) -> void:
	_released[label] = true


func _clients_of(who: Array) -> Array:
	var others: Array = who if who else ids.keys()
	return others.filter(func(one: String) -> bool: return one != "server")


func _all_arrive(label: String, who: Array) -> void:
	var complete := func() -> bool:
		return who.all(func(one: String) -> bool: return _arrived.get(label, {}).has(one))
	await case.until(complete, TIMEOUT, 'everybody at "%s"' % label)


func _learn(names: Dictionary) -> void:
	_names = names
	for id: int in names:
		ids[names[id]] = id
	for id: int in _unnamed:
		for index in events.size():
			events[index] = events[index].replace(" %d" % id, " %s" % name_of(id))
	_unnamed.clear()


func _log(event: String, id: int) -> void:
	if not _names.has(id):
		_unnamed.append(id)
	events.append("%s %s" % [event, name_of(id)])
