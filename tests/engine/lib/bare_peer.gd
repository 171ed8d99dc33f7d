extends RefCounted
## A multiplayer peer without a MultiplayerAPI: polled in each frame unless paused, with a record of
## its signals and received packets.

const Case := preload("res://lib/case.gd")

## Every signal that any of the classes has in multiplayer mode, the engine's class included.
const SIGNALS: Array[StringName] = [
	&"peer_connected",
	&"peer_disconnected",
	&"connection_succeeded",
	&"connection_failed",
	&"server_disconnected",
	&"peer_congested",
	&"peer_drained",
	&"peer_overflowed",
	&"packet_refused",
	&"client_close_request",
	&"server_close_request",
]

var peer: MultiplayerPeer
## Stops polling, as a game that hangs does.
var paused := false
## "peer_connected 5", in order; packets are "packet 5" when `notes_packets` is set.
var events: Array[String] = []
## Event -> when it was emitted, in seconds of the process.
var times := {}
var notes_packets := false
## Sender id -> its packets, in order, until the test takes them.
var packets := {}
## If set, is called with (sender id, packet), and `packets` stays empty.
var on_packet := Callable()


func _init(case: Case, from: MultiplayerPeer) -> void:
	peer = from
	for name in SIGNALS:
		if not peer.has_signal(name):
			continue
		match _arguments_of(name):
			0:
				peer.connect(name, _on_signal.bind(name))
			1:
				peer.connect(name, _on_signal_1.bind(name))
			2:
				peer.connect(name, _on_signal_2.bind(name))
			3:
				peer.connect(name, _on_signal_3.bind(name))
	# The method does not keep this object alive.
	case.process_frame.connect(_on_frame)


func poll() -> void:
	if peer.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED:
		return
	peer.poll()
	while peer.get_available_packet_count() > 0:
		var sender := peer.get_packet_peer()
		var packet := peer.get_packet()
		if notes_packets:
			events.append("packet %d" % sender)
		if on_packet.is_valid():
			on_packet.call(sender, packet)
		else:
			if not packets.has(sender):
				packets[sender] = []
			packets[sender].append(packet)


func send(to: int, packet: PackedByteArray) -> Error:
	peer.set_target_peer(to)
	return peer.put_packet(packet)


func is_connected_now() -> bool:
	return peer.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED


func is_closed() -> bool:
	return peer.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED


## Returns how often an event was emitted; `event` may be a part of its text.
func count(event: String) -> int:
	return events.filter(func(one: String) -> bool: return one.begins_with(event)).size()


func has(event: String) -> bool:
	return count(event) > 0


## The bytes that wait for the peer in the library, without those in the operating system.
func waiting(id: int) -> int:
	return peer.call(&"get_peer_statistics", id).queued_out_bytes


func _arguments_of(its_name: StringName) -> int:
	for one: Dictionary in peer.get_signal_list():
		if one.name == its_name:
			return one.args.size()
	return -1


func _on_frame() -> void:
	if not paused:
		poll()


func _on_signal(its_name: StringName) -> void:
	_note(its_name)


func _on_signal_1(a: Variant, its_name: StringName) -> void:
	_note("%s %s" % [its_name, a])


func _on_signal_2(a: Variant, b: Variant, its_name: StringName) -> void:
	_note("%s %s %s" % [its_name, a, b])


func _on_signal_3(a: Variant, b: Variant, c: Variant, its_name: StringName) -> void:
	_note("%s %s %s %s" % [its_name, a, b, c])


func _note(event: String) -> void:
	events.append(event)
	times[event] = Time.get_ticks_usec() / 1e6
