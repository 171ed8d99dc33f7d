extends Node
## Connects the lobby or the command line with the session and the arena.

const CHAT_ROOM := "res://chat/chat_room.tscn"
const PeerFactory := preload("res://net/peer_factory.gd")
const Session := preload("res://net/session.gd")
const Arena := preload("res://game/arena.gd")
const Player := preload("res://game/player.gd")
const Referee := preload("res://game/referee.gd")
const FollowCamera := preload("res://game/follow_camera.gd")
const ComputerPlayer := preload("res://game/computer_player.gd")
const Palette := preload("res://game/palette.gd")
const Hud := preload("res://ui/hud.gd")
const Lobby := preload("res://ui/lobby.gd")
const ScriptedSession := preload("res://scripted/scripted_session.gd")
const Picture := preload("res://scripted/picture.gd")
const CommandLine := preload("res://scripted/command_line.gd")

var _options: CommandLine
var _bots := 0
## Steers this player's disc if the command line has `auto`.
var _stand_in: ComputerPlayer
## Where the finger touches the window of a phone; infinite without one.
var _finger := Vector2.INF

@onready var _session: Session = $Session
@onready var _arena: Arena = $Arena
@onready var _camera: FollowCamera = $Arena/Camera
@onready var _referee: Referee = $Referee
@onready var _hud: Hud = $Overlay/Hud
@onready var _lobby: Lobby = $Overlay/Lobby
@onready var _scripted: ScriptedSession = $Scripted


func _ready() -> void:
	_session.opened.connect(_on_opened)
	_session.closed.connect(_on_closed)
	_session.joined.connect(_on_joined)
	_session.left.connect(_on_left)
	_session.chatted.connect(_on_chatted)
	_referee.set_up(_session, _arena)
	_hud.set_up(_session, _arena, _referee)
	_hud.chat.said.connect(_session.say)
	_lobby.host_wanted.connect(_on_host_wanted)
	_lobby.join_wanted.connect(_on_join_wanted)
	_lobby.cancelled.connect(_session.leave)
	# A scene of its own, loaded by name: without the addon its scripts do not parse.
	_lobby.chat_wanted.connect(get_tree().change_scene_to_file.bind(CHAT_ROOM))
	_scripted.set_up(_session, _arena, _referee)
	_scripted.over.connect(_on_script_over)
	$Arena/Players.child_entered_tree.connect(_on_disc_entered)
	_camera.bounds = Arena.BOUNDS
	_options = CommandLine.parse(OS.get_cmdline_user_args())
	PeerFactory.use_engine_class = _options.use_engine_class
	_lobby.fill_in(_options.player_name, _options.tls)
	_lobby.show_class(PeerFactory.describe(), PeerFactory.has_addon())
	_show_lobby(true)
	_start.call_deferred()


func _unhandled_input(event: InputEvent) -> void:
	if not _session.is_online() or _options.is_scripted():
		return
	var touch := event as InputEventScreenTouch
	if touch:
		_finger = touch.position if touch.pressed else Vector2.INF
	elif event is InputEventScreenDrag:
		_finger = (event as InputEventScreenDrag).position
	if event.is_action_pressed(&"leave"):
		_session.leave()
	elif event.is_action_pressed(&"dash") or (touch and touch.pressed and touch.double_tap):
		var player := _arena.player_of(_session.my_id())
		if player:
			player.dash()


func _start() -> void:
	if _options.picture:
		Picture.take(get_tree(), _options.picture, _options.after)
	if _options.problem:
		print("DEMO FAILED: %s\n%s" % [_options.problem, CommandLine.USAGE])
		get_tree().quit(1)
	elif _options.role.is_empty():
		return
	elif _options.role == "chat":
		get_tree().change_scene_to_file(CHAT_ROOM)
	elif _options.is_scripted():
		_scripted.run(_options)
	elif _options.role == "client":
		_on_join_wanted(_options.url, _options.player_name, _options.trust)
	else:
		_serve_by_hand()


func _serve_by_hand() -> void:
	var plays := _options.window
	var player_name := _options.player_name if _options.player_name else "Host"
	_bots = _options.bots
	var shown_name := player_name if plays else "server"
	var problem := _session.host(_options.port, shown_name, plays, _options.tls)
	if problem:
		print("DEMO FAILED: %s" % problem)
		get_tree().quit(1)
	else:
		print("READY %d" % _options.port)


func _on_host_wanted(port: int, player_name: String, bots: int, certified_name: String) -> void:
	_bots = bots
	var problem := _session.host(port, player_name, true, certified_name)
	if problem:
		_lobby.show_error(problem)


func _on_join_wanted(url: String, player_name: String, trust: PeerFactory.Trust) -> void:
	var problem := _session.join(url, player_name, trust)
	if problem:
		_lobby.show_error(problem)
	else:
		_lobby.show_connecting(url)


func _on_opened() -> void:
	if _session.is_hosting():
		_referee.start(_bots)
	_hud.chat.clear()
	_hud.chat.add_note("Collect gems. Dash into richer players.")
	_show_lobby(false)


func _on_closed(reason: String) -> void:
	_arena.clear()
	_camera.target = null
	_show_lobby(true)
	if reason:
		_lobby.show_error(reason)
	else:
		_lobby.reset()


func _on_joined(id: int, player_name: String) -> void:
	if _has_disc(id) and id != _session.my_id():
		_hud.chat.add_note("%s is here" % player_name)
		if _options.say:
			_session.say(_options.say.format({"name": player_name}))
			_options.say = ""
		_log("%s joined as peer %d" % [player_name, id])


func _on_left(id: int, player_name: String) -> void:
	_hud.chat.add_note("%s has left" % player_name)
	_log("%s left, was peer %d" % [player_name, id])


func _on_chatted(id: int, text: String) -> void:
	var player := _arena.player_of(id)
	var colour := player.colour if player else Palette.TEXT_DIM
	_hud.chat.add_line(_session.name_of(id), colour, text)


func _on_disc_entered(node: Node) -> void:
	var player := node as Player
	if player == null or player.player_id != _session.my_id():
		return
	_camera.target = player
	_camera.position = player.net_position
	if _options.auto:
		_stand_in = ComputerPlayer.new(player, _arena)
		player.steering = _stand_in.steer
	elif not _options.is_scripted():
		player.steering = _keys


func _on_script_over(exit_code: int) -> void:
	_session.leave()
	# A few frames, until the Close frame is sent and the nodes are freed.
	for frame in 5:
		await get_tree().process_frame
	get_tree().quit(exit_code)


func _keys() -> Vector2:
	if _hud.chat.is_typing():
		return Vector2.ZERO
	var player := _arena.player_of(_session.my_id())
	if _finger.is_finite() and player:
		var way := _finger - player.get_global_transform_with_canvas().origin
		return way.normalized() if way.length() > Player.RADIUS else Vector2.ZERO
	return Input.get_vector(&"move_left", &"move_right", &"move_up", &"move_down")


func _show_lobby(shown: bool) -> void:
	_lobby.visible = shown
	_hud.visible = not shown
	_hud.show_keys(not _options or not _options.is_scripted())


func _has_disc(id: int) -> bool:
	return id != 1 or _arena.player_of(1) != null


func _log(text: String) -> void:
	if _session.is_hosting() and not _session.host_plays and not _options.is_scripted():
		print(text)
