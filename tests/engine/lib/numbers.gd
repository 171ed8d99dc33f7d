extends Node
## Reliable calls with ascending numbers from everybody to everybody.

## The numbers by the name of who said them.
var heard := {}

var _party: Node


static func attach(to: Node) -> Node:
	var numbers: Node = new()
	numbers.name = "Numbers"
	numbers._party = to
	to.add_child(numbers)
	return numbers


func say(number: int) -> void:
	_hear.rpc(number)


@rpc("any_peer", "call_remote", "reliable")
func _hear(number: int) -> void:
	heard.get_or_add(_party.sender(), []).append(number)
