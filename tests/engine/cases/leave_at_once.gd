# A connected process that quits, closes and quits, or drops its peer ends soon after, and the other side gets the disconnect at once.
# processes: server client:a
# timeout: 40
# serial
# variant: client_quits leaves=client how=quit server=ours client=ours
# variant: client_closes leaves=client how=close server=ours client=ours
# variant: client_drops leaves=client how=drop server=ours client=ours
# variant: client_disconnects leaves=client how=disconnect server=ours client=ours
# variant: server_quits leaves=server how=quit server=ours client=ours
# variant: server_closes leaves=server how=close server=ours client=ours
# variant: server_drops leaves=server how=drop server=ours client=ours
# variant: client4_quits leaves=client how=quit server=ours4 client=ours4
# variant: server4_quits leaves=server how=quit server=ours4 client=ours4
# variant: server_quits_engine leaves=server how=quit server=ours client=engine
# variant: client_quits_engine leaves=client how=quit server=engine client=ours
# variant: server_quits_hung leaves=server how=quit server=ours client=engine hung=yes
# variant: client_closes_web leaves=client how=close server=ours client=ours web=client:a
# variant: client_drops_web leaves=client how=drop server=ours client=ours web=client:a
# variant: client_disconnects_web leaves=client how=disconnect server=ours client=ours4 web=client:a
extends "res://lib/case.gd"

const Peers := preload("res://lib/peers.gd")
const Proc := preload("res://lib/proc.gd")

## Far below `heartbeat_timeout` and `close_timeout`.
const AT_ONCE := 2.0
## Until the process has ended; without a peer to wait for, most of it is the engine's own time.
const PROCESS_ENDS := 2.5
## The same when the other side hangs and does not answer the close: `close_timeout` comes on top.
const PROCESS_ENDS_ALONE := PROCESS_ENDS + 3.0

const ANSWER := "heard"

var mp: SceneMultiplayer
var peer: MultiplayerPeer
var _other := 1
var _heard := ""
var _lost_at := -1.0
var _losses := 0
var _close_codes: Array[int] = []


func run() -> void:
	mp = get_multiplayer() as SceneMultiplayer
	mp.peer_packet.connect(_on_packet)
	mp.peer_disconnected.connect(_on_disconnected)
	if role == "server":
		peer = Peers.make_server(args["server"], port)
	else:
		peer = Peers.make_client(args["client"], "ws://127.0.0.1:%d" % port)
	# The class that replaces the engine's has no such signals, as the engine's has not.
	if peer.has_signal(&"client_close_request"):
		peer.connect(&"client_close_request", _on_client_close_request)
	if peer.has_signal(&"server_close_request"):
		peer.connect(&"server_close_request", _on_server_close_request)
	mp.multiplayer_peer = peer
	if role == "server":
		ready_line()
	await until(func() -> bool: return not mp.get_peers().is_empty(), 15.0, "connected")
	_other = mp.get_peers()[0]
	# Both are there and have something to say.
	check_eq(mp.send_bytes("here".to_ascii_buffer(), _other), OK, "a packet")
	await until(func() -> bool: return not _heard.is_empty(), 10.0, "a packet of the other side")
	if args["leaves"] == role:
		await _leave()
	else:
		await _stay()


func _leave() -> void:
	var word := "%d %.6f" % [OS.get_process_id(), Time.get_unix_time_from_system()]
	check_eq(mp.send_bytes(word.to_ascii_buffer(), _other), OK, "its last word")
	if _is_answered():
		await until(func() -> bool: return _heard == ANSWER, 10.0, "the answer")
	match args["how"]:
		"close":
			peer.close()
		"disconnect":
			peer.disconnect_peer(1)
		"drop":
			mp.multiplayer_peer = null
			peer = null
	# The rest is as when a player closes the window: in this frame, with all in place.
	if not has_ended():
		_ended = true
		print("CASE OK")
		quit(0)


func _stay() -> void:
	await until(func() -> bool: return _heard.contains(" "), 10.0, "the last word")
	var process := _heard.get_slice(" ", 0).to_int()
	var said_at := _heard.get_slice(" ", 1).to_float()
	if _is_answered():
		said_at = Time.get_unix_time_from_system()
		check_eq(mp.send_bytes(ANSWER.to_ascii_buffer(), _other), OK, "an answer")
	if args.has("hung"):
		_hang_until_gone(process)
		return
	await until(func() -> bool: return _lost_at >= 0.0, 10.0, "the end")
	print("told %.3f s after the last word" % (_lost_at - said_at))
	check(
		_lost_at - said_at < AT_ONCE,
		"disconnect %.2f s after the last message" % (_lost_at - said_at)
	)
	if Proc.is_available():
		# Not its child: this is for the system to say.
		await until(
			func() -> bool: return not Proc.is_running(process),
			PROCESS_ENDS,
			"the end of the other process"
		)
		print("gone %.3f s after the last word" % (Time.get_unix_time_from_system() - said_at))
	await frames(20)
	check_eq(_losses, 1, "peer_disconnected")
	if Peers.is_ours(peer):
		# Away from a server is 1001, otherwise all was well: 1000.
		var code := 1001 if args["leaves"] == "server" else 1000
		if args["client"] == "ours" and args["server"] == "ours":
			check_eq(_close_codes, [code] as Array[int], "close requests")
		if role == "client":
			check_eq(peer.get_close_code(), code, "close code: %s" % peer.get_last_error())


## The engine's class does not read what comes together with a close: who leaves waits until it has.
func _is_answered() -> bool:
	return "engine" in [args["client"], args["server"]]


## The engine's class answers a close in `poll()` only.
func _hang_until_gone(process: int) -> void:
	check(_lost_at < 0.0, "it has left before this side hangs")
	var started := Time.get_ticks_usec()
	var is_over := func() -> bool:
		return (Time.get_ticks_usec() - started) / 1e6 > PROCESS_ENDS_ALONE
	while Proc.is_available() and Proc.is_running(process) and not is_over.call():
		OS.delay_msec(20)
	print("gone after %.3f s" % ((Time.get_ticks_usec() - started) / 1e6))
	check(not is_over.call(), "the other process waits for an answer")


func _on_packet(_id: int, packet: PackedByteArray) -> void:
	_heard = packet.get_string_from_ascii()


func _on_disconnected(_id: int) -> void:
	_losses += 1
	_lost_at = Time.get_unix_time_from_system()


func _on_client_close_request(_id: int, code: int, _reason: String) -> void:
	_close_codes.append(code)


func _on_server_close_request(code: int, _reason: String) -> void:
	_close_codes.append(code)
