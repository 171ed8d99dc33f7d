# Compressed messages of raw mode: texts and bytes come back as they were, in each mode, also if only one side wants compression. The mode is
# changed between two connections of the same objects.
# processes: main
# timeout: 30
extends "res://lib/case.gd"

const TIMEOUT := 10.0
## What each side wants, and what they agree on.
const MODES := [
	[0, 0, ""],
	[1, 1, "shared"],
	[2, 2, "dedicated"],
	[1, 0, ""],
	[0, 2, ""],
	[1, 2, "shared"],
	[2, 1, "shared"],
]

var _server := WebSocketServer.new()
var _client := WebSocketClient.new()
var _id := 0
var _echoes: Array = []


func run() -> void:
	_server.client_connected.connect(func(id: int, _protocol: String) -> void: _id = id)
	_server.client_disconnected.connect(func(_of: int, _clean: bool) -> void: _id = 0)
	_server.data_received.connect(_echo)
	_client.data_received.connect(_take)
	process_frame.connect(_poll)
	for mode: Array in MODES:
		await _talk(mode[0], mode[1], mode[2])


func _talk(mode: int, client_mode: int, agreed: String) -> void:
	var what := "%d and %d" % [mode, client_mode]
	_server.compression_mode = mode
	_server.compression_threshold = 64
	_client.compression_mode = client_mode
	_client.compression_threshold = 64
	check_eq(_server.compression_mode, mode, "compression_mode")
	check_eq(_server.listen(0), OK, "listen()")
	var url := "ws://127.0.0.1:%d" % _server.get_local_port()
	check_eq(_client.connect_to_url(url), OK, "connect_to_url()")
	var is_here := func() -> bool: return _id > 0 and _client.get_peer(1).is_connected_to_host()
	await until(is_here, TIMEOUT, what)
	var messages := [
		"", "short", '{"place":[1,2],"name":"ñandú 🙂"}'.repeat(100), PackedByteArray([1, 2, 3])
	]
	var zeros := PackedByteArray()
	zeros.resize(40000)
	messages.append(zeros)
	var noise := PackedByteArray()
	for index: int in 5000:
		noise.append(randi())
	messages.append(noise)
	_echoes.clear()
	var peer := _client.get_peer(1)
	for message: Variant in messages:
		check_eq(peer.send_text(message) if message is String else peer.send(message), OK, "send")
	await until(func() -> bool: return _echoes.size() == messages.size(), TIMEOUT, "the echoes")
	check(_echoes == messages, "%s: other messages came back" % what)
	for figures: Dictionary in [_server.get_peer_statistics(_id), _client.get_peer_statistics(1)]:
		check_eq(figures["compression"], agreed, what)
		for pair: Array in [
			["deflated_out_bytes", "compressed_out_bytes"],
			["inflated_in_bytes", "compressed_in_bytes"],
		]:
			var plain: int = figures[pair[0]]
			check_eq(plain > 40000, not agreed.is_empty(), "%s: %s is %d" % [what, pair[0], plain])
			check(figures[pair[1]] * 10 <= plain, "%s: %d to %d" % [what, plain, figures[pair[1]]])
	_client.disconnect_from_host()
	var is_over := func() -> bool:
		return (
			_id == 0 and _client.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED
		)
	await until(is_over, TIMEOUT, "the end")
	_server.stop()


func _poll() -> void:
	_server.poll()
	_client.poll()


func _echo(id: int) -> void:
	var peer := _server.get_peer(id)
	while peer.get_available_packet_count() > 0:
		var message := peer.get_packet()
		if peer.was_string_packet():
			peer.send_text(message.get_string_from_utf8())
		else:
			peer.send(message)


func _take() -> void:
	var peer := _client.get_peer(1)
	while peer.get_available_packet_count() > 0:
		var message := peer.get_packet()
		_echoes.append(message.get_string_from_utf8() if peer.was_string_packet() else message)
