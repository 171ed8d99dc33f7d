extends Node
## The parent of the movers, at the same path in every process, with their spawner.

const Mover := preload("res://lib/mover.gd")
const Numbers := preload("res://lib/numbers.gd")
const Party := preload("res://lib/party.gd")
const TICK := 1.0 / 60.0

var spawner := MultiplayerSpawner.new()


static func build(tree: SceneTree, spawn_function: Callable) -> Node:
	var stage: Node = new()
	stage.name = "Stage"
	tree.root.add_child(stage)
	stage.spawner.name = "Spawner"
	stage.spawner.spawn_function = spawn_function
	tree.root.add_child(stage.spawner)
	stage.spawner.spawn_path = NodePath("../Stage")
	return stage


## Moves the mover of this process, says a number in each tick, and publishes how many it said.
func talk_and_move(party: Party, numbers: Numbers, length: float) -> void:
	var begun := Time.get_ticks_usec()
	var who: String = party.case.name
	var mine: Mover = get_node(NodePath(who))
	var ticks := 0
	while ticks * TICK < length:
		while ticks * TICK < (Time.get_ticks_usec() - begun) / 1e6:
			mine.advance()
			numbers.say(ticks)
			ticks += 1
		await get_tree().process_frame
	party.publish("said " + who, ticks)


## Returns whether each mover of another process has the state that was published last.
func agrees(party: Party) -> bool:
	return get_children().all(
		func(mover: Mover) -> bool:
			var state := [mover.tick, mover.at, mover.lap]
			return mover.is_mine() or state == party.published.get(mover.title)
	)
