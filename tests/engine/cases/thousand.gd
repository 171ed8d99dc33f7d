# A thousand clients connect at once to a server that polls sixty times a second: all connect, none is rejected or times out.
# processes: server
# timeout: 60
# serial
# variant: ours server=ours
# variant: ours4 server=ours4
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const Peers := preload("res://lib/peers.gd")

const CLIENTS := 1000
const FPS := 60
## In seconds. With the engine's class most of them are still waiting then.
const ALL_USABLE_WITHIN := 10.0
## The timeout of the load client; the default `handshake_timeout` of a game is shorter.
const TIMEOUT := 15
const HELD := 3

var _slowest_frame := 0.0
var _frames := 0


func _init() -> void:
	runs_unthrottled = false


func run() -> void:
	Engine.max_fps = FPS
	# One line for each of them would be too many.
	ProjectSettings.set_setting("network/websocket/log_level", 2)
	var program := OS.get_environment("WSLOAD")
	if not check(FileAccess.file_exists(program), "no load client: WSLOAD is %s" % program):
		return
	var end := BarePeer.new(self, Peers.make_server(args["server"], port))
	if not check(end.peer != null, "a server"):
		return
	# The pace of the frames, before there is anything to do.
	await frames(30)
	var arguments := ["idle", str(CLIENTS), "--parallel", str(CLIENTS), "--port", str(port)]
	arguments += ["--timeout", str(TIMEOUT), "--seconds", str(HELD)]
	var load_client := OS.execute_with_pipe(program, arguments, false)
	if not check(not load_client.is_empty(), "%s does not start" % program):
		return
	var started := Time.get_ticks_usec()
	var last := started
	var most_peers := 0
	var everybody_at := -1.0
	var output: FileAccess = load_client.stdio
	var text := ""
	while not text.ends_with("}\n"):
		var now := Time.get_ticks_usec()
		if not check((now - started) / 1e6 < TIMEOUT + HELD + 15, "the load client does not end"):
			OS.kill(load_client.pid)
			return
		_frames += 1
		_slowest_frame = maxf(_slowest_frame, (now - last) / 1e6)
		last = now
		most_peers = maxi(most_peers, end.peer.get_statistics().peers)
		if everybody_at < 0.0 and end.count("peer_connected") == CLIENTS:
			everybody_at = (now - started) / 1e6
		# Checked first: a line that arrives between the two is read in the next turn.
		var runs := OS.is_process_running(load_client.pid)
		text += output.get_buffer(4096).get_string_from_utf8()
		if text.is_empty() and not runs:
			fail("the load client ended without a report")
			return
		await process_frame
	var seconds_taken := (Time.get_ticks_usec() - started) / 1e6
	print(text.strip_edges())
	print(
		(
			"%d frames in %.2f s, the slowest took %.0f ms; all peers after %.2f s"
			% [_frames, seconds_taken, _slowest_frame * 1000, everybody_at]
		)
	)
	var report: Variant = JSON.parse_string(text)
	if not check(report is Dictionary, "a report of the load client"):
		return
	check_eq(int(report.usable), CLIENTS, "clients that connected")
	check_eq(int(report.held), CLIENTS, "clients that stayed")
	check_eq(int(report.opened.refused), 0, "clients that were refused: %s" % [report.opened])
	check_eq(int(report.opened.timed_out), 0, "clients that timed out")
	check_eq(report.lost, {}, "clients that were lost")
	check_eq(end.count("peer_connected"), CLIENTS, "peer_connected")
	check_eq(most_peers, CLIENTS, "peers at once")
	check(everybody_at < ALL_USABLE_WITHIN, "the last one came after %.1f s" % everybody_at)
	check(_frames >= HELD * FPS / 2, "only %d frames" % _frames)
	check(
		_frames <= seconds_taken * FPS + 5, "%d frames are more than %d a second" % [_frames, FPS]
	)
	var totals: Dictionary = end.peer.get_statistics()
	check_eq(totals.handshakes_refused, 0, "handshakes_refused")
	check_eq(totals.accept_errors, 0, "accept_errors")
	var gone := func() -> bool: return end.count("peer_disconnected") == CLIENTS
	await until(gone, 10.0, "the end of all")
	check_eq(end.peer.get_statistics().peers, 0, "peers at the end")
	output.close()
	end.peer.close()
