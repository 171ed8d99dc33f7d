# A simulated network that cuts connections: a client with a session comes back each time and misses nothing, one without a session is
# disconnected and told why.
# processes: server client
# timeout: 90
# variant: ours server=ours client=ours4
# variant: ours4 server=ours4 client=ours
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const Peers := preload("res://lib/peers.gd")
const TIMEOUT := 30.0
const CUTS := 3
const LAST := -1

var end: BarePeer
var other := 0
var sent := 0
var received: Array[int] = []
var suspended := 0
var resumed := 0


func run() -> void:
	Engine.max_fps = 60
	if role == "server":
		await _server()
	else:
		await _client()


func _server() -> void:
	_take(Peers.make_server(args["server"], port, {resume_timeout = 20.0}))
	ready_line()
	await until(func() -> bool: return end.has("peer_connected"), TIMEOUT, "a client")
	other = end.events[0].get_slice(" ", 1).to_int()
	process_frame.connect(_send)
	await _until_last()
	check_eq(suspended, end.peer.get_statistics()["sessions_resumed"], "suspensions")
	await until(func() -> bool: return end.count("peer_connected") == 2, TIMEOUT, "the other one")
	await until(func() -> bool: return end.count("peer_disconnected") == 2, TIMEOUT, "it is cut")
	check_eq(suspended, resumed, "it has no session")
	end.peer.close()


func _client() -> void:
	var url := "ws://127.0.0.1:%d" % port
	_take(Peers.make_client(args["client"], url))
	await until(end.is_connected_now, TIMEOUT, "connected")
	other = 1
	var id := end.peer.get_unique_id()
	end.peer.set("simulate_disconnect_every_sec", 2)
	process_frame.connect(_send)
	await until(func() -> bool: return resumed >= CUTS, TIMEOUT, "%d cuts" % CUTS)
	end.peer.set("simulate_disconnect_every_sec", 0)
	await until(func() -> bool: return resumed == suspended, TIMEOUT, "it is back")
	await _until_last()
	check_eq(end.peer.get_unique_id(), id, "its id")
	check_eq(end.events, ["peer_connected 1", "connection_succeeded"] as Array[String], "events")
	end.peer.close()
	var properties := {simulate_disconnect_every_sec = 2, resume_enabled = false}
	end = BarePeer.new(self, Peers.make_client(args["client"], url, properties))
	await until(end.is_connected_now, TIMEOUT, "connected without a session")
	await until(func() -> bool: return end.has("server_disconnected"), TIMEOUT, "it is cut")
	var why: String = end.peer.call(&"get_last_error")
	check(why.contains("simulate_disconnect_every_sec"), "the last error is: " + why)


func _take(peer: MultiplayerPeer) -> void:
	end = BarePeer.new(self, peer)
	end.on_packet = func(_from: int, packet: PackedByteArray) -> void:
		received.append(packet.decode_s32(0))
	peer.connect(&"peer_suspended", func(_id: int) -> void: suspended += 1)
	peer.connect(&"peer_resumed", func(_id: int) -> void: resumed += 1)


func _send() -> void:
	_put(sent)
	sent += 1


## Both say their last number, and wait for that of the other.
func _until_last() -> void:
	if role == "server":
		await until(func() -> bool: return LAST in received, TIMEOUT * 2, "the last packet")
	process_frame.disconnect(_send)
	_put(LAST)
	await until(func() -> bool: return LAST in received, TIMEOUT, "the last packet")
	received.erase(LAST)
	check(received.size() > 100, "%d packets" % received.size())
	check_eq(received, Array(range(received.size()), TYPE_INT, &"", null), "what was received")


func _put(number: int) -> void:
	var packet := PackedByteArray()
	packet.resize(4 + absi(number) % 500)
	packet.encode_s32(0, number)
	check_eq(end.send(other, packet), OK, "packet %d" % number)
