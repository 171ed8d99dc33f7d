extends Node2D
## The arena: contains the discs and gems, and creates them on every machine in the same way.
##
## The server calls `add_player` and `add_gem`; the two spawners repeat that on all clients, also on
## clients that join later.

const Palette := preload("res://game/palette.gd")
const Player := preload("res://game/player.gd")
const Gem := preload("res://game/gem.gd")
const Effects := preload("res://game/effects.gd")
const PLAYER_SCENE := preload("res://game/player.tscn")
const GEM_SCENE := preload("res://game/gem.tscn")
const BOUNDS := Rect2(0, 0, 1800, 1100)

var _gem_number := 0

@onready var effects: Effects = $Effects
@onready var _players: Node2D = $Players
@onready var _gems: Node2D = $Gems
@onready var _player_spawner: MultiplayerSpawner = $PlayerSpawner
@onready var _gem_spawner: MultiplayerSpawner = $GemSpawner


func _ready() -> void:
	$Grid.bounds = BOUNDS
	_player_spawner.spawn_function = _make_player
	_gem_spawner.spawn_function = _make_gem


func _process(_delta: float) -> void:
	var best := 0
	for player in players():
		best = maxi(best, player.score)
	for player in players():
		player.is_leader = best > 0 and player.score == best


## The peer `id` moves its own disc. A bot has a negative id, and the server moves its disc.
func add_player(id: int, player_name: String, colour_index: int, at: Vector2) -> Player:
	var data := {
		"id": id,
		"owner": maxi(1, id),
		"name": player_name,
		"colour": Palette.player(colour_index),
		"at": at,
	}
	return _player_spawner.spawn(data) as Player


func remove_player(id: int) -> void:
	var player := player_of(id)
	if player:
		player.queue_free()


func add_gem(at: Vector2, value: int) -> void:
	_gem_number += 1
	_gem_spawner.spawn({"number": _gem_number, "at": at, "value": value, "hue": _gem_number})


func players() -> Array[Player]:
	var found: Array[Player] = []
	for child in _players.get_children():
		if not child.is_queued_for_deletion():
			found.append(child as Player)
	return found


func gems() -> Array[Gem]:
	var found: Array[Gem] = []
	for child in _gems.get_children():
		if not child.is_queued_for_deletion():
			found.append(child as Gem)
	return found


func player_of(id: int) -> Player:
	for player in players():
		if player.player_id == id:
			return player
	return null


## Sorted by score, then by name, so that the list is the same on every machine.
func ranking() -> Array[Player]:
	var sorted := players()
	sorted.sort_custom(
		func(a: Player, b: Player) -> bool:
			return a.score > b.score if a.score != b.score else a.display_name < b.display_name
	)
	return sorted


func clear() -> void:
	for child in _players.get_children() + _gems.get_children():
		child.queue_free()


func _make_player(data: Dictionary) -> Node:
	var player := PLAYER_SCENE.instantiate() as Player
	player.bounds = BOUNDS
	player.set_up(data)
	return player


func _make_gem(data: Dictionary) -> Node:
	var gem := GEM_SCENE.instantiate() as Gem
	gem.set_up(data)
	return gem
