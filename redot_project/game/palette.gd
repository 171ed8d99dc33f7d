extends RefCounted
## The colours of the game, and the soft round texture of all glows.

const BACKGROUND := Color("0f1422")
const GRID := Color("1b2540")
const GRID_STRONG := Color("273556")
const WALL := Color("5670ad")
const TEXT := Color("e8edf7")
const TEXT_DIM := Color("8b97b1")
const GOOD := Color("5ee6a8")
const WARN := Color("ffd166")
const BAD := Color("ff7b89")
const GOLD := Color("ffd166")

const PLAYERS: Array[Color] = [
	Color("6cb6ff"),
	Color("ff8fab"),
	Color("8ce99a"),
	Color("ffc078"),
	Color("c4a5ff"),
	Color("66e0d5"),
	Color("f5e663"),
	Color("ff9b85"),
]
const GEMS: Array[Color] = [Color("5ee6d0"), Color("b197fc"), Color("74c0fc"), Color("faa2c1")]

static var _glow: GradientTexture2D


static func player(index: int) -> Color:
	return PLAYERS[posmod(index, PLAYERS.size())]


static func glow() -> Texture2D:
	if _glow == null:
		var gradient := Gradient.new()
		gradient.offsets = PackedFloat32Array([0.0, 0.35, 1.0])
		gradient.colors = PackedColorArray(
			[Color(1, 1, 1, 0.75), Color(1, 1, 1, 0.22), Color(1, 1, 1, 0)]
		)
		_glow = GradientTexture2D.new()
		_glow.gradient = gradient
		_glow.fill = GradientTexture2D.FILL_RADIAL
		_glow.fill_from = Vector2(0.5, 0.5)
		_glow.fill_to = Vector2(1.0, 0.5)
		_glow.width = 128
		_glow.height = 128
	return _glow


static func draw_glow(on: CanvasItem, at: Vector2, radius: float, colour: Color) -> void:
	var box := Rect2(at - Vector2(radius, radius), Vector2(radius, radius) * 2.0)
	on.draw_texture_rect(glow(), box, false, colour)
