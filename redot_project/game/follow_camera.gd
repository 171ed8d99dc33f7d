extends Camera2D
## Follows this player's disc; shows the whole arena to spectators.

const LEAD := 0.12
const MARGIN := 90.0
## The height of the world that a player sees.
const VISIBLE_HEIGHT := 760.0

var target: Node2D
var bounds := Rect2(0, 0, 1800, 1100)


func _process(delta: float) -> void:
	var view := get_viewport_rect().size
	var room := bounds.grow(MARGIN)
	var wanted_zoom: float
	var wanted: Vector2
	if is_instance_valid(target):
		wanted_zoom = view.y / VISIBLE_HEIGHT
		var half := view / wanted_zoom / 2.0
		wanted = target.position
		for axis in 2:
			var low := room.position[axis] + half[axis]
			var high := room.end[axis] - half[axis]
			wanted[axis] = (
				clampf(wanted[axis], low, high) if low < high else room.get_center()[axis]
			)
	else:
		wanted_zoom = minf(view.x / room.size.x, view.y / room.size.y)
		wanted = bounds.get_center()
	var ease_in := 1.0 - exp(-delta / LEAD)
	position = position.lerp(wanted, ease_in)
	zoom = zoom.lerp(Vector2(wanted_zoom, wanted_zoom), ease_in)
