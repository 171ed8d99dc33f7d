# A game with synchronizers and RPCs, relayed between clients, while one more client reads 1 KB/s. The other clients miss no packet, and
# their latency is the same as without the slow client. The slow client gets all accepted packets; the others are counted.
# processes: server client:a client:b client:slow
# timeout: 120
# serial
# variant: disconnect server=ours clients=ours,ours4 policy=disconnect wire=4
# variant: disconnect_engine server=ours4 clients=ours,engine policy=disconnect wire=4
# variant: refuse server=ours4 clients=ours4,ours policy=refuse wire=4
# variant: refuse_engine server=ours clients=engine,ours policy=refuse wire=4
# variant: disconnect_godot3 server=ours clients=ours,ours4 policy=disconnect wire=3
# variant: refuse_godot3 server=ours4 clients=ours,ours4 policy=refuse wire=3
# expect@disconnect: ^WARNING: WebSocket: peer \d+ \(.*\) does not take its packets: closing it with 1013
# expect@disconnect_engine: ^WARNING: WebSocket: peer \d+ \(.*\) does not take its packets: closing it with 1013
# expect@disconnect_godot3: ^WARNING: WebSocket: peer \d+ \(.*\) does not take its packets: closing it with 1013
extends "res://lib/case.gd"

const Hauler := preload("res://lib/hauler.gd")
const Party := preload("res://lib/party.gd")
const Stage := preload("res://lib/stage.gd")
const Peers := preload("res://lib/peers.gd")

const SUN := "sun"
const HEALTHY: Array[String] = ["a", "b"]
const TITLES: Array[String] = ["a", "b", SUN]
const TIDE: Array[String] = ["congested", "overflowed"]
const TIMEOUT := 20.0
const FRAMES_PER_SECOND := 200
const FRAMES_PER_STEP := 2
const FRAMES_PER_LETTER := 6
## How long everybody plays without the slow one, and with one that is kept, once it is behind.
const WINDOW := 1.5
## What is still measured once the slow one is being closed.
const AFTERMATH := 0.3
const PAIRS := 3
## A machine that is busy with something else in one half of the windows has to be so three times.
const ATTEMPTS := 3
## Below this a latency is that of the processes' own frames.
const FLOOR_MSEC := 1000.0 / FRAMES_PER_SECOND
const LEAST_AGES := 100
## How much the slow one takes in a second; its input buffer, so that it takes little at a time; and the largest packet.
const BYTES_PER_SECOND := 1000
const SMALL := 1024
const LARGEST := 5000
## How much of a frame it reads when it need not be slow.
const READING_USEC := 3000
## The default of `unreliable_backlog_kb`.
const MARK := 16 * 1024
## What is done in one frame leaves in the next, at the latest.
const FRAMES_TO_REST := 3

var party: Party
var stage: Stage
var mine: Hauler
var closes := false
## Not on the wire of 3.x: there the I/O thread passes packets on, and a client's may come before what the server's game spawns.
var spawns := false
## Everybody's hauler moves and writes.
var works := false
var frame := 0
## Server: what was dropped without need.
var faults: Array[String] = []
## Server: states that the slow one did not get, in all its visits.
var missing_states := 0


func run() -> void:
	Engine.max_fps = FRAMES_PER_SECOND
	closes = args["policy"] == "disconnect"
	# The slow client connects and disconnects.
	peers -= 1
	stage = Stage.build(self, Hauler.make)
	party = Party.attach(self)
	spawns = args["wire"] == "4"
	if not spawns:
		party.properties["wire_format"] = WebSocketServer.WIRE_FORMAT_GODOT3
	match name:
		"server":
			await _server()
		"slow":
			await _slow_client()
		_:
			await _healthy_client()


