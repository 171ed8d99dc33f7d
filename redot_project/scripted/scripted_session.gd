extends Node
## Plays a whole session without a person, on each side, and reports which messages arrived.
##
## The server leads: begin, hold, finish, leave. A client answers "hold" after its last message. A
## connection keeps the order, so no message is in flight after all clients have answered.
## Every wait has a deadline, so a session never hangs.

signal over(exit_code: int)

const PeerFactory := preload("res://net/peer_factory.gd")
const Session := preload("res://net/session.gd")
const Arena := preload("res://game/arena.gd")
const Player := preload("res://game/player.gd")
const Referee := preload("res://game/referee.gd")
const CommandLine := preload("res://scripted/command_line.gd")
const Ledger := preload("res://scripted/ledger.gd")
const Bot := preload("res://scripted/bot.gd")

# A script of steps, each of which may end the session.
# gdlint: disable=max-returns

const SERVER_NAME := "server"
const ROUNDS := 20
const CHATS := 5
const CHAT_LINES: Array[String] = [
	"hello everybody!", "nice trail", "that golden one is mine", "watch out, dashing", "good game"
]
const JOIN_DEADLINE := 30.0
const STEP_DEADLINE := 15.0
const SETTLE_SECONDS := 1.0
const LEAST_TRAVEL := 100.0

var _session: Session
var _arena: Arena
var _referee: Referee
var _ledger := Ledger.new()
var _options: CommandLine
var _seconds := 0.0
## Names of the clients that take part, in the order of their numbers.
var _cast: Array = []
var _seen := {}
var _last_seen_at := {}
var _travelled := {}
var _steps := {}
var _held := {}
var _finished := {}
var _is_over := false


func set_up(session: Session, arena: Arena, referee: Referee) -> void:
	_session = session
	_arena = arena
	_referee = referee


func run(options: CommandLine) -> void:
	_options = options
	_session.chatted.connect(_on_chatted)
	_session.left.connect(_on_left)
	_session.closed.connect(_on_closed)
	if options.role == "server":
		_run_server()
	else:
		_run_client()


func _physics_process(_delta: float) -> void:
	if _options == null:
		return
	for id: int in _session.names:
		if id != _session.my_id():
			_seen[_session.name_of(id)] = true
	for player in _arena.players():
		var before: Vector2 = _last_seen_at.get(player.display_name, player.net_position)
		var step := before.distance_to(player.net_position)
		_travelled[player.display_name] = _travelled.get(player.display_name, 0.0) + step
		_last_seen_at[player.display_name] = player.net_position


func _run_server() -> void:
	var problem := _session.host(_options.port, SERVER_NAME, false, _options.tls)
	if problem:
		_fail(problem)
		return
	_seconds = _options.seconds
	print("READY %d" % _options.port)
	var all_there := func() -> bool: return _session.names.size() > _options.expect
	if not await _until(all_there, JOIN_DEADLINE):
		_fail("%d of %d clients joined" % [_session.names.size() - 1, _options.expect])
		return
	for id: int in _session.names:
		if id != 1:
			_cast.append(_session.name_of(id))
	_begin.rpc(_seconds, _cast)
	for number in range(1, ROUNDS + 1):
		await _wait(_seconds * 0.8 / ROUNDS)
		if _is_over:
			return
		_broadcast.rpc(number)
		_ledger.note_sent(Ledger.BROADCAST)
	await _wait(_seconds * 0.2)
	if _is_over:
		return
	_hold.rpc()
	if not await _until(_answered.bind(_held), STEP_DEADLINE):
		_fail("these clients did not stop: %s" % _missing(_held))
		return
	await _wait(SETTLE_SECONDS)
	if _is_over:
		return
	_steps["finish"] = true
	_finish.rpc()
	if not await _until(_answered.bind(_finished), STEP_DEADLINE):
		_fail("these clients did not finish: %s" % _missing(_finished))
		return
	var positions := _positions()
	var id := _session.my_id()
	# One after the other, so that no client gets a departure while it leaves.
	for client in multiplayer.get_peers():
		_leave.rpc_id(client)
		var gone := func() -> bool: return not multiplayer.get_peers().has(client)
		if not await _until(gone, STEP_DEADLINE):
			_ledger.complain("%s did not leave" % _session.name_of(client))
	for client: String in _cast:
		_ledger.expect(Ledger.CHAT, client, CHATS)
		_ledger.expect(Ledger.SERVER_RPC, client, ROUNDS)
		_ledger.expect(Ledger.UNRELIABLE, client, ROUNDS)
	_report(SERVER_NAME, id, positions)


