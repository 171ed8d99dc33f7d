# The server spawns a node, and the client that sees it first calls the other client on it at once: that call never overtakes the node.
# processes: server client:a client:b
# timeout: 120
# variant: ours server=ours clients=ours
# variant: mixed server=ours4 clients=engine,ours
extends "res://lib/case.gd"

const Party := preload("res://lib/party.gd")
const Stage := preload("res://lib/stage.gd")
const TIMES := 1000
const TIMEOUT := 60.0

var party: Party
var stage: Stage
## The numbers of the calls that have come.
var calls: Array[int] = []


func run() -> void:
	stage = Stage.build(self, _make)
	party = Party.attach(self)
	await party.gather()
	await party.barrier("all here")
	if role == "server":
		await _spawn_all()
		await party.barrier("all called")
		check(party.peer.get_statistics().packets_relayed >= 2 * TIMES, "not relayed as asked")
		# The engine's class loses what comes right before a Close.
		var all_left := func() -> bool: return get_multiplayer().get_peers().is_empty()
		await until(all_left, TIMEOUT, "the clients leave")
	else:
		await until(func() -> bool: return calls.size() == TIMES, TIMEOUT, "all calls of the other")
		check_eq(calls, range(TIMES) as Array[int], "the calls in order")
		await party.barrier("all called")
	await party.wait_for_engine("all called")


func _spawn_all() -> void:
	for number in TIMES:
		stage.spawner.spawn({"number": number})
		if number % 3 == 0:
			await process_frame


func _make(data: Dictionary) -> Node:
	var node := Called.new()
	node.name = "Called%d" % data.number
	node.number = data.number
	node.case = self
	return node


class Called:
	extends Node

	var number := 0
	var case: Object

	func _ready() -> void:
		if multiplayer.is_server():
			return
		for peer in multiplayer.get_peers():
			if peer != 1:
				call_it.rpc_id(peer, number)

	@rpc("any_peer", "reliable")
	func call_it(its_number: int) -> void:
		case.calls.append(its_number)
