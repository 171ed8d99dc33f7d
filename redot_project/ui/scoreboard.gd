extends Control
## Names, colours and scores, best first. Rows glide to their new place when the order changes.

const Palette := preload("res://game/palette.gd")
const Arena := preload("res://game/arena.gd")
const Player := preload("res://game/player.gd")
const ROW := 30.0
const WIDTH := 210.0
const PAD := 16.0
const TEXT_SIZE := 17

var arena: Arena
## Player id -> where its row is drawn now.
var _shown_y := {}
var _box := StyleBoxFlat.new()


func _ready() -> void:
	_box.bg_color = Color(0.075, 0.098, 0.157, 0.82)
	_box.border_color = Color(0.36, 0.46, 0.68, 0.35)
	_box.set_border_width_all(1)
	_box.set_corner_radius_all(14)
	_box.anti_aliasing = true


func _process(_delta: float) -> void:
	if is_visible_in_tree():
		queue_redraw()


func _draw() -> void:
	if arena == null:
		return
	var ranking := arena.ranking()
	if ranking.is_empty():
		_shown_y.clear()
		return
	var left := size.x - WIDTH
	var height := ROW * ranking.size() + PAD
	draw_style_box(_box, Rect2(left, 0, WIDTH, height))
	var font := get_theme_default_font()
	var ease_in := 1.0 - exp(-10.0 * get_process_delta_time())
	var seen := {}
	for place in ranking.size():
		var player: Player = ranking[place]
		var wanted := PAD / 2.0 + place * ROW
		var y: float = lerpf(_shown_y.get(player.player_id, wanted), wanted, ease_in)
		seen[player.player_id] = y
		_draw_row(player, font, left, y)
	_shown_y = seen


func _draw_row(player: Player, font: Font, left: float, y: float) -> void:
	var middle := y + ROW / 2.0
	var base := middle + TEXT_SIZE * 0.36
	if player.is_mine:
		draw_rect(Rect2(left + 6, y + 2, WIDTH - 12, ROW - 4), Color(1, 1, 1, 0.06))
	draw_circle(Vector2(left + 22, middle), 6.5, player.colour, true, -1.0, true)
	draw_string(
		font,
		Vector2(left + 38, base),
		player.display_name,
		HORIZONTAL_ALIGNMENT_LEFT,
		WIDTH - 90,
		TEXT_SIZE,
		Palette.TEXT
	)
	draw_string(
		font,
		Vector2(left + WIDTH - 66, base),
		str(player.score),
		HORIZONTAL_ALIGNMENT_RIGHT,
		50,
		TEXT_SIZE,
		player.colour.lightened(0.35)
	)