func _run_client() -> void:
	var problem := _session.join(_options.url, _options.player_name, _options.trust)
	if problem:
		_fail(problem)
		return
	if not await _until(_session.is_online, JOIN_DEADLINE):
		_fail("cannot connect to %s" % _options.url)
		return
	if not await _until(_has_step.bind("begin"), JOIN_DEADLINE + STEP_DEADLINE):
		_fail("the session did not begin")
		return
	var me := _session.my_name
	var player := _arena.player_of(_session.my_id())
	if player == null:
		_fail("no disc was spawned for %s" % me)
		return
	var bot := Bot.new(player, _cast.find(me))
	player.steering = bot.steer
	if not await _send_everything():
		return
	if not await _until(_has_step.bind("hold"), _seconds + STEP_DEADLINE):
		_fail("the session did not end")
		return
	player.halt()
	await _lose_connection()
	_holding.rpc_id(1)
	if not await _until(_has_step.bind("finish"), STEP_DEADLINE * 2.0):
		_fail("the server did not close the session")
		return
	var positions := _positions()
	var id := _session.my_id()
	player.fall_silent()
	_done.rpc_id(1)
	if not await _until(_has_step.bind("leave"), STEP_DEADLINE * 2.0):
		_fail("the server did not disconnect this client")
		return
	_ledger.expect(Ledger.BROADCAST, SERVER_NAME, ROUNDS)
	for client: String in _cast:
		if client != me:
			_ledger.expect(Ledger.CHAT, client, CHATS)
			_ledger.expect(Ledger.RELAY_RPC, client, ROUNDS)
			_ledger.expect(Ledger.UNRELIABLE, client, ROUNDS)
	_report(me, id, positions)


## Loses the connection once, if the server gives sessions: everybody goes on as if nothing had been.
func _lose_connection() -> void:
	var peer := multiplayer.multiplayer_peer
	var id := multiplayer.get_unique_id()
	if not PeerFactory.reconnect(peer):
		return
	if not await _until(_has_resumed.bind(peer), STEP_DEADLINE):
		_ledger.complain("the connection was lost and did not come back")
	elif multiplayer.get_unique_id() != id:
		_ledger.complain("came back as another peer")
	else:
		print("lost the connection, and came back as the same player")


func _has_resumed(peer: MultiplayerPeer) -> bool:
	return peer.call(&"get_peer_statistics", 1).get("resumes", 0) > 0


## Returns false if the session has ended meanwhile.
func _send_everything() -> bool:
	for number in range(1, ROUNDS + 1):
		await _wait(_seconds * 0.8 / ROUNDS)
		if _is_over or not _session.is_online():
			return false
		_to_server.rpc_id(1, number)
		_ledger.note_sent(Ledger.SERVER_RPC)
		for id in multiplayer.get_peers():
			if id != 1:
				_to_client.rpc_id(id, number)
		_ledger.note_sent(Ledger.RELAY_RPC)
		_unreliable.rpc(number)
		_ledger.note_sent(Ledger.UNRELIABLE)
		if number % (ROUNDS / CHATS) == 0:
			var line := number / (ROUNDS / CHATS)
			_session.say("%s (%d)" % [CHAT_LINES[line - 1], line])
			_ledger.note_sent(Ledger.CHAT)
	return true


@rpc("authority", "call_remote", "reliable")
func _begin(seconds: float, cast: Array) -> void:
	_seconds = seconds
	_cast = cast
	_steps["begin"] = true


@rpc("authority", "call_remote", "reliable")
func _hold() -> void:
	_steps["hold"] = true


