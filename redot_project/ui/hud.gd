extends Control
## Everything around the arena: status line, clock, banner, scoreboard, chat, keys.

const Palette := preload("res://game/palette.gd")
const Session := preload("res://net/session.gd")
const Arena := preload("res://game/arena.gd")
const Referee := preload("res://game/referee.gd")
const Chat := preload("res://ui/chat.gd")
const Scoreboard := preload("res://ui/scoreboard.gd")
const STATUS_EVERY := 0.5

var _session: Session
var _referee: Referee
var _status_wait := 0.0

@onready var chat: Chat = %Chat
@onready var _scoreboard: Scoreboard = %Scoreboard
@onready var _status: Label = %Status
@onready var _dot: Label = %Dot
@onready var _clock: Label = %Clock
@onready var _banner: Label = %Banner
@onready var _next: Label = %Next
@onready var _keys: Label = %Keys


func set_up(session: Session, arena: Arena, referee: Referee) -> void:
	_session = session
	_referee = referee
	_scoreboard.arena = arena


func show_keys(shown: bool) -> void:
	_keys.visible = shown
	if DisplayServer.is_touchscreen_available():
		_keys.text = "Hold to move · tap twice to dash"


func _process(delta: float) -> void:
	if not visible or _session == null:
		return
	var left := maxi(0, _referee.seconds_left)
	_clock.text = "%d:%02d" % [floori(left / 60.0), left % 60]
	var hurry := left <= 10 and _referee.banner.is_empty()
	_clock.add_theme_color_override(&"font_color", Palette.WARN if hurry else Palette.TEXT)
	# Nothing in the arena moves meanwhile, so the player has to see why.
	var is_lost := _session.is_suspended()
	_banner.text = "Reconnecting ..." if is_lost else _referee.banner
	_next.visible = not _banner.text.is_empty()
	_next.text = "next round in %d" % _referee.pause_left
	if is_lost:
		_next.text = "you keep your place and your gems"
	_status_wait -= delta
	if _status_wait <= 0.0:
		_status_wait = STATUS_EVERY
		_update_status()


func _update_status() -> void:
	var others := _session.names.size() - 1
	var company := "alone" if others == 0 else ("1 peer" if others == 1 else "%d peers" % others)
	if _session.is_encrypted:
		company += "  ·  encrypted"
	if _session.is_hosting():
		_status.text = "Hosting on port %d  ·  %s" % [_session.port, company]
		_dot.add_theme_color_override(&"font_color", Palette.GOOD)
		return
	if _session.is_suspended():
		_status.text = "Connection lost"
		_dot.add_theme_color_override(&"font_color", Palette.BAD)
		return
	_status.text = "Connected to %s  ·  %s" % [_session.url, company]
	var round_trip := _session.round_trip_msec()
	if round_trip >= 0:
		_status.text += "  ·  %d ms" % round_trip
	var colour := Palette.GOOD
	if round_trip > 250:
		colour = Palette.BAD
	elif round_trip > 120:
		colour = Palette.WARN
	_dot.add_theme_color_override(&"font_color", colour)
