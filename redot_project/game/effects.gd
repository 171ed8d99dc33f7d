extends Node2D
## Bursts of light and rising numbers. The game does not depend on them, so they are sent unreliably.

const Palette := preload("res://game/palette.gd")
const LIFE := 0.8
const SPARKS := 12
const TEXT_SIZE := 22

var _bursts: Array[Dictionary] = []


func _process(delta: float) -> void:
	if _bursts.is_empty():
		return
	for burst in _bursts:
		burst["age"] += delta
	_bursts = _bursts.filter(func(burst: Dictionary) -> bool: return burst["age"] < LIFE)
	queue_redraw()


@rpc("authority", "call_local", "unreliable")
func burst(at: Vector2, colour: Color, text: String) -> void:
	_bursts.append({"at": at, "colour": colour, "text": text, "age": 0.0, "turn": randf() * TAU})


func _draw() -> void:
	var font := ThemeDB.fallback_font
	for one in _bursts:
		var at: Vector2 = one["at"]
		var colour: Color = one["colour"]
		var progress: float = one["age"] / LIFE
		var fade := 1.0 - progress
		var reach := 74.0 * (1.0 - fade * fade * fade)
		Palette.draw_glow(self, at, 30.0 + reach, Color(colour, 0.4 * fade * fade))
		draw_arc(at, reach * 0.8, 0, TAU, 40, Color(colour, 0.5 * fade), 2.0 * fade + 0.5, true)
		for spark in SPARKS:
			var direction := Vector2.from_angle(one["turn"] + spark * TAU / SPARKS)
			var length := reach * (0.75 + 0.25 * float(spark % 3))
			draw_circle(
				at + direction * length,
				3.2 * fade,
				Color(colour.lightened(0.4), fade),
				true,
				-1.0,
				true
			)
		var text: String = one["text"]
		if text:
			var width := font.get_string_size(text, HORIZONTAL_ALIGNMENT_LEFT, -1, TEXT_SIZE).x
			var where := at + Vector2(-width / 2.0, -30.0 - 42.0 * progress)
			draw_string_outline(
				font,
				where,
				text,
				HORIZONTAL_ALIGNMENT_LEFT,
				-1,
				TEXT_SIZE,
				6,
				Color(Palette.BACKGROUND, fade)
			)
			draw_string(
				font,
				where,
				text,
				HORIZONTAL_ALIGNMENT_LEFT,
				-1,
				TEXT_SIZE,
				Color(colour.lightened(0.4), fade)
			)
