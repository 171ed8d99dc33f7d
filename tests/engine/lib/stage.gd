extends Node
## The parent of the movers, at the same path in every process, with their spawner.

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
