# A spawner and synchronizers keep two clients and the server synchronized for ten seconds.
# processes: server client:a client:b
# timeout: 60
# variant: ours server=ours clients=ours
# variant: ours4 server=ours4 clients=ours4
# variant: mixed_clients server=ours clients=ours,engine
# variant: engine_server server=engine clients=ours
# variant: web below=engine server=ours clients=ours,ours4 web=client:a,client:b
extends "res://lib/case.gd"

const Party := preload("res://lib/party.gd")
const Stage := preload("res://lib/stage.gd")
const Mover := preload("res://lib/mover.gd")
const SECONDS := 10.0
const TICK := 1.0 / 60.0
## Loopback takes about a frame; a shared build machine may take a nap. What is stuck stays longer.
const LARGEST_AGE := 2.5
const LEAST_SHARE := 0.4
const SUN := "sun"

var party: Party
var stage: Stage


func run() -> void:
	stage = Stage.build(self, Mover.make)
	party = Party.attach(self)
	if role == "server":
		_spawn(SUN, 1)
	await party.gather()
	if role == "server":
		for client: String in ["a", "b"]:
			_spawn(client, party.ids[client])
	await until(func() -> bool: return stage.get_child_count() == 3, 10.0, "three movers")
	await party.barrier("on stage")
	for mover in _movers():
		mover.start_measuring()
		check_eq(mover.is_mine(), mover.title == _mine(), "who owns %s" % mover.title)
	await _move_for(SECONDS)
	await party.barrier("moved")
	# A few more intervals for the last state, which travels unreliably.
	await seconds(0.5)
	await party.barrier("settled")
	_compare()
	await party.barrier("published")
	for mover in _movers():
		if not mover.is_mine():
			var ours := [mover.tick, mover.at, mover.lap]
			check_eq(ours, party.published.get(mover.title), "%s in the end" % mover.title)
	await party.barrier("compared")
	await _part()


func _spawn(title: String, owner: int) -> void:
	stage.spawner.spawn({"title": title, "owner": owner})


func _move_for(time: float) -> void:
	var begun := Time.get_ticks_usec()
	var mine := _mover(_mine())
	var ticks := 0
	while ticks * TICK < time:
		while ticks * TICK < (Time.get_ticks_usec() - begun) / 1e6:
			ticks += 1
			mine.advance()
		await process_frame


func _compare() -> void:
	var least := int(SECONDS * Mover.SENDS_PER_SECOND * LEAST_SHARE)
	for mover in _movers():
		var what := "%s as %s sees it" % [mover.title, name]
		check_eq(mover.faults, [] as Array[String], what)
		if mover.is_mine():
			party.publish(mover.title, [mover.tick, mover.at, mover.lap])
			continue
		print(
			(
				"%s: %d updates, at most %.0f ms old, gaps up to %.0f ms"
				% [mover.title, mover.updates, mover.largest_age * 1e3, mover.largest_gap * 1e3]
			)
		)
		check(mover.updates >= least, "%s: %d updates of %d" % [what, mover.updates, least])
		check(mover.largest_age < LARGEST_AGE, "%s: %.3f s old" % [what, mover.largest_age])
		check(mover.largest_gap < LARGEST_AGE, "%s: %.3f s apart" % [what, mover.largest_gap])
		check(mover.tick > SECONDS / TICK * 0.9, "%s: tick %d" % [what, mover.tick])


## One mover is taken away, one owner leaves, the server ends: the stage follows.
func _part() -> void:
	if role == "server":
		_mover(SUN).queue_free()
	await until(func() -> bool: return _titles() == ["a", "b"], 10.0, "the sun has set")
	await party.barrier("sun set")
	if name == "a":
		party.peer.close()
		await until(func() -> bool: return _titles().is_empty(), 10.0, "an empty stage for a")
		return
	await party.wait_for_event("peer_disconnected a")
	if role == "server":
		_mover("a").queue_free()
	await until(func() -> bool: return _titles() == ["b"], 10.0, "a is off the stage")
	await party.barrier("a has left", ["b"])
	await party.wait_for_engine("a has left", ["b"])
	if role == "server":
		party.peer.close()
		return
	await party.wait_for_event("server_disconnected")
	await until(func() -> bool: return _titles().is_empty(), 10.0, "an empty stage for b")


func _mine() -> String:
	return SUN if role == "server" else name


func _movers() -> Array[Mover]:
	var movers: Array[Mover] = []
	for child in stage.get_children():
		if not child.is_queued_for_deletion():
			movers.append(child as Mover)
	return movers


func _mover(title: String) -> Mover:
	for mover in _movers():
		if mover.title == title:
			return mover
	return null


func _titles() -> Array:
	var titles := _movers().map(func(mover: Mover) -> String: return mover.title)
	titles.sort()
	return titles
