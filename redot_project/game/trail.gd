extends Node2D
## The fading ribbon behind a disc. It is in world space, so that it stays where the disc was.

const LIFE := 0.8
const WIDTH := 17.0
## A longer jump than this is a respawn or a late packet, not a movement.
const BREAK_DISTANCE := 300.0

var colour := Color.WHITE
var boosted := false
var _points := PackedVector2Array()
var _born := PackedFloat32Array()
var _bright := PackedFloat32Array()
var _now := 0.0


func _ready() -> void:
	top_level = true
	z_index = -1


func push(at: Vector2, delta: float) -> void:
	_now += delta
	var count := _points.size()
	if count > 0 and _points[count - 1].distance_to(at) > BREAK_DISTANCE:
		_points.clear()
		_born.clear()
		_bright.clear()
	_points.append(at)
	_born.append(_now)
	_bright.append(0.9 if boosted else 0.55)
	var old := 0
	while old < _born.size() and _now - _born[old] > LIFE:
		old += 1
	if old > 0:
		_points = _points.slice(old)
		_born = _born.slice(old)
		_bright = _bright.slice(old)
	queue_redraw()


func _draw() -> void:
	# One quad per step, with an edge in common with the next: the width shrinks evenly at any frame rate.
	var before_left := Vector2.ZERO
	var before_right := Vector2.ZERO
	var before_colour := Color.TRANSPARENT
	var side := Vector2.ZERO
	var no_uvs := PackedVector2Array()
	for index in _points.size():
		var next := mini(index + 1, _points.size() - 1)
		var along := _points[next] - _points[maxi(index - 1, 0)]
		if along.length_squared() > 0.25:
			side = along.orthogonal().normalized()
		var fade := 1.0 - (_now - _born[index]) / LIFE
		var left := _points[index] + side * WIDTH * 0.5 * fade
		var right := _points[index] - side * WIDTH * 0.5 * fade
		var here := Color(colour, _bright[index] * fade * fade)
		if index > 0:
			draw_primitive(
				PackedVector2Array([before_left, left, right, before_right]),
				PackedColorArray([before_colour, here, here, before_colour]),
				no_uvs
			)
		before_left = left
		before_right = right
		before_colour = here
