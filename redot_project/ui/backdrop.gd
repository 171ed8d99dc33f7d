extends Node2D
## Gems that float behind the lobby; they are not part of a game.

const GEM_SCENE := preload("res://game/gem.tscn")
const Gem := preload("res://game/gem.gd")
const COUNT := 16

var _drifts: Array[Vector2] = []


func _ready() -> void:
	for number in COUNT:
		var gem := GEM_SCENE.instantiate() as Gem
		gem.set_up(
			{"number": number, "value": 5 if number % 7 == 3 else 1, "hue": number, "at": Vector2()}
		)
		# Spread evenly without a visible pattern, and without a random seed.
		_drifts.append(Vector2(fmod(number * 0.618034, 1.0), fmod(number * 0.754878 + 0.1, 1.0)))
		add_child(gem)


func _process(delta: float) -> void:
	if not is_visible_in_tree():
		return
	var view := get_viewport_rect().size
	for number in get_child_count():
		var drift := _drifts[number]
		drift.y = fposmod(drift.y - delta * (0.008 + 0.012 * drift.x), 1.0)
		_drifts[number] = drift
		var gem := get_child(number) as Gem
		gem.position = drift * (view + Vector2(0, 120.0)) - Vector2(0, 60.0)
