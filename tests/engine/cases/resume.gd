# Two clients lose their connections every second. Nobody leaves, no reliable call is lost or doubled, and nodes stay synchronized.
# processes: server client:a client:b
# timeout: 90
# variant: ours server=ours clients=ours,ours4 loss=end
# variant: ours4 server=ours4 clients=ours4,ours loss=end,silence
# variant: beside_engine server=ours4 clients=ours,engine loss=end
extends "res://lib/case.gd"

const Party := preload("res://lib/party.gd")
const Stage := preload("res://lib/stage.gd")
const Mover := preload("res://lib/mover.gd")
const Cutter := preload("res://lib/cutter.gd")
const Numbers := preload("res://lib/numbers.gd")

## How long they play.
var length := 8.0
## Seconds between two cuts. A client gives a silent connection up after 5 s.
var pace := 0.0
var party: Party
var stage: Stage
var numbers: Numbers
var cutter: Cutter
var suspended := 0
var resumed := 0


func run() -> void:
	length = float(args.get("seconds", "8"))
	pace = float(args.get("pace", "3" if args["loss"].contains("silence") else "1"))
	stage = Stage.build(self, Mover.make)
	party = Party.attach(self)
	numbers = Numbers.attach(party)
	if role == "server":
		party.properties = {"resume_timeout": 20.0}
		cutter = Cutter.attach(root, port, args["loss"])
		leave("cutter_port", str(cutter.port))
	elif party.kind() != "engine":
		await until(func() -> bool: return is_left("cutter_port"), 20.0, "the cutter")
		port = FileAccess.get_file_as_string(scratch("cutter_port")).to_int()
	await party.gather()
	if party.kind() != "engine":
		party.peer.peer_suspended.connect(func(_id: int) -> void: suspended += 1)
		party.peer.peer_resumed.connect(func(_id: int) -> void: resumed += 1)
	var before: Dictionary = party.ids.duplicate()
	if role == "server":
		for who: String in ["server", "a", "b"]:
			stage.spawner.spawn({"title": who, "owner": party.ids[who]})
	await until(func() -> bool: return stage.get_child_count() == 3, 20.0, "three movers")
	await party.barrier("on stage")
	if role == "server":
		cutter.cut_every(pace)
	await stage.talk_and_move(party, numbers, length)
	if role == "server":
		cutter.cut_every(INF)
	await party.barrier("all said")
	_compare(before)
	var mine: Mover = stage.get_node(NodePath(name))
	party.publish(name, [mine.tick, mine.at, mine.lap])
	await party.barrier("published")
	# The last state travels unreliably, so it is sent until it arrives.
	await until(stage.agrees.bind(party), 20.0, "the same stage as everywhere")
	await party.barrier("compared")
	await party.wait_for_engine("compared")
	# The cutter is in the server's process, which must not end before what it has to pass on.
	await party.leave_in_turn()


func _compare(before: Dictionary) -> void:
	check_eq(party.ids, before, "ids")
	for event: String in party.events:
		check(not event.contains("disconnected"), event)
	for who: String in party.ids:
		if who != name:
			var said: int = party.published.get("said " + who, -1)
			check(said > length / Stage.TICK / 2, "%s said %d" % [who, said])
			check_eq(numbers.heard.get(who, []), range(said), "what %s said" % who)
	if party.kind() == "engine":
		return
	check(suspended > 0, "%d suspensions" % suspended)
	check_eq(resumed, suspended, "ends of suspensions")
	if role == "server":
		var figures: Dictionary = party.peer.get_statistics()
		print("%d cuts, %d sessions resumed" % [cutter.cuts, figures["sessions_resumed"]])
		check_eq(figures["sessions_expired"], 0, "expired")
		check_eq(figures["peers_suspended"], 0, "suspended")
