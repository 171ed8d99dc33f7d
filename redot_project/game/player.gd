extends Node2D
## A player's disc.
##
## Its owner moves it, and the `Motion` synchronizer sends its position. The `Standing` synchronizer
## belongs to the server, and sends the score. `set_up` sets the owners before the node enters the
## tree, in the same way on every machine. The server owns the discs of bots.

const Palette := preload("res://game/palette.gd")
const Trail := preload("res://game/trail.gd")

const RADIUS := 22.0
const SPEED := 360.0
const ACCELERATION := 2600.0
const DASH_SPEED := 980.0
const DASH_TIME := 0.16
const DASH_COOLDOWN := 1.1
const SNAP_DISTANCE := 260.0
const NAME_SIZE := 17
const CROWN: Array[Vector2] = [
	Vector2(-11, 5),
	Vector2(-12, -7),
	Vector2(-5.5, -2),
	Vector2(0, -10),
	Vector2(5.5, -2),
	Vector2(12, -7),
	Vector2(11, 5),
]

## Replicated by the owner.
var net_position := Vector2.ZERO
var dashing := false
## Replicated by the server.
var score := 0:
	set(value):
		if value > score:
			_pop = 1.0
		score = value

## A peer's id; negative for a bot.
var player_id := 0
## The peer that moves the disc.
var owner_id := 0
var display_name := ""
var colour := Color.WHITE
var bounds := Rect2(0, 0, 1800, 1100)
## Returns the wanted direction; called once per physics tick on the owner's machine.
var steering := Callable()
var is_mine := false
var is_moved_here := false
## Whether this player leads; a crown shows it.
var is_leader := false
## A held disc does not move, even if another disc hits it.
var held := false

var _velocity := Vector2.ZERO
var _dash_left := 0.0
var _dash_wait := 0.0
var _pop := 0.0
var _blink := 0.0
var _heading := Vector2.RIGHT

@onready var trail: Trail = $Trail


func set_up(data: Dictionary) -> void:
	player_id = data["id"]
	display_name = data["name"]
	colour = data["colour"]
	net_position = data["at"]
	position = net_position
	owner_id = data["owner"]
	name = str(player_id) if player_id > 0 else "Bot%d" % -player_id
	$Motion.set_multiplayer_authority(owner_id)


func _ready() -> void:
	is_mine = player_id == multiplayer.get_unique_id()
	is_moved_here = owner_id == multiplayer.get_unique_id()
	position = net_position
	trail.colour = colour
	z_index = 2 if is_mine else 1


func _physics_process(delta: float) -> void:
	if is_moved_here:
		_move(delta)
	elif position.distance_to(net_position) > SNAP_DISTANCE:
		position = net_position
	else:
		# Updates come 30 times a second; easing towards them hides the steps.
		position = position.lerp(net_position, 1.0 - exp(-20.0 * delta))


func _process(delta: float) -> void:
	_pop = maxf(0.0, _pop - delta * 3.0)
	_blink = maxf(0.0, _blink - delta)
	trail.boosted = dashing
	trail.push(global_position, delta)
	queue_redraw()


func can_dash() -> bool:
	return _dash_wait <= 0.0


## 0 right after a dash, 1 if the next one is ready.
func dash_charge() -> float:
	return 1.0 - clampf(_dash_wait / DASH_COOLDOWN, 0.0, 1.0)


func dash() -> void:
	if not is_moved_here or held or not can_dash():
		return
	_dash_wait = DASH_COOLDOWN
	_dash_left = DASH_TIME
	_velocity = _heading * DASH_SPEED


func halt() -> void:
	held = true
	steering = Callable()
	_velocity = Vector2.ZERO
	_dash_left = 0.0
	dashing = false


## Stops sending the position. Called before leaving, so that no packet is in flight to a peer that
## has already disconnected.
func fall_silent() -> void:
	$Motion.public_visibility = false


## The server tells the owner of a disc that it was hit.
@rpc("authority", "call_local", "reliable")
func knock(impulse: Vector2) -> void:
	if not held:
		_velocity = impulse
		_dash_left = 0.0


@rpc("authority", "call_local", "unreliable")
func blink() -> void:
	_blink = 1.5


func _move(delta: float) -> void:
	var wish := Vector2.ZERO
	if steering.is_valid():
		wish = (steering.call() as Vector2).limit_length(1.0)
	if wish.length() > 0.1:
		_heading = wish.normalized()
	_dash_wait = maxf(0.0, _dash_wait - delta)
	_dash_left = maxf(0.0, _dash_left - delta)
	dashing = _dash_left > 0.0
	if not dashing:
		_velocity = _velocity.move_toward(wish * SPEED, ACCELERATION * delta)
	var next := position + _velocity * delta
	var inside := bounds.grow(-RADIUS)
	if next.x < inside.position.x or next.x > inside.end.x:
		_velocity.x *= -0.4
	if next.y < inside.position.y or next.y > inside.end.y:
		_velocity.y *= -0.4
	position = next.clamp(inside.position, inside.end)
	net_position = position


func _draw() -> void:
	var size := RADIUS * (1.0 + 0.22 * _pop)
	var alpha := 1.0
	if _blink > 0.0:
		alpha = 0.35 + 0.45 * absf(sin(_blink * 12.0))
	Palette.draw_glow(self, Vector2.ZERO, size * 2.9, Color(colour, 0.5 * alpha))
	if is_mine:
		draw_arc(Vector2.ZERO, size + 6.0, 0, TAU, 48, Color(Palette.TEXT, 0.18), 2.0, true)
		var charge := dash_charge()
		var from := -PI / 2.0
		draw_arc(
			Vector2.ZERO,
			size + 6.0,
			from,
			from + TAU * charge,
			48,
			Color(Palette.TEXT, 0.75),
			2.0,
			true
		)
	draw_circle(Vector2.ZERO, size, Color(colour.darkened(0.45), alpha), true, -1.0, true)
	draw_circle(Vector2.ZERO, size - 3.0, Color(colour, alpha), true, -1.0, true)
	draw_circle(
		Vector2(-0.28, -0.32) * size, size * 0.42, Color(1, 1, 1, 0.28 * alpha), true, -1.0, true
	)
	if is_leader:
		_draw_crown(Vector2(0, -size - 34.0))
	_draw_name(size)


func _draw_crown(at: Vector2) -> void:
	var crown := PackedVector2Array()
	for point: Vector2 in CROWN:
		crown.append(at + point)
	draw_colored_polygon(crown, Palette.GOLD)
	crown.append(crown[0])
	draw_polyline(crown, Palette.GOLD.lightened(0.5), 1.2, true)


func _draw_name(size: float) -> void:
	var font := ThemeDB.fallback_font
	var width := font.get_string_size(display_name, HORIZONTAL_ALIGNMENT_LEFT, -1, NAME_SIZE).x
	var at := Vector2(-width / 2.0, -size - 14.0)
	draw_string_outline(
		font,
		at,
		display_name,
		HORIZONTAL_ALIGNMENT_LEFT,
		-1,
		NAME_SIZE,
		6,
		Color(Palette.BACKGROUND, 0.85)
	)
	draw_string(
		font, at, display_name, HORIZONTAL_ALIGNMENT_LEFT, -1, NAME_SIZE, colour.lightened(0.45)
	)
