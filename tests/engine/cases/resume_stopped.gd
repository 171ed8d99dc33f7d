# A client process that is stopped for 20 s, like a phone that sleeps. The server gives its connection up after 15 s, and the client comes back
# as the same peer. Both games send all the time, and nothing is lost.
# processes: server client:a
# timeout: 120
# variant: plain
# variant: tls tls=yes
extends "res://lib/case.gd"

const Peers := preload("res://lib/peers.gd")
const Proc := preload("res://lib/proc.gd")
const STOPPED := 20.0
const TIMEOUT := 30.0
const LAST := -1

var peer: MultiplayerPeer
var other := 1
var received: Array[int] = []
var sent := 0
var suspended := 0
var resumed := 0
var has_left := false
var is_sending := true


func run() -> void:
	if not Proc.is_available():
		ready_line()
		print("processes are stopped on Linux only")
		return
	Engine.max_fps = 60
	if role == "server":
		var tls := Peers.make_certificate(args["scratch"]) if args.has("tls") else ""
		peer = Peers.make_server("ours", port, {"resume_timeout": 60.0}, tls)
	else:
		var scheme := "wss" if args.has("tls") else "ws"
		peer = Peers.make_client("ours4", "%s://127.0.0.1:%d" % [scheme, port])
		leave("client", str(OS.get_process_id()))
	peer.peer_suspended.connect(func(_id: int) -> void: suspended += 1)
	peer.peer_resumed.connect(func(_id: int) -> void: resumed += 1)
	peer.peer_disconnected.connect(func(_id: int) -> void: has_left = true)
	peer.peer_connected.connect(func(id: int) -> void: other = id)
	process_frame.connect(_frame)
	if role == "server":
		ready_line()
	var connected := func() -> bool: return received.size() > 10
	await until(connected, TIMEOUT, "packets of the other side")
	if role == "server":
		await _stop_the_client()
	await until(func() -> bool: return resumed > 0, STOPPED + TIMEOUT, "the client is back")
	await seconds(1.0)
	is_sending = false
	_put(LAST)
	await until(func() -> bool: return LAST in received, TIMEOUT, "the last packet")
	received.erase(LAST)
	check_eq(received, Array(range(received.size()), TYPE_INT, &"", null), "what was received")
	check_eq(suspended, resumed, "suspensions and returns")
	check(not has_left, "nobody has left")
	print("%d packets sent, %d received" % [sent, received.size()])
	leave("done_" + role, "")
	await until(
		func() -> bool: return is_left("done_server") and is_left("done_client"),
		TIMEOUT,
		"both are done"
	)
	process_frame.disconnect(_frame)
	peer.close()


func _stop_the_client() -> void:
	var id := FileAccess.get_file_as_string(scratch("client")).to_int()
	var before := sent
	OS.execute("kill", ["-STOP", str(id)])
	await seconds(STOPPED)
	check_eq(peer.get_statistics()["peers_suspended"], 1, "suspended after %.0f s" % STOPPED)
	OS.execute("kill", ["-CONT", str(id)])
	check(sent > before + 100, "the game goes on without it: %d packets" % (sent - before))


func _frame() -> void:
	peer.poll()
	while peer.get_available_packet_count() > 0:
		received.append(peer.get_packet().decode_s32(0))
	var open := peer.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED
	if is_sending and open and (role == "client" or other != 1):
		_put(sent)
		sent += 1


func _put(number: int) -> void:
	var packet := PackedByteArray()
	packet.resize(4 + absi(number) % 500)
	packet.encode_s32(0, number)
	peer.set_target_peer(other)
	check_eq(peer.put_packet(packet), OK, "packet %d" % number)