@rpc("authority", "call_remote", "reliable")
func _finish() -> void:
	_steps["finish"] = true


@rpc("authority", "call_remote", "reliable")
func _leave() -> void:
	_steps["leave"] = true


@rpc("any_peer", "call_remote", "reliable")
func _holding() -> void:
	_held[_sender()] = true


@rpc("any_peer", "call_remote", "reliable")
func _done() -> void:
	_finished[_sender()] = true


@rpc("any_peer", "call_remote", "reliable")
func _to_server(number: int) -> void:
	_ledger.note_received(Ledger.SERVER_RPC, _sender(), number)


@rpc("any_peer", "call_remote", "reliable")
func _to_client(number: int) -> void:
	_ledger.note_received(Ledger.RELAY_RPC, _sender(), number)


@rpc("any_peer", "call_remote", "unreliable")
func _unreliable(number: int) -> void:
	_ledger.note_received(Ledger.UNRELIABLE, _sender(), number)


@rpc("authority", "call_remote", "reliable")
func _broadcast(number: int) -> void:
	_ledger.note_received(Ledger.BROADCAST, _sender(), number)


func _on_chatted(id: int, text: String) -> void:
	if id == _session.my_id():
		return
	var number := text.get_slice("(", 1).to_int()
	_ledger.note_received(Ledger.CHAT, _session.name_of(id), number)


func _on_left(_id: int, player_name: String) -> void:
	if _steps.has("finish"):
		return
	if _options.role == "server":
		_fail("%s left before the end" % player_name)
	else:
		_ledger.complain("%s left before the end" % player_name)


func _on_closed(reason: String) -> void:
	if not _is_over:
		_fail(reason if reason else "the session was closed")


func _sender() -> String:
	return _session.name_of(multiplayer.get_remote_sender_id())


func _has_step(step: String) -> bool:
	return _steps.has(step)


func _answered(answers: Dictionary) -> bool:
	return _missing(answers).is_empty()


func _missing(answers: Dictionary) -> Array:
	return _cast.filter(func(client: String) -> bool: return not answers.has(client))


func _positions() -> Dictionary:
	var positions := {}
	for player in _arena.players():
		var at := player.net_position
		positions[player.display_name] = [snappedf(at.x, 0.01), snappedf(at.y, 0.01)]
		if _travelled.get(player.display_name, 0.0) < LEAST_TRAVEL:
			_ledger.complain("%s was not seen moving" % player.display_name)
	if positions.size() != _cast.size():
		_ledger.complain("%d discs instead of %d" % [positions.size(), _cast.size()])
	return positions


func _report(my_name: String, id: int, positions: Dictionary) -> void:
	_is_over = true
	var travelled := {}
	for player_name: String in _travelled:
		travelled[player_name] = roundi(_travelled[player_name])
	var seen := _seen.keys()
	seen.sort()
	var report := {
		"name": my_name,
		"role": _options.role,
		"addon": PeerFactory.has_addon(),
		"id": id,
		"sent": _ledger.sent,
		"received": _ledger.received,
		"seen_peers": seen,
		"positions": positions,
		"travelled": travelled,
		"ok": _ledger.problems.is_empty(),
		"problems": _ledger.problems,
	}
	print("REPORT %s" % JSON.stringify(report))
	for problem in _ledger.problems:
		print("DEMO PROBLEM: %s" % problem)
	over.emit(0 if _ledger.problems.is_empty() else 1)


func _fail(why: String) -> void:
	if _is_over:
		return
	_is_over = true
	print("DEMO FAILED: %s" % why)
	over.emit(1)


func _wait(seconds: float) -> void:
	await _until(func() -> bool: return false, seconds)


## Returns false if `seconds` have passed, or the session has ended, before `condition` was true.
func _until(condition: Callable, seconds: float) -> bool:
	var deadline := Time.get_ticks_msec() + int(seconds * 1000.0)
	while not condition.call():
		if _is_over or Time.get_ticks_msec() > deadline:
			return false
		await get_tree().process_frame
	return true
