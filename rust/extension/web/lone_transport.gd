extends "transport.gd"
## A connection of the engine's class alone, where there is no gate: in a page that forbids eval and has not loaded the gate, or in a native engine.

## The engine's buffer: what arrives between two polls must fit.
const ROOM_BYTES: int = 4 * 1024 * 1024
const ROOM_PACKETS: int = 65536

# The engine's receive buffer in bytes, less one: as much as it holds.
var _room: int = 0
var _received_at: int = -1
# Bytes sent in the frame of that number.
var _sent_in_frame: int = 0
var _sent_frame: int = -1
var _totals: Dictionary = FIGURES.duplicate()


func _notification(what: int) -> void:
	# The engine's class says 3001 "destroyed" for a connection that is not closed.
	if what == NOTIFICATION_PREDELETE and _socket != null:
		_socket.close()


func send(data: PackedByteArray, text: bool) -> Error:
	var before: int = _sent_packets
	var error: Error = super(data, text)
	if _sent_packets != before:
		if _sent_frame != Engine.get_process_frames():
			_sent_frame = Engine.get_process_frames()
			_sent_in_frame = 0
		_sent_in_frame += data.size()
		_totals["bytes_out"] += data.size()
		_totals["packets_out"] += 1
	return error


func _start(address: String, given: Dictionary) -> Error:
	_totals = FIGURES.duplicate()
	_received_at = -1
	_room = maxi(nearest_po2(_largest_message * 4), ROOM_BYTES) - 1
	_socket.inbound_buffer_size = _room
	_socket.max_queued_packets = ROOM_PACKETS
	var tls: TLSOptions = given["tls_options"]
	return _socket.connect_to_url(address, tls)


# In a browser the engine's class drops what does not fit, and does not say so. While what came since the last poll and one message more would
# have fitted, nothing was dropped; what lies behind that may have a hole before it.
func _fetch(_until_usec: int) -> void:
	_socket.poll()
	var in_browser: bool = OS.has_feature("web")
	var count: int = _socket.get_available_packet_count()
	var proven: bool = count < ROOM_PACKETS - 1
	var room: int = _room
	while count > 0 and (not in_browser or room >= _largest_message):
		var packet: PackedByteArray = _socket.get_packet()
		room -= packet.size()
		count -= 1
		_receive(packet)
	if in_browser and (not proven or room < _largest_message):
		_stop(4008, "messages may have been lost while the page slept")
		return
	# One message alone is never too much.
	if (
		waiting_packets() > 1
		and (waiting_bytes() > _limit_bytes or waiting_packets() > _limit_messages)
	):
		_stop(
			4013,
			(
				"more arrived than the game took: %d messages and %d bytes wait"
				% [waiting_packets(), waiting_bytes()]
			)
		)
		return
	var buffered: int = _socket.get_current_outbound_buffered_amount()
	var in_frame: int = 0
	if _sent_frame == Engine.get_process_frames():
		in_frame = mini(_sent_in_frame, buffered)
	_judge(buffered - in_frame, in_frame)
	match _socket.get_ready_state():
		WebSocketPeer.STATE_OPEN when _state == WebSocketPeer.STATE_CONNECTING:
			_enter_open()
		WebSocketPeer.STATE_CLOSED:
			var code: int = _socket.get_close_code()
			_end(code if code >= 0 else LOST, _socket.get_close_reason(), "")


func _receive(packet: PackedByteArray) -> void:
	_incoming.append(packet)
	@warning_ignore("return_value_discarded")
	_texts.append(1 if _socket.was_string_packet() else 0)
	_incoming_bytes += packet.size()
	_totals["bytes_in"] += packet.size()
	_totals["packets_in"] += 1
	_received_at = Time.get_ticks_msec()


func _stop(code: int, words: String) -> void:
	_socket.close(code, words)
	_end(code, words, words)


func _shut(legal_code: int, legal_reason: String) -> void:
	# The engine's class keeps what the browser refused from the start CONNECTING for ever.
	if _opened_at < 0:
		_end(LOST, "", "")
	else:
		_socket.close(legal_code, legal_reason)


func _present_figures() -> Dictionary:
	var found: Dictionary = _totals.duplicate()
	found["last_receive_msec"] = _age(_received_at)
	found["last_packet_msec"] = _age(_received_at)
	found["connected_msec"] = _age(_opened_at)
	return found


func _age(since_msec: int) -> int:
	return -1 if since_msec < 0 else Time.get_ticks_msec() - since_msec
