# The server runs out of file descriptors: new clients wait, connected clients play on, one line names the reason, and waiting costs no
# processor time. When descriptors are free again, the waiting clients connect.
# processes: server client:a client:b
# timeout: 60
# serial
# expect: ^WARNING: WebSocket: cannot accept connections for now: .*raise the limit of open files
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const ErrorLines := preload("res://lib/error_lines.gd")
const Peers := preload("res://lib/peers.gd")
const Proc := preload("res://lib/proc.gd")

const TIMEOUT := 20.0
const CROWD := 20
## Descriptors that are left for the crowd; some more were in use while they were counted.
const LEFT := 3
const COUNTING := 4
## The server looks again ten times a second, and a player talks sixty times; a loop would come to many thousands.
const MOST_WAKEUPS := 600

var end: BarePeer
var next := 0
var faults: Array[String] = []


func run() -> void:
	Engine.max_fps = 60
	if role == "server":
		await _server()
	elif name == "a":
		await _player()
	else:
		await _crowd()


func _server() -> void:
	if not Proc.is_available() or OS.execute("prlimit", ["--version"]) != 0:
		ready_line()
		leave("skipped", "")
		push_warning(
			"WebSocket: cannot accept connections for now: not tried here, raise the limit of open files"
		)
		return
	end = BarePeer.new(self, Peers.make_server("ours", port, {"handshake_timeout": 30.0}))
	end.on_packet = _on_tick
	ready_line()
	await until(func() -> bool: return end.count("peer_connected") == 1, TIMEOUT, "the player")
	var lines := ErrorLines.new()
	_limit(OS.get_process_id(), _limit_that_leaves(LEFT))
	leave("come", "")
	await until(func() -> bool: return _errors() > 0, TIMEOUT, "it has run out")
	var before: Dictionary = end.peer.get_statistics()
	var started := Time.get_ticks_usec()
	await seconds(1.0)
	var after: Dictionary = end.peer.get_statistics()
	var took := (Time.get_ticks_usec() - started) / 1e6
	var wakeups: int = after.io_wakeups - before.io_wakeups
	print("%d wake-ups in %.1f s, %d refusals of the system" % [wakeups, took, _errors()])
	check(after.accept_errors > before.accept_errors, "it goes on trying")
	check(wakeups < MOST_WAKEUPS * took, "%d wake-ups in %.1f s" % [wakeups, took])
	check(after.packets_in - before.packets_in > 10, "the player plays on")
	check(
		end.count("peer_connected") <= 1 + LEFT + COUNTING,
		"clients that came in without descriptors"
	)
	# It cannot even start a program by itself now.
	check_eq(end.send(0, str(OS.get_process_id()).to_ascii_buffer()), OK, "a call for help")
	await until(func() -> bool: return end.count("peer_connected") == 1 + CROWD, TIMEOUT, "all")
	if lines.is_available():
		check_eq(lines.take().size(), 1, "one line about it")
	leave("end", "")
	await until(
		func() -> bool: return end.count("peer_disconnected") == 1 + CROWD, TIMEOUT, "the end"
	)
	check_eq(faults, [] as Array[String], "what came from the player")
	end.peer.close()
	lines.stop()


func _errors() -> int:
	return end.peer.get_statistics().accept_errors


## A limit below which so many numbers are unused; the system gives out the lowest one.
func _limit_that_leaves(unused: int) -> int:
	var output := []
	check_eq(OS.execute("ls", ["/proc/%d/fd" % OS.get_process_id()], output), 0, "descriptors")
	var used: Array = Array("".join(output).split("\n", false)).map(
		func(number: String) -> int: return number.to_int()
	)
	var limit := 0
	while unused > 0 or used.has(limit):
		if not used.has(limit):
			unused -= 1
		limit += 1
	return limit


func _limit(process: int, count: int) -> void:
	var words := ["--pid", str(process), "--nofile=%d:" % count]
	check_eq(OS.execute("prlimit", words), 0, "a limit of %d descriptors" % count)


func _on_tick(_sender: int, packet: PackedByteArray) -> void:
	if packet.size() == 4:
		if packet.decode_u32(0) != next and faults.size() < 5:
			faults.append("tick %d instead of %d" % [packet.decode_u32(0), next])
		next = packet.decode_u32(0) + 1


func _player() -> void:
	if is_left("skipped"):
		return
	end = BarePeer.new(self, Peers.make_client("ours", "ws://127.0.0.1:%d" % port))
	await until(end.is_connected_now, TIMEOUT, "connected")
	end.on_packet = func(_sender: int, packet: PackedByteArray) -> void:
		_limit(packet.get_string_from_ascii().to_int(), 1024)
	while not is_left("end") and not has_ended():
		var packet := PackedByteArray()
		packet.resize(4)
		packet.encode_u32(0, next)
		next += 1
		check_eq(end.send(1, packet), OK, "a tick")
		await process_frame
	check_eq(end.count("peer_disconnected"), 0, "connections lost")
	end.peer.close()


func _crowd() -> void:
	await until(func() -> bool: return is_left("come") or is_left("skipped"), TIMEOUT, "its turn")
	if is_left("skipped"):
		return
	var ends: Array[BarePeer] = []
	for one in CROWD:
		var url := "ws://127.0.0.1:%d" % port
		var peer := Peers.make_client("ours", url, {"handshake_timeout": 30.0})
		ends.append(BarePeer.new(self, peer))
	await until(func() -> bool: return is_left("end"), 50.0, "the end")
	for one in ends:
		check(one.is_connected_now(), "a waiting client is connected")
		one.peer.close()
