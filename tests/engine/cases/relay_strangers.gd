# A game with a protocol of its own, or with a peer that wraps several servers, gets every packet for clients of which its server knows nothing,
# also if a client of this addon sends one message for several of them.
# processes: main
# timeout: 30
extends "res://lib/case.gd"

const TIMEOUT := 10.0
const STRANGERS: Array[int] = [700, 800, 900, 1000]
const FRAMES := 60

var _server := WebSocketServer.new()
var _client := WebSocketClient.new()
var _received: Array[PackedByteArray] = []


func run() -> void:
	check_eq(_server.listen(0, PackedStringArray(), true), OK, "listen")
	var url := "ws://127.0.0.1:%d" % _server.get_local_port()
	check_eq(_client.connect_to_url(url, PackedStringArray(), true), OK, "connect")
	process_frame.connect(_poll)
	var is_in := func() -> bool:
		return _client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED
	await until(is_in, TIMEOUT, "connected")
	var sent: Array[PackedByteArray] = []
	for frame in FRAMES:
		for target in STRANGERS:
			var packet := PackedByteArray([7, 3, 0, 0, 0, 0, 3, frame, frame, frame])
			packet.encode_s32(2, target)
			check_eq(_client.put_packet(packet), OK, "a packet")
			sent.append(packet)
		await frames(1)
	await until(func() -> bool: return _received.size() >= sent.size(), TIMEOUT, "all packets")
	check(_received == sent, "other packets, or in another order")
	var folded: int = _client.get_statistics()["packets_folded"]
	check(folded > FRAMES, "only %d packets shared a message" % folded)
	check_eq(_server.get_statistics()["packets_to_closed"], 0, "packets for nobody")
	process_frame.disconnect(_poll)
	_client.close()
	_server.stop()


func _poll() -> void:
	_client.poll()
	_server.poll()
	while _server.get_available_packet_count() > 0:
		_received.append(_server.get_packet())
