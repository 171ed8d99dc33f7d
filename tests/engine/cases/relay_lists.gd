# Four clients own a node each, and call each other. Where both ends are ours, one message of a client is for all other clients; whoever
# plays, everybody hears and sees the same.
# processes: server client:a client:b client:c client:d
# timeout: 90
# variant: ours server=ours clients=ours,ours4,ours,ours4 folds=all
# variant: mixed_clients server=ours4 clients=ours,engine,ours4,engine folds=ours
# variant: engine_server server=engine clients=ours,ours4,ours,ours4 folds=none
extends "res://lib/case.gd"

const Party := preload("res://lib/party.gd")
const Stage := preload("res://lib/stage.gd")
const Mover := preload("res://lib/mover.gd")
const Numbers := preload("res://lib/numbers.gd")
const CLIENTS: Array[String] = ["a", "b", "c", "d"]
const SECONDS := 6.0

var party: Party
var stage: Stage
var numbers: Numbers


func run() -> void:
	stage = Stage.build(self, Mover.make)
	party = Party.attach(self)
	numbers = Numbers.attach(party)
	await party.gather()
	if role == "server":
		for who in CLIENTS:
			stage.spawner.spawn({"title": who, "owner": party.ids[who]})
	var all := CLIENTS.size()
	await until(func() -> bool: return stage.get_child_count() == all, 20.0, "all movers")
	await party.barrier("on stage")
	if role != "server":
		await stage.talk_and_move(party, numbers, SECONDS)
		var mine: Mover = stage.get_node(NodePath(name))
		party.publish(name, [mine.tick, mine.at, mine.lap])
	await party.barrier("all said")
	for who in CLIENTS:
		if who != name:
			var said: int = party.published.get("said " + who, -1)
			check(said > SECONDS / Stage.TICK / 2, "%s said %d" % [who, said])
			check_eq(numbers.heard.get(who, []), range(said), "what %s said" % who)
	# The last state travels unreliably, so it is sent until it arrives.
	await until(stage.agrees.bind(party), 20.0, "the same stage as everywhere")
	for mover: Mover in stage.get_children():
		check_eq(mover.faults, [] as Array[String], "what %s saw of %s" % [name, mover.title])
	_check_figures()
	await party.barrier("compared")
	await party.wait_for_engine("compared")
	# The engine's server loses what comes right before a Close.
	await seconds(0.5)
	await party.leave_in_turn()


func _check_figures() -> void:
	if party.kind() == "engine":
		return
	var figures: Dictionary = party.peer.get_statistics()
	var folded: int = figures["packets_folded"]
	print("%d messages in, %d out, %d folded" % [figures.packets_in, figures.packets_out, folded])
	if args["folds"] == "none":
		check_eq(folded, 0, "folded")
		return
	# For each call and state there are three packets for others and one for the server; what joins another one is two of them.
	var calls := SECONDS / Stage.TICK
	check(folded > calls, "only %d packets were folded" % folded)
	if role == "server":
		check(figures["packets_relayed"] > folded, "%d relayed" % figures["packets_relayed"])
		check_eq(figures["peers_violated"], 0, "violations")