func _server() -> void:
	party.properties["overflow_policy"] = (
		WebSocketServer.OVERFLOW_DISCONNECT if closes else WebSocketServer.OVERFLOW_REFUSE
	)
	# The slow one may take its time to read why.
	party.properties["close_timeout"] = 10.0
	check((get_multiplayer() as SceneMultiplayer).server_relay, "the server relays")
	await party.gather()
	multiplayer_poll = false
	process_frame.connect(_poll_and_watch)
	await _enter()
	var number := 0
	var ratio := INF
	for attempt in ATTEMPTS:
		var alone: Array[float] = []
		var beside: Array[float] = []
		for pair in PAIRS:
			alone.append(await _window(number, false))
			beside.append(await _window(number + 1, true))
			number += 2
		ratio = minf(ratio, _median(beside) / maxf(_median(alone), FLOOR_MSEC))
		print("p99 alone %s ms, beside one that reads 1 KB/s %s ms" % [alone, beside])
		if ratio < 2.0:
			break
	check(ratio < 2.0, "the others waited %.1f times as long as without the slow one" % ratio)
	leave("over", "")
	_tell("over")
	await party.barrier("window %d" % number)
	await _compare(number / 2)
	check_eq(faults, [] as Array[String], "what was dropped")
	var dropped: int = _statistics().packets_dropped_unreliable
	for client in HEALTHY:
		missing_states += party.published["missing " + client]
		dropped += party.published.get("dropped " + client, 0)
	print("%d states did not come, %d were dropped" % [missing_states, dropped])
	check(missing_states <= dropped, "%d states did not come" % missing_states)
	await party.leave_in_turn()
	process_frame.disconnect(_poll_and_watch)
	multiplayer_poll = true
	party.peer.close()


## Some time with or without the slow one. Gives back the p99 of how old in milliseconds was what came to the others.
func _window(number: int, with_slow: bool) -> float:
	var visit := {}
	if with_slow:
		await _let_in(number, visit)
	await party.barrier("window %d" % number)
	if not with_slow:
		await seconds(WINDOW)
	elif closes:
		await until(func() -> bool: return visit.overflowed > 0, TIMEOUT, "it is too slow")
		await seconds(AFTERMATH)
	else:
		await until(_is_behind.bind(visit), TIMEOUT, "it is too slow")
		await seconds(WINDOW)
	_tell("end %d" % number)
	if with_slow:
		leave("wake %d" % number, "")
	await _rest(number)
	if with_slow:
		await _disconnect_slow(number, visit)
	works = true
	_tell("go on %d" % number)
	var ages := PackedFloat64Array()
	for client in HEALTHY:
		ages.append_array(party.published["ages %d %s" % [number, client]])
	check(ages.size() >= LEAST_AGES, "%d latencies" % ages.size())
	ages.sort()
	return snappedf(ages[ages.size() * 99 / 100] * 1e3, 0.1)


func _let_in(number: int, visit: Dictionary) -> void:
	visit.before = _statistics()
	# Before it comes: it may be too slow before its id is known here.
	visit.early = []
	for what in TIDE:
		visit[what] = 0
		party.peer.connect("peer_" + what, _on_tide.bind(what, visit))
	leave("join %d" % number, "")
	await until(is_left.bind("slow %d" % number), TIMEOUT, "one more client")
	visit.id = FileAccess.get_file_as_string(scratch("slow %d" % number)).to_int()
	for id: int in visit.early:
		check_eq(id, visit.id, "who is too slow early")


func _on_tide(id: int, what: String, visit: Dictionary) -> void:
	if visit.has("id"):
		check_eq(id, visit.id, "who is %s" % what)
	else:
		visit.early.append(id)
	visit[what] += 1


func _is_behind(visit: Dictionary) -> bool:
	var now := _statistics()
	return (
		now.packets_refused > visit.before.packets_refused
		and now.packets_dropped_unreliable > visit.before.packets_dropped_unreliable
	)


## The slow client reads the data in flight, reports what it got, and disconnects unless it was closed.
func _disconnect_slow(number: int, visit: Dictionary) -> void:
	if not closes:
		var has_room := func() -> bool: return _peer_statistics(visit.id).queued_out_bytes < SMALL
		await until(has_room, TIMEOUT, "it catches up")
		party.release(visit.id, "last %d" % number)
	await party.wait_for_event("peer_disconnected %d" % visit.id)
	await until(is_left.bind("report %d" % number), TIMEOUT, "its report")
	for what in TIDE:
		party.peer.disconnect("peer_" + what, _on_tide.bind(what, visit))
	var report: Dictionary = str_to_var(
		FileAccess.get_file_as_string(scratch("report %d" % number))
	)
	var now := _statistics()
	var refused: int = now.packets_refused - visit.before.packets_refused
	var dropped: int = now.packets_dropped_unreliable - visit.before.packets_dropped_unreliable
	var holes := 0
	for title in TITLES:
		var written: Dictionary = (
			mine.written() if title == SUN else party.published["written %d %s" % [number, title]]
		)
		var notes: Dictionary = report.notes[title]
		check_eq(notes.faults, [], "%s as the slow one saw it" % title)
		for kind: String in ["letters", "laps"]:
			# One that was closed misses the end.
			holes += Hauler.holes(notes[kind], notes[kind].last + 1 if closes else written[kind])
		missing_states += Hauler.holes(notes.states, notes.states.last + 1)
	print(
		(
			"%d took %d bytes in %.1f s: %d refused, %d holes, %d dropped, congested %d times"
			% [visit.id, report.taken, report.time, refused, holes, dropped, visit.congested]
		)
	)
	check(report.taken < (report.time + 1.0) * BYTES_PER_SECOND + LARGEST, "it is not slow")
	check(visit.congested > 0, "peer_congested was not emitted")
	check(dropped > 0, "no state was dropped")
	check_eq(holes, refused, "packets that did not come, of those that were not refused")
	check_eq(refused > 0, not closes, "refusals")
	check_eq(visit.overflowed, 1 if closes else 0, "peer_overflowed")
	check_eq(report.code, 1013 if closes else -1, "the slow one's close code")
	check_eq(report.ends, 1 if closes else 0, "the slow one's server_disconnected")


