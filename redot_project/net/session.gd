extends Node
## Hosts or joins a game, keeps the list of names, and sends the chat.
##
## All other nodes ask this node whether it is online, and for the players and their names. The server
## owns the roster; clients send their name with `_hello`, and get the roster back.

## The session has begun: listening, or connected and on the roster.
signal opened
## The session has ended. `reason` is empty if this player has left.
signal closed(reason: String)
## The roster has changed. The server adds or removes a player's disc now.
signal joined(id: int, player_name: String)
signal left(id: int, player_name: String)
signal chatted(id: int, text: String)

enum State { OFFLINE, CONNECTING, HOSTING, JOINED }

const Address := preload("res://net/address.gd")
const PeerFactory := preload("res://net/peer_factory.gd")
const CONNECT_TIMEOUT := 10.0
const ASK_EVERY := 1.0
const MAX_NAME := 14
const MAX_CHAT := 160

var state := State.OFFLINE
var my_name := ""
## Peer id -> name. Id 1 is the server, player or not.
var names := {}
var url := ""
var port := 0
var is_encrypted := false
## True on a server that has a disc of its own in the arena.
var host_plays := false

var _connecting_for := 0.0
var _round_trip := -1
var _ask_wait := 0.0


func _ready() -> void:
	multiplayer.peer_disconnected.connect(_on_peer_disconnected)
	multiplayer.connected_to_server.connect(_on_connected_to_server)
	multiplayer.connection_failed.connect(_on_connection_failed)
	multiplayer.server_disconnected.connect(_on_server_disconnected)


func _process(delta: float) -> void:
	if state == State.JOINED:
		_ask_wait -= delta
		if _ask_wait <= 0.0:
			_ask_wait = ASK_EVERY
			_ask.rpc_id(1, Time.get_ticks_msec())
	if state != State.CONNECTING:
		return
	_connecting_for += delta
	if _connecting_for > CONNECT_TIMEOUT:
		_end("%s did not answer within %d seconds" % [url, int(CONNECT_TIMEOUT)])


func _exit_tree() -> void:
	leave()


## Returns an empty string, or an error message. With a `certified_name` the game is encrypted.
func host(listen_port: int, player_name: String, plays: bool, certified_name := "") -> String:
	leave()
	var outcome := PeerFactory.host(listen_port, certified_name)
	if outcome.peer == null:
		return outcome.error
	multiplayer.multiplayer_peer = outcome.peer
	state = State.HOSTING
	port = listen_port
	is_encrypted = not certified_name.is_empty()
	host_plays = plays
	my_name = _tidy_name(player_name)
	names = {1: my_name}
	opened.emit()
	joined.emit(1, my_name)
	return ""


## Returns an empty string if the attempt has begun, or an error message.
func join(server_url: String, player_name: String, trust := PeerFactory.Trust.HOST) -> String:
	leave()
	var outcome := PeerFactory.join(server_url, trust)
	if outcome.peer == null:
		return outcome.error
	multiplayer.multiplayer_peer = outcome.peer
	state = State.CONNECTING
	url = server_url
	is_encrypted = Address.is_encrypted(url)
	my_name = _tidy_name(player_name)
	_connecting_for = 0.0
	_round_trip = -1
	_ask_wait = 0.0
	return ""


func leave() -> void:
	if state != State.OFFLINE:
		_end("")


func is_online() -> bool:
	return state == State.HOSTING or state == State.JOINED


func is_hosting() -> bool:
	return state == State.HOSTING


func my_id() -> int:
	return multiplayer.get_unique_id() if is_online() else 0


func name_of(id: int) -> String:
	return names.get(id, "#%d" % id)


func say(text: String) -> void:
	var line := _tidy_line(text)
	if line.is_empty() or not is_online():
		return
	_chat.rpc(line)
	chatted.emit(my_id(), line)


## Whether the connection to the server is lost, and this player about to come back.
func is_suspended() -> bool:
	return state == State.JOINED and PeerFactory.is_suspended(multiplayer.multiplayer_peer)


## The round trip to the server, as the transport has measured it. If the transport has no value, a pair
## of RPCs measures it, which includes the time until the next frame on both sides.
func round_trip_msec() -> int:
	if state != State.JOINED:
		return -1
	var measured := PeerFactory.round_trip_msec(multiplayer.multiplayer_peer, 1)
	return measured if measured >= 0 else _round_trip


@rpc("any_peer", "call_remote", "reliable")
func _chat(text: String) -> void:
	var id := multiplayer.get_remote_sender_id()
	chatted.emit(id, _tidy_line(text))


@rpc("any_peer", "call_remote", "unreliable")
func _ask(its_clock: int) -> void:
	if is_hosting():
		_answer.rpc_id(multiplayer.get_remote_sender_id(), its_clock)


@rpc("authority", "call_remote", "unreliable")
func _answer(my_clock: int) -> void:
	_round_trip = Time.get_ticks_msec() - my_clock


@rpc("any_peer", "call_remote", "reliable")
func _hello(wanted: String) -> void:
	var id := multiplayer.get_remote_sender_id()
	if not is_hosting() or names.has(id):
		return
	var player_name := _unique_name(_tidy_name(wanted))
	names[id] = player_name
	_roster.rpc(names)
	joined.emit(id, player_name)


@rpc("authority", "call_remote", "reliable")
func _roster(now: Dictionary) -> void:
	var before := names
	names = now
	if state == State.CONNECTING and now.has(multiplayer.get_unique_id()):
		state = State.JOINED
		my_name = now[multiplayer.get_unique_id()]
		opened.emit()
	for id: int in now:
		if not before.has(id):
			joined.emit(id, now[id])
	for id: int in before:
		if not now.has(id):
			left.emit(id, before[id])


func _on_connected_to_server() -> void:
	_hello.rpc_id(1, my_name)


func _on_peer_disconnected(id: int) -> void:
	if not is_hosting() or not names.has(id):
		return
	var player_name: String = names[id]
	names.erase(id)
	_roster.rpc(names)
	left.emit(id, player_name)


func _on_connection_failed() -> void:
	_end("Could not join %s: %s" % [url, _why("there is no answer, or it is not a game server")])


func _on_server_disconnected() -> void:
	# The close code of a host that leaves and of a server that stops (RFC 6455 section 7.4.1).
	if PeerFactory.close_code(multiplayer.multiplayer_peer) == 1001:
		_end("The host has left the game")
	else:
		_end("The connection to %s ended: %s" % [url, _why("the server has closed")])


func _why(otherwise: String) -> String:
	var reason := PeerFactory.last_error(multiplayer.multiplayer_peer)
	return reason if reason else otherwise


func _end(reason: String) -> void:
	state = State.OFFLINE
	names = {}
	if is_inside_tree() and multiplayer.multiplayer_peer:
		multiplayer.multiplayer_peer.close()
		multiplayer.multiplayer_peer = OfflineMultiplayerPeer.new()
	closed.emit(reason)


func _tidy_name(wanted: String) -> String:
	var tidy := wanted.strip_edges().strip_escapes().left(MAX_NAME)
	return tidy if tidy else "Player"


func _tidy_line(text: String) -> String:
	return text.replace("\n", " ").strip_edges().left(MAX_CHAT)


func _unique_name(wanted: String) -> String:
	var candidate := wanted
	var number := 2
	while names.values().has(candidate):
		candidate = "%s %d" % [wanted.left(MAX_NAME - 3), number]
		number += 1
	return candidate
