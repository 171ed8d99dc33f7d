extends Node
## A node that moves along a known curve on its owner's machine, and is replicated to the others.
##
## `tick`, `at` and `sent_at` travel together, so a reader can tell whether it sees one consistent
## state, and how old it is: all processes of a case share a clock.

const SENDS_PER_SECOND := 30.0

## Replicated always, unreliably.
var tick := 0
var at := Vector2.ZERO
var sent_at := 0.0
## Replicated when changed, reliably.
var lap := 0
## Replicated only at the spawn.
var title := ""

var owner_id := 1
var updates := 0
var largest_age := 0.0
var largest_gap := 0.0
var faults: Array[String] = []

var _last_tick := 0
var _last_update := 0.0
var _lag_from := 0.0


static func make(data: Dictionary) -> Node:
	var mover: Node = new()
	mover.set_up(data)
	return mover


static func curve(at_tick: int) -> Vector2:
	return Vector2(sin(at_tick * 0.1) * 300.0, at_tick * 0.25)


func set_up(data: Dictionary) -> void:
	owner_id = data["owner"]
	title = data["title"]
	name = data["title"]
	add_child(_synchronizer("Always", owner_id))
	add_child(_synchronizer("Changes", owner_id))


func is_mine() -> bool:
	return owner_id == multiplayer.get_unique_id()


func advance() -> void:
	tick += 1
	at = curve(tick)
	sent_at = Time.get_unix_time_from_system()
	if tick % 20 == 0:
		lap += 1


## Ages count from now on, because the others may not have begun earlier.
func start_measuring() -> void:
	_lag_from = Time.get_unix_time_from_system()
	_last_update = _lag_from
	updates = 0


func _on_synchronized() -> void:
	var now := Time.get_unix_time_from_system()
	updates += 1
	if tick < _last_tick:
		faults.append("tick %d after %d" % [tick, _last_tick])
	var moved := tick > _last_tick
	_last_tick = tick
	if not at.is_equal_approx(curve(tick)):
		faults.append("tick %d is at %s" % [tick, at])
	# A node that stands still repeats the last state, whose age is intended.
	if moved and _lag_from > 0.0 and sent_at >= _lag_from:
		largest_age = maxf(largest_age, now - sent_at)
		largest_gap = maxf(largest_gap, now - _last_update)
	_last_update = now


func _synchronizer(its_name: String, authority: int) -> MultiplayerSynchronizer:
	var config := SceneReplicationConfig.new()
	var synchronizer := MultiplayerSynchronizer.new()
	synchronizer.name = its_name
	synchronizer.root_path = NodePath("..")
	synchronizer.set_multiplayer_authority(authority)
	if its_name == "Always":
		synchronizer.replication_interval = 1.0 / SENDS_PER_SECOND
		for property: String in [".:tick", ".:at", ".:sent_at"]:
			config.add_property(property)
			config.property_set_spawn(property, true)
			config.property_set_replication_mode(
				property, SceneReplicationConfig.REPLICATION_MODE_ALWAYS
			)
		synchronizer.synchronized.connect(_on_synchronized)
	else:
		config.add_property(".:lap")
		config.property_set_spawn(".:lap", true)
		config.property_set_replication_mode(
			".:lap", SceneReplicationConfig.REPLICATION_MODE_ON_CHANGE
		)
	synchronizer.replication_config = config
	return synchronizer
