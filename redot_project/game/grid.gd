extends Node2D
## The floor: grid, walls and four soft lights. Drawn once; the canvas keeps the commands.

const Palette := preload("res://game/palette.gd")
const CELL := 50.0
const STRONG_EVERY := 4
const MARGIN := 1200.0
## The position of each soft light in the arena (0..1), and its colour.
const LIGHTS := {
	Vector2(0.25, 0.0): Color("6cb6ff"),
	Vector2(0.75, 0.0): Color("b197fc"),
	Vector2(0.25, 1.0): Color("5ee6d0"),
	Vector2(0.75, 1.0): Color("ff8fab"),
}

var bounds := Rect2(0, 0, 1800, 1100):
	set(value):
		bounds = value
		queue_redraw()


func _draw() -> void:
	draw_rect(bounds.grow(MARGIN), Palette.BACKGROUND.darkened(0.35))
	draw_rect(bounds, Palette.BACKGROUND)
	for place: Vector2 in LIGHTS:
		var at := bounds.position + bounds.size * place
		Palette.draw_glow(self, at, 760.0, Color(LIGHTS[place], 0.24))
	var columns := int(bounds.size.x / CELL)
	for column in range(1, columns):
		var x := bounds.position.x + column * CELL
		var colour := Palette.GRID_STRONG if column % STRONG_EVERY == 0 else Palette.GRID
		draw_line(Vector2(x, bounds.position.y), Vector2(x, bounds.end.y), colour, -1.0)
	var rows := int(bounds.size.y / CELL)
	for row in range(1, rows):
		var y := bounds.position.y + row * CELL
		var colour := Palette.GRID_STRONG if row % STRONG_EVERY == 0 else Palette.GRID
		draw_line(Vector2(bounds.position.x, y), Vector2(bounds.end.x, y), colour, -1.0)
	for glow in 5:
		draw_rect(
			bounds.grow(3.0 + glow * 3.0), Color(Palette.WALL, 0.16 - glow * 0.03), false, 4.0
		)
	draw_rect(bounds, Palette.WALL, false, 2.5)