func _healthy_client() -> void:
	await party.gather()
	await _enter()
	var number := 0
	while true:
		await party.barrier("window %d" % number)
		if party.is_released("over"):
			break
		Hauler.ages.clear()
		Hauler.is_measuring = true
		await until(party.is_released.bind("end %d" % number), TIMEOUT, "the end of a window")
		Hauler.is_measuring = false
		party.publish("ages %d %s" % [number, name], Hauler.ages, 1)
		await _rest(number)
		await until(party.is_released.bind("go on %d" % number), TIMEOUT, "the end of a rest")
		works = true
		number += 1
	await _compare(number / 2)
	await party.leave_in_turn()


func _slow_client() -> void:
	multiplayer_poll = false
	var number := 1
	while true:
		var is_next := func() -> bool: return is_left("join %d" % number) or is_left("over")
		await until(is_next, 2 * TIMEOUT, "visit %d" % number)
		if is_left("over"):
			break
		await _visit(number)
		number += 2


func _visit(number: int) -> void:
	party.properties["inbound_buffer_size"] = SMALL
	party.properties["max_message_size_kb"] = 64
	party.events.clear()
	if not spawns:
		_build(str_to_var(FileAccess.get_file_as_string(scratch("cast"))))
	party.peer = Peers.make_client("ours4", party.url(), party.properties)
	get_multiplayer().multiplayer_peer = party.peer
	# Until it has something of everybody it reads as the others do.
	await until(func() -> bool: return _read() and _is_in(), TIMEOUT, "visit %d" % number)
	var notes := {}
	# The haulers go with the connection.
	for hauler in _haulers():
		notes[hauler.title] = hauler.notes
	leave("slow %d" % number, str(party.peer.get_unique_id()))
	var began := Time.get_ticks_usec()
	var time := 0.0
	var taken := 0
	while not is_left("wake %d" % number):
		await process_frame
		time = (Time.get_ticks_usec() - began) / 1e6
		if taken <= time * BYTES_PER_SECOND:
			taken += _peer_statistics(1).queued_in_bytes
			get_multiplayer().poll()
	await until(func() -> bool: return _read() and _is_over(number), TIMEOUT, "its end")
	var report := {
		time = time,
		taken = taken,
		code = party.peer.get_close_code(),
		ends = party.events.count("server_disconnected"),
		notes = notes,
	}
	leave("report %d" % number, var_to_str(report))
	party.peer.close()
	get_multiplayer().multiplayer_peer = null
	for hauler in _haulers():
		hauler.queue_free()
	await frames(1)


## Takes what there is, for a part of a frame.
func _read() -> bool:
	var end := Time.get_ticks_usec() + READING_USEC
	while Time.get_ticks_usec() < end:
		get_multiplayer().poll()
	return true


func _is_in() -> bool:
	var haulers := _haulers()
	return (
		haulers.size() == TITLES.size()
		and haulers.all(func(hauler: Hauler) -> bool: return hauler.has_begun())
	)


func _is_over(number: int) -> bool:
	var offline := MultiplayerPeer.CONNECTION_DISCONNECTED
	return party.is_released("last %d" % number) or party.peer.get_connection_status() == offline


func _enter() -> void:
	var cast := {}
	for title in TITLES:
		cast[title] = party.ids.get(title, 1)
	if role == "server":
		leave("cast", var_to_str(cast))
	if not spawns:
		_build(cast)
	elif role == "server":
		for title in TITLES:
			stage.spawner.spawn({"title": title, "owner": cast[title]})
	await until(func() -> bool: return _haulers().size() == TITLES.size(), TIMEOUT, "haulers")
	for hauler in _haulers():
		if hauler.is_mine():
			mine = hauler
	await party.barrier("on stage")
	mine.set_shown(true)
	process_frame.connect(_work)
	works = true


