extends RefCounted
## Steers the disc of a bot: to the best gem, and into players with more gems.
##
## Runs on the server only. For the clients, the server owns the disc of a bot.

const Arena := preload("res://game/arena.gd")
const Player := preload("res://game/player.gd")
const NAMES: Array[String] = ["Bit", "Byte", "Nibble", "Pixel", "Vertex", "Texel", "Mesh", "Tween"]
## Reacts a little slower than a person.
const EAGERNESS := 0.74
const HUNT_DISTANCE := 300.0
const DASH_DISTANCE := 150.0
const CHANGE_MIND_MSEC := 700

var _player: Player
var _arena: Arena
var _goal := Vector2.ZERO
var _think_at_msec := 0


func _init(player: Player, arena: Arena) -> void:
	_player = player
	_arena = arena
	_goal = player.position


func steer() -> Vector2:
	var now := Time.get_ticks_msec()
	if now >= _think_at_msec:
		_think_at_msec = now + CHANGE_MIND_MSEC + randi() % 300
		_goal = _best_gem()
	var prey := _prey()
	if prey:
		_goal = prey.net_position
		if _player.position.distance_to(_goal) < DASH_DISTANCE:
			_player.dash()
	return ((_goal - _player.position) / 40.0).limit_length(1.0) * EAGERNESS


func _best_gem() -> Vector2:
	var best := _player.position
	var least := INF
	for gem in _arena.gems():
		var cost := _player.position.distance_to(gem.position) / gem.value
		if cost < least:
			least = cost
			best = gem.position
	return best


## Returns a player who is worth a dash, or null.
func _prey() -> Player:
	if not _player.can_dash():
		return null
	for other in _arena.players():
		var near := _player.position.distance_to(other.net_position) < HUNT_DISTANCE
		if other != _player and near and other.score > _player.score:
			return other
	return null
