# Processes that are killed or stopped. A killed client is reported. A client that is stopped for longer than heartbeat_timeout is
# dropped; one that is stopped for less time stays and misses no packet. A server that was stopped itself drops no client for it.
# processes: server client:a
# timeout: 150
# serial
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const OtherEngine := preload("res://lib/engine.gd")
const Peers := preload("res://lib/peers.gd")
const Proc := preload("res://lib/proc.gd")

const HEARTBEAT_TIMEOUT := 4.0
const TIMEOUT := 20.0

var end: BarePeer
## Name of a client -> its id.
var ids := {}
## The report of a client about its ticks.
var answers := {}
## Server: the next tick. Client: the one that must come next, once one has come.
var next := -1
var first := -1
var faults: Array[String] = []
## Server: the next of its ticks that the steady client must send back.
var next_echo := -1


func run() -> void:
	if not Proc.is_available():
		ready_line()
		print("processes are stopped and killed on Linux only")
		return
	Engine.max_fps = 60
	match role:
		"server":
			await _server()
		"client":
			await _steady_client()
		_:
			await _victim()


func _server() -> void:
	var properties := {"heartbeat_interval": 0.3, "heartbeat_timeout": HEARTBEAT_TIMEOUT}
	end = BarePeer.new(self, Peers.make_server("ours", port, properties))
	end.on_packet = _on_word
	next = 0
	process_frame.connect(_tick)
	leave("server", str(OS.get_process_id()))
	ready_line()
	await until(func() -> bool: return ids.has("a"), TIMEOUT, "the steady client")

	var killed := await _start("killed")
	var took := await _lost("killed", func() -> void: OS.kill(killed))
	print("a killed client is reported after %.2f s" % took)

	var stopped := await _start("stopped")
	took = await _lost("stopped", func() -> void: _signal(stopped, "STOP"))
	print("a stopped client is dropped after %.2f s" % took)
	# It counts from what came last, which may have been a while before.
	check(
		took > HEARTBEAT_TIMEOUT / 2,
		"dropped after %.2f s, the timeout is %.1f s" % [took, HEARTBEAT_TIMEOUT]
	)
	_signal(stopped, "CONT")
	await until(func() -> bool: return is_left("stopped"), TIMEOUT, "it learns that it is out")
	check_eq(FileAccess.get_file_as_string(scratch("stopped")), "", "ticks before its end")

	var paused := await _start("paused")
	_signal(paused, "STOP")
	await seconds(HEARTBEAT_TIMEOUT / 2)
	_signal(paused, "CONT")
	await seconds(HEARTBEAT_TIMEOUT)
	check(not end.has("peer_disconnected %d" % ids["paused"]), "it was away for a moment only")
	check_eq(end.send(ids["paused"], "report".to_ascii_buffer()), OK, "a question")
	await until(func() -> bool: return answers.has("paused"), TIMEOUT, "an answer")
	check_eq(answers["paused"], "", "ticks of one that was away for a moment")
	await _lost("paused", func() -> void: OS.kill(paused))

	# For twice as long as it waits for others.
	leave("stop_me", "")
	await until(func() -> bool: return is_left("stopped_me"), TIMEOUT, "it runs again")
	await seconds(HEARTBEAT_TIMEOUT)
	check(
		not end.has("peer_disconnected %d" % ids["a"]),
		"no client is dropped because this process was stopped"
	)
	check_eq(end.send(ids["a"], "report".to_ascii_buffer()), OK, "a question")
	await until(func() -> bool: return answers.has("a"), TIMEOUT, "an answer")
	check_eq(answers["a"], "", "ticks of the steady client")
	check_eq(faults, [] as Array[String], "what came back")
	check_eq(end.count("peer_connected"), 4, "clients")
	check_eq(end.count("peer_disconnected"), 3, "clients that are gone")
	check_eq(end.peer.get_statistics().peers, 1, "peers")
	process_frame.disconnect(_tick)
	leave("end", "")
	await until(func() -> bool: return end.count("peer_disconnected") == 4, TIMEOUT, "the end")
	end.peer.close()


## Another process of this case, which no other test observes.
func _start(its_name: String) -> int:
	var command := OtherEngine.program()
	var words: PackedStringArray = command.slice(1)
	words.append_array(["--headless", "--path", ProjectSettings.globalize_path("res://")])
	words.append_array(["-s", "res://cases/process_faults.gd", "--", "role=victim"])
	words.append_array(["name=" + its_name, "port=%d" % port, "scratch=" + args["scratch"]])
	var process := OS.create_process(command[0], words)
	check(process > 0, "%s starts" % its_name)
	await until(func() -> bool: return ids.has(its_name), TIMEOUT, "%s is connected" % its_name)
	return process


## Does something to a client, and returns the seconds until its disconnect was emitted.
func _lost(its_name: String, act: Callable) -> float:
	var started := Time.get_ticks_usec()
	act.call()
	var event := "peer_disconnected %d" % ids[its_name]
	await until(func() -> bool: return end.has(event), TIMEOUT, "%s is reported" % its_name)
	check_eq(end.count(event), 1, event)
	return (Time.get_ticks_usec() - started) / 1e6


func _signal(process: int, which: String) -> void:
	check_eq(OS.execute("kill", ["-" + which, str(process)]), 0, which)


func _tick() -> void:
	if ids.is_empty():
		return
	var packet := PackedByteArray()
	packet.resize(4)
	packet.encode_u32(0, next)
	next += 1
	check_eq(end.send(0, packet), OK, "a tick")


func _on_word(sender: int, packet: PackedByteArray) -> void:
	if packet.size() == 4:
		var number := packet.decode_u32(0)
		if next_echo >= 0 and number != next_echo and faults.size() < 5:
			faults.append("%d came back instead of %d" % [number, next_echo])
		next_echo = number + 1
		return
	var words := packet.get_string_from_ascii().split(" ", true, 2)
	if words[0] == "name":
		ids[words[1]] = sender
	else:
		answers[words[1]] = words[2]


func _steady_client() -> void:
	await _connect()
	await until(func() -> bool: return is_left("stop_me"), 120.0, "its turn")
	var server := FileAccess.get_file_as_string(scratch("server")).to_int()
	_signal(server, "STOP")
	var before := next
	await seconds(HEARTBEAT_TIMEOUT * 2)
	print("%d ticks while the server was stopped" % (next - before))
	_signal(server, "CONT")
	leave("stopped_me", "")
	await until(func() -> bool: return is_left("end"), TIMEOUT, "the end")
	check_eq(end.count("peer_disconnected"), 0, "connections lost")
	end.peer.close()


## Killed in the end, unless the server is lost before.
func _victim() -> void:
	await _connect()
	await until(end.is_closed, 120.0, "the end")
	leave(name, " ".join(faults))


func _connect() -> void:
	var url := "ws://127.0.0.1:%d" % port
	end = BarePeer.new(self, Peers.make_client("ours", url, {"heartbeat_interval": 0.3}))
	end.on_packet = _on_tick
	await until(end.is_connected_now, TIMEOUT, "connected")
	check_eq(end.send(1, ("name " + name).to_ascii_buffer()), OK, "its name")


func _on_tick(_sender: int, packet: PackedByteArray) -> void:
	if packet.size() != 4:
		end.send(1, ("answer %s %s" % [name, " ".join(faults)]).to_ascii_buffer())
		return
	var number := packet.decode_u32(0)
	if first < 0:
		first = number
	elif number != next and faults.size() < 5:
		faults.append("tick %d instead of %d" % [number, next])
	next = number + 1
	if role == "client":
		end.send(1, packet)