## What a spawner does elsewhere.
func _build(cast: Dictionary) -> void:
	for title in TITLES:
		var hauler := Hauler.make({"title": title, "owner": cast[title]})
		# Until the others have it.
		hauler.set_shown(false)
		stage.add_child(hauler)


func _work() -> void:
	if not works:
		return
	frame += 1
	if frame % FRAMES_PER_STEP == 0:
		mine.advance()
	if frame % FRAMES_PER_LETTER == 0:
		mine.write_letter()


## Behind it, everything that anybody has written has come to all but the slow one.
func _rest(number: int) -> void:
	works = false
	# The last state and lap leave with the next frame.
	await frames(FRAMES_TO_REST)
	if role != "server":
		party.publish("written %d %s" % [number, name], mine.written(), 1)
	await party.barrier("rest %d" % number)


## Server: polls, and checks that a peer had enough backlog when a state was dropped.
func _poll_and_watch() -> void:
	var waited := {}
	for id in get_multiplayer().get_peers():
		var now := _peer_statistics(id)
		waited[id] = [now.queued_out_bytes, now.bytes_out]
	var before: int = _statistics().packets_dropped_unreliable
	get_multiplayer().poll()
	var dropped: int = _statistics().packets_dropped_unreliable - before
	if dropped == 0:
		return
	var most := 0
	for id: int in waited:
		if not get_multiplayer().get_peers().has(id):
			return
		# No less than has waited at any time: what left meanwhile counts as if it were still there.
		var waiting: int = maxi(waited[id][0], _peer_statistics(id).queued_out_bytes)
		most = maxi(most, waiting + _peer_statistics(id).bytes_out - waited[id][1])
	if most <= MARK:
		faults.append("%d states with %d bytes waiting" % [dropped, most])


func _tell(label: String) -> void:
	for client in HEALTHY:
		party.release(party.ids[client], label)


## Those who keep up have everything, and agree.
func _compare(visits: int) -> void:
	works = false
	# The last states travel unreliably; they are repeated.
	await seconds(0.3)
	await party.barrier("still")
	party.publish("final " + mine.title, [mine.tick, mine.at, mine.lap, mine.written()])
	var missing := 0
	for hauler in _haulers():
		if hauler != mine:
			missing += Hauler.holes(hauler.notes.states, hauler.tick + 1)
	party.publish("missing " + name, missing)
	if Peers.is_ours(party.peer):
		party.publish("dropped " + name, _statistics().packets_dropped_unreliable)
	await party.barrier("published")
	for hauler in _haulers():
		var notes := hauler.notes
		check_eq(notes.faults, [], "%s as %s sees it" % [hauler.title, name])
		if hauler == mine:
			continue
		var final: Array = party.published["final " + hauler.title]
		check_eq(
			[hauler.tick, hauler.at, hauler.lap], final.slice(0, 3), "the end of %s" % hauler.title
		)
		check_eq(notes.letters.first, 0, "the first letter of %s" % hauler.title)
		for kind: String in ["letters", "laps"]:
			check_eq(
				Hauler.holes(notes[kind], final[3][kind]), 0, "%s of %s" % [kind, hauler.title]
			)
	for event: String in ["peer_connected", "peer_disconnected"]:
		var of_slow := party.events.filter(_is_of_slow.bind(event))
		check_eq(of_slow.size(), visits, "%s of the slow one: %s" % [event, of_slow])
		for one in of_slow:
			check_eq(party.events.count(one), 1, one)
	await party.barrier("compared")


## Nobody has learnt its name.
func _is_of_slow(one: String, event: String) -> bool:
	return one.begins_with(event + " ") and one.get_slice(" ", 1).is_valid_int()


func _haulers() -> Array[Hauler]:
	var haulers: Array[Hauler] = []
	for child in stage.get_children():
		if not child.is_queued_for_deletion():
			haulers.append(child as Hauler)
	return haulers


func _statistics() -> Dictionary:
	return party.peer.call(&"get_statistics")


func _peer_statistics(id: int) -> Dictionary:
	return party.peer.call(&"get_peer_statistics", id)


func _median(of: Array[float]) -> float:
	of = of.duplicate()
	of.sort()
	return of[of.size() / 2]
