# Packets that are sent right before disconnect_peer() or close() arrive before peer_disconnected, in both directions.
# processes: server client:a client:b client:c client:d client:e client:f
# timeout: 60
# variant: ours server=ours clients=ours
# variant: ours4 server=ours4 clients=ours4
# variant: engine_clients server=ours clients=engine
# variant: engine_server server=engine clients=ours
extends "res://lib/case.gd"

const PacketRun := preload("res://lib/packet_run.gd")
const Peers := preload("res://lib/peers.gd")

## How the connections end: a and d by the server, the others by themselves; the server's close() is the
## end of e and f.
const WAYS := {
	"a": "server disconnects",
	"b": "client closes",
	"c": "client disconnects",
	"d": "server disconnects busy",
	"e": "server closes",
	"f": "server closes",
}
const PACKETS := 30
const SMALLEST := 1
const LARGEST := 20000
## The engine's class forgets at its end what the system has not taken at once.
const LARGEST_OF_ENGINE := 1000

var mp: SceneMultiplayer
var peer: MultiplayerPeer
var names := {}
## Sender -> its packets; the end is in `ends`, with the number of packets before it.
var received := {}
var ends := {}


func run() -> void:
	mp = get_multiplayer() as SceneMultiplayer
	mp.peer_packet.connect(_on_packet)
	mp.peer_disconnected.connect(_on_disconnected)
	if role == "server":
		await _server()
	else:
		await _client()
	mp.peer_packet.disconnect(_on_packet)
	mp.peer_disconnected.disconnect(_on_disconnected)


func _server() -> void:
	peer = Peers.make_server(args["server"], port)
	mp.multiplayer_peer = peer
	ready_line()
	await until(func() -> bool: return received.size() == WAYS.size(), 20.0, "all clients")
	for id: int in received:
		names[received[id][0].get_string_from_ascii()] = id
		received[id].clear()
	for one: String in WAYS:
		var id: int = names[one]
		mp.send_bytes(("go %s" % WAYS[one]).to_ascii_buffer(), id)
		match WAYS[one]:
			"server disconnects":
				_send_run(id, one)
				peer.disconnect_peer(id)
			"server disconnects busy":
				# While the other side sends too.
				await until(
					func() -> bool: return received[id].size() > 3, 10.0, "packets from %s" % one
				)
				_send_run(id, one)
				peer.disconnect_peer(id)
			"server closes":
				continue
		await until(func() -> bool: return ends.has(id), 10.0, "the end of %s" % one)
		if WAYS[one].begins_with("client"):
			_check_run(id, one)
	for one: String in WAYS:
		if WAYS[one] == "server closes":
			_send_run(names[one], one)
	peer.close()
	await frames(3)
	check_eq(peer.get_connection_status(), MultiplayerPeer.CONNECTION_DISCONNECTED, "status")


func _client() -> void:
	peer = Peers.make_client(args["clients"], "ws://127.0.0.1:%d" % port)
	mp.multiplayer_peer = peer
	await until(func() -> bool: return mp.get_peers().has(1), 15.0, "the server")
	mp.send_bytes(name.to_ascii_buffer(), 1)
	await until(func() -> bool: return received.has(1), 20.0, "the word to go")
	match WAYS[name]:
		"client closes":
			_send_run(1, name)
			peer.close()
			await frames(3)
			return
		"client disconnects":
			_send_run(1, name)
			peer.disconnect_peer(1)
			await until(_is_closed, 10.0, "the end")
			return
		"server disconnects busy":
			var number := 0
			while not ends.has(1) and not has_ended():
				mp.send_bytes(("chatter %d" % number).to_ascii_buffer(), 1)
				number += 1
				await process_frame
				check(number < 1000000, "the server never ends it")
	await until(func() -> bool: return ends.has(1), 20.0, "the end")
	_check_run(1, name)
	await until(_is_closed, 5.0, "the status after the end")


## The packets of the end of one connection.
func _make_run(sender: String, of: String) -> PacketRun:
	var largest := LARGEST_OF_ENGINE if sender == "engine" else LARGEST
	return PacketRun.new(of.unicode_at(0), SMALLEST, largest)


func _send_run(to: int, of: String) -> void:
	var run := _make_run(args["server"] if role == "server" else args["clients"], of)
	for packet in PACKETS:
		check_eq(mp.send_bytes(run.next(), to), OK, "packet %d to %d" % [packet, to])


func _check_run(from: int, of: String) -> void:
	if args["server" if role == "server" else "clients"] == "engine":
		# It does not read what came together with the end.
		return
	var run := _make_run(args["clients"] if role == "server" else args["server"], of)
	var packets: Array = received[from]
	# The word to go came first.
	if role == "client":
		packets = packets.slice(1)
	check_eq(packets.size(), PACKETS, "packets before the end of %s" % of)
	for packet: PackedByteArray in packets:
		run.take(packet)
	check_eq(run.fault, "", "what came before the end of %s" % of)
	check_eq(ends[from], received[from].size(), "packets at the disconnect of %s" % of)


func _is_closed() -> bool:
	return peer.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED


func _on_packet(id: int, packet: PackedByteArray) -> void:
	if not received.has(id):
		received[id] = []
	received[id].append(packet)


func _on_disconnected(id: int) -> void:
	check(not ends.has(id), "peer_disconnected twice for %d" % id)
	ends[id] = received.get(id, []).size()
