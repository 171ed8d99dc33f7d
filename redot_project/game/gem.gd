extends Node2D
## A gem. The server decides where it is and who gets it; this script only draws it.

const Palette := preload("res://game/palette.gd")
const RADIUS := 15.0
const SPARKLE_EVERY := 1.7

var value := 1
var colour := Color.WHITE
var _age := 0.0
var _offset := 0.0


func set_up(data: Dictionary) -> void:
	value = data["value"]
	colour = Palette.GOLD if value > 1 else Palette.GEMS[int(data["hue"]) % Palette.GEMS.size()]
	position = data["at"]
	name = "Gem%d" % data["number"]
	# The same on every machine, with different phases for neighbouring gems.
	_offset = fmod(float(data["number"]) * 0.618, 1.0) * SPARKLE_EVERY


func _process(delta: float) -> void:
	_age += delta
	queue_redraw()


func _draw() -> void:
	var grown := minf(1.0, _age * 3.0)
	var size := RADIUS * (1.45 if value > 1 else 1.0) * (1.0 + 0.25 * sin(grown * PI)) * grown
	var breath := 0.5 + 0.5 * sin((_age + _offset) * 2.4)
	var at := Vector2(0, sin((_age + _offset) * 2.0) * 3.0)
	Palette.draw_glow(self, at, size * (3.0 + 0.5 * breath), Color(colour, 0.34 + 0.14 * breath))
	# A diamond whose facets slide sideways seems to turn.
	var turn := sin((_age + _offset) * 1.6) * 0.55
	var top := at + Vector2(0, -size * 1.15)
	var bottom := at + Vector2(0, size * 1.15)
	var left := at + Vector2(-size * 0.86, -size * 0.1)
	var right := at + Vector2(size * 0.86, -size * 0.1)
	var ridge := at + Vector2(size * turn, -size * 0.02)
	draw_colored_polygon(PackedVector2Array([top, ridge, left]), colour.lightened(0.45))
	draw_colored_polygon(PackedVector2Array([top, right, ridge]), colour.lightened(0.15))
	draw_colored_polygon(PackedVector2Array([left, ridge, bottom]), colour.darkened(0.05))
	draw_colored_polygon(PackedVector2Array([ridge, right, bottom]), colour.darkened(0.3))
	var outline := PackedVector2Array([top, right, bottom, left, top])
	draw_polyline(outline, Color(colour.lightened(0.6), 0.9), 1.5, true)
	_draw_sparkle(at + Vector2(-size * 0.35, -size * 0.45), size)


func _draw_sparkle(at: Vector2, size: float) -> void:
	var phase := fmod(_age + _offset, SPARKLE_EVERY)
	if phase > 0.45:
		return
	var strength := sin(phase / 0.45 * PI)
	var white := Color(1, 1, 1, strength)
	for ray in 8:
		var reach := size * (1.1 if ray % 2 == 0 else 0.45) * strength
		var direction := Vector2.from_angle(ray * PI / 4.0 + 0.2)
		draw_line(at, at + direction * reach, white, 1.2, true)
	Palette.draw_glow(self, at, size * 0.8 * strength, white)
