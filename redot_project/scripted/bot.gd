extends RefCounted
## Steers a disc along a closed curve that depends on the player's number alone.

const Arena := preload("res://game/arena.gd")
const Player := preload("res://game/player.gd")
const DASH_EVERY_MSEC := 2600

var _player: Player
var _number: int
var _begun_msec: int
var _dash_at_msec: int


func _init(player: Player, number: int) -> void:
	_player = player
	_number = number
	_begun_msec = Time.get_ticks_msec()
	_dash_at_msec = _begun_msec + 1200 + 700 * number


func steer() -> Vector2:
	var now := Time.get_ticks_msec()
	if now >= _dash_at_msec:
		_dash_at_msec = now + DASH_EVERY_MSEC
		_player.dash()
	var goal := path(_number, (now - _begun_msec) / 1000.0)
	return (goal - _player.position) / 50.0


static func path(number: int, time: float) -> Vector2:
	var reach := Arena.BOUNDS.size * Vector2(0.33, 0.3)
	var phase := number * TAU / 5.0
	var across := sin(0.62 * time + phase)
	var down := sin(0.93 * time + phase * 2.0 + 0.7)
	return Arena.BOUNDS.get_center() + reach * Vector2(across, down)
