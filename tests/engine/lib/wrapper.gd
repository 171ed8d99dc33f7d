extends MultiplayerPeerExtension
## A peer of a game that passes everything on to another one, and counts the packets between clients that it sees.

var relays := 0

var _inner: MultiplayerPeer


func _init(inner: MultiplayerPeer) -> void:
	_inner = inner
	_inner.peer_connected.connect(_on_connected)
	_inner.peer_disconnected.connect(_on_disconnected)


## The two refer to each other.
func release() -> void:
	_inner.peer_connected.disconnect(_on_connected)
	_inner.peer_disconnected.disconnect(_on_disconnected)


func _get_packet_script() -> PackedByteArray:
	var packet := _inner.get_packet()
	if packet.size() > 6 and packet[0] == 7 and packet[1] == 3:
		relays += 1
	return packet


func _put_packet_script(packet: PackedByteArray) -> Error:
	return _inner.put_packet(packet)


func _get_available_packet_count() -> int:
	return _inner.get_available_packet_count()


func _get_max_packet_size() -> int:
	return 1 << 24


func _get_packet_channel() -> int:
	return _inner.get_packet_channel()


func _get_packet_mode() -> TransferMode:
	return _inner.get_packet_mode()


func _get_packet_peer() -> int:
	return _inner.get_packet_peer()


func _set_transfer_channel(channel: int) -> void:
	_inner.transfer_channel = channel


func _get_transfer_channel() -> int:
	return _inner.transfer_channel


func _set_transfer_mode(mode: TransferMode) -> void:
	_inner.transfer_mode = mode


func _get_transfer_mode() -> TransferMode:
	return _inner.transfer_mode


func _set_target_peer(peer: int) -> void:
	_inner.set_target_peer(peer)


func _is_server() -> bool:
	return _inner.get_unique_id() == 1


func _poll() -> void:
	_inner.poll()


func _close() -> void:
	_inner.close()


func _disconnect_peer(peer: int, force: bool) -> void:
	_inner.disconnect_peer(peer, force)


func _get_unique_id() -> int:
	return _inner.get_unique_id()


func _get_connection_status() -> ConnectionStatus:
	return _inner.get_connection_status()


func _is_server_relay_supported() -> bool:
	return _inner.is_server_relay_supported()


func _on_connected(id: int) -> void:
	peer_connected.emit(id)


func _on_disconnected(id: int) -> void:
	peer_disconnected.emit(id)
