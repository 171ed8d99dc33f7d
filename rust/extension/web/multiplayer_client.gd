# gdlint:disable=load-constant-name
extends "client_state.gd"
## A client of a web export, behind whichever class: what it tells the game in [code]poll()[/code], in the order in which it is told on other
## platforms. Everything changes there, but for what the script itself asks for.

## Other clients that a server of the 3.x wire may announce.
const _MOST_OTHERS: int = 65536
## What is received and not taken before no more is fetched from the gate.
const _READABLE_BYTES: int = 1048576
const _READABLE_PACKETS: int = 16384
## Longer pauses between two polls do not count as time: the game did not run.
const _PAUSE_MSEC: int = 1000
## Who takes this part of the output buffer keeps up.
const _CATCHING_UP: float = 8.0
## Milliseconds: before that, silence would tell of a lost connection.
const _SESSION_GRACE: float = 5000.0

var _is_polling: bool = false
var _polls: int = 0
## Whether the client became connected in this poll, or packets became readable. A [MultiplayerAPI] asks for the status behind each poll, and the game
## takes the packets then, so the end is told in the next one.
var _is_fresh: bool = false
## Whether the game had no time for all of them in the last frame: until it had, nothing is told that comes behind them.
var _was_cut: bool = false
## What waited when [member _above_since] was set, what was to be sent again before it, and what had left.
var _above_bytes: int = 0
var _above_again: int = 0
var _above_left: int = 0


func _poll() -> void:
	# Called again by a handler: the poll that is running continues afterwards.
	if _is_polling or _mode == _Mode.NONE:
		return
	_is_polling = true
	var started: int = Time.get_ticks_usec()
	var before: int = _opening
	if _poll_open() and _opening == before:
		_counts["poll_usec"] = _counts.get("poll_usec", 0) + Time.get_ticks_usec() - started
	_is_polling = false


## Whether there was something to do.
func _poll_open() -> bool:
	var opening: int = _opening
	if not _former.is_empty() and not _tell_former(opening):
		return true
	if _connection == null:
		return false
	_polls += 1
	_is_fresh = false
	var now: int = Time.get_ticks_msec()
	_clock += mini(now - _last_poll, _PAUSE_MSEC)
	if now - _last_poll > _PAUSE_MSEC:
		_above_since = -1
	_last_poll = now
	_was_cut = _is_cut
	_is_cut = false
	_share_until = -1
	if _has_ended:
		if not _was_cut:
			_tell_end(opening)
		return true
	if not _was_cut and not _left.is_empty() and not _tell_left(opening):
		return true
	if not _connection.is_over:
		_connection.transport.poll()
		# Most frames of most games.
		if not _is_congested and _connection.is_idle() and _transport.changes == _told_changes:
			_above_since = -1
			return false
	var was_connecting: bool = _status == MultiplayerPeer.CONNECTION_CONNECTING
	if was_connecting and not _poll_connecting(opening):
		return true
	if not _receive(opening) or not _poll_session(opening) or not _poll_sending(opening):
		return true
	_poll_end(opening)
	return was_connecting or _is_fresh


## False: a handler has closed the object; the next poll tells the rest.
func _tell_former(opening: int) -> bool:
	_leaving = _former_handle
	var is_still: bool = _FormerPeers.tell(self, _former, _is_still.bind(opening))
	_leaving = null
	if is_still:
		_former = PackedInt32Array()
		_former_handle = null
	return is_still


func _is_still(opening: int) -> bool:
	return _opening == opening


## False: the connection is not usable yet, or not any more.
func _poll_connecting(opening: int) -> bool:
	var transport: _Connection.Transport = _connection.transport
	if _connection.is_over:
		_tell_failure("dropped by the game", opening)
		return false
	if _mode == _Mode.RAW and _was_opened(transport):
		return _tell_connected(0, opening)
	if _mode == _Mode.MULTIPLAYER and transport.available() > 0:
		var id: int = _WireFormat.client_id(transport.take(), wire_format)
		if id > 0:
			return _tell_connected(id, opening)
		transport.close(1002)
		_count("refused_malformed")
		var why: String = "protocol violation: the server's first message is not a peer id; is it a multiplayer server of this wire_format?"
		_tell_failure(why, opening)
	elif transport.state() == WebSocketPeer.STATE_CLOSED:
		_connection.note_close_frame()
		_tell_failure(_words_of_failure(), opening)
	elif _clock - _connecting_since >= handshake_timeout * 1000.0:
		_count("handshakes_timed_out")
		var why: String = "the handshake timed out: %s did not answer within handshake_timeout"
		_tell_failure(why % _connection.url.place(), opening)
	return false


## A server may have closed the connection since the last poll, right after it was open.
func _was_opened(transport: _Connection.Transport) -> bool:
	if transport.state() == WebSocketPeer.STATE_CLOSED:
		return transport.close_code() >= 0 or transport.figures()["connected_msec"] >= 0
	return transport.state() == WebSocketPeer.STATE_OPEN


func _words_of_failure() -> String:
	if _connection.is_clean():
		return _words_of_close(_connection.close_code, _connection.close_reason)
	if not _connection.transport.last_error().is_empty():
		return _connection.transport.last_error()
	var why: String = "no connection to %s: nobody listens there, the server refused it, or its certificate is not trusted; a browser does not say which"
	return why % _connection.url.place()


func _words_of_close(code: int, reason: String) -> String:
	var words: String = "closed by the remote with code %d" % code
	if _connection.is_closing:
		words = "closed here with code %d" % code
	return words if reason.is_empty() else "%s (%s)" % [words, reason.c_escape()]


## Fetches what has arrived, as far as the game takes it. False: a handler has closed the object.
func _receive(opening: int) -> bool:
	var connection: _Connection = _connection
	if connection.is_over:
		return true
	# The game does not want what comes after it has begun to close.
	if connection.is_closing:
		@warning_ignore("return_value_discarded")
		connection.transport.take_all()
		return true
	var messages: _Connection.PacketQueue = connection.messages
	if _is_full(messages.bytes + _packets.bytes, messages.size() + _packets.size()):
		return true
	if _mode == _Mode.RAW:
		return _receive_messages(opening)
	var is_bare: bool = wire_format == WIRE_FORMAT_GODOT4
	if is_bare and peer_packet.get_connections().is_empty():
		_receive_batch()
		return true
	var is_still: bool = _receive_packets(opening)
	_behind = _packets.behind
	return is_still


## Whether no more is fetched before the game takes some of what was.
func _is_full(bytes: int, packets: int) -> bool:
	if (
		bytes < maxi(_READABLE_BYTES, _input_bytes)
		and packets < maxi(_READABLE_PACKETS, _input_packets)
	):
		return false
	if _connection.transport.available() > 0:
		_count("reads_paused")
	return true


func _receive_messages(opening: int) -> bool:
	var connection: _Connection = _connection
	var transport: _Connection.Transport = connection.transport
	var has_listeners: bool = _has_message_listeners()
	while transport.available() > 0:
		var message: PackedByteArray = transport.take()
		# A handler has begun to close.
		if connection.is_closing or connection.is_over:
			continue
		connection.messages.push(message, transport.took_string())
		_is_fresh = true
		if has_listeners:
			_on_message()
			if _opening != opening:
				return false
	return true


## The usual case, without a line of script for each packet.
func _receive_batch() -> void:
	var transport: _Connection.Transport = _connection.transport
	var bytes: int = transport.fetched_bytes()
	var batch: Array[PackedByteArray] = transport.take_all()
	# Nothing can be made of an empty packet, and it would end the poll of a MultiplayerAPI.
	while batch.has(PackedByteArray()):
		batch.erase(PackedByteArray())
	if batch.is_empty():
		return
	_packets.add(batch, bytes, _SERVER)
	_behind = _packets.behind
	_has_share = true
	_is_fresh = true


## Packets of which a handler is told, or with a header.
func _receive_packets(opening: int) -> bool:
	var connection: _Connection = _connection
	var transport: _Connection.Transport = connection.transport
	var has_listeners: bool = not peer_packet.get_connections().is_empty()
	_has_share = false
	while transport.available() > 0:
		var message: PackedByteArray = transport.take()
		if connection.is_closing or connection.is_over:
			continue
		var source: int = _SERVER
		if wire_format == WIRE_FORMAT_GODOT3:
			var type: int = _WireFormat.type_of(message)
			if type != _WireFormat.PACKET:
				if type != _WireFormat.NONE and not _hear_of_another(type, message, opening):
					return false
				has_listeners = not peer_packet.get_connections().is_empty()
				continue
			source = _WireFormat.sender_of(message)
			if source != _SERVER and not _others.has(source):
				continue
			message = _WireFormat.packet_of(message)
		# As in a batch.
		if message.is_empty():
			continue
		if source != _SERVER:
			_others[source] = _polls
		_packets.push(message, source)
		_behind = _packets.behind
		_is_fresh = true
		if has_listeners:
			peer_packet.emit(source)
			if _opening != opening:
				return false
	return true


## 3.x wire: another client has come or left. False: a handler has closed the object.
func _hear_of_another(type: int, message: PackedByteArray, opening: int) -> bool:
	var id: int = _WireFormat.peer_of(message)
	if type == _WireFormat.JOINED and id > _SERVER and id != _id and not _others.has(id):
		if _others.size() >= _MOST_OTHERS:
			_count("peers_violated")
			_connection.fault = (
				"protocol violation: the server tells of more than %d peers" % _MOST_OTHERS
			)
			_connection.close(1008, "")
			return true
		_others[id] = 0
		peer_connected.emit(id)
	elif type == _WireFormat.LEFT and _others.has(id):
		# After its last packet was readable for a whole poll.
		if _others[id] == _polls or _was_cut:
			@warning_ignore("return_value_discarded")
			_left.push_back(id)
			return true
		@warning_ignore("return_value_discarded")
		_others.erase(id)
		peer_disconnected.emit(id)
	return _opening == opening


func _tell_left(opening: int) -> bool:
	var left: PackedInt32Array = _left
	_left = PackedInt32Array()
	for id: int in left:
		if _others.erase(id):
			peer_disconnected.emit(id)
			if _opening != opening:
				return false
	return true


## Tells of a connection that was lost, and of one in its place; of more than one of each that a hidden page has missed, once. False: a
## handler has closed the object.
func _poll_session(opening: int) -> bool:
	var changes: int = _transport.changes
	if changes == _told_changes or not _connection.is_open():
		return true
	var is_told: bool = _told_changes & 1 == 1
	var is_lost: bool = changes & 1 == 1
	_told_changes = changes
	_sure_room = 0
	_above_since = -1
	if is_told:
		peer_resumed.emit(_SERVER)
	if _opening == opening and (is_lost or not is_told):
		peer_suspended.emit(_SERVER)
	if _opening == opening and not is_lost and not is_told:
		peer_resumed.emit(_SERVER)
	return _opening == opening


## Congestion, and who does not keep up. False: a handler has closed the object.
func _poll_sending(opening: int) -> bool:
	var connection: _Connection = _connection
	if not connection.is_open():
		return true
	var waiting: int = connection.transport.buffered_bytes()
	if connection.transport.is_congested():
		_sure_room = 0
		if not _is_congested and waiting * 2 > _output_bytes:
			_is_congested = true
			peer_congested.emit(_SERVER)
	elif _is_congested and connection.transport.is_drained():
		_is_congested = false
		peer_drained.emit(_SERVER)
	if _opening != opening or not connection.is_open():
		return _opening == opening
	var is_above: bool = (
		connection.transport.is_congested()
		and _mode == _Mode.MULTIPLAYER
		and overflow_policy == OVERFLOW_DISCONNECT
		and connection.is_above_limits()
	)
	if not is_above:
		_above_since = -1
	elif _above_since < 0 or _catches_up(connection.transport):
		_above_since = _clock
		_above_bytes = waiting
		_above_again = connection.transport.again_bytes()
		_above_left = connection.transport.left_bytes()
	var grace: float = overflow_grace * 1000.0
	if connection.transport.has_session:
		grace = maxf(grace, _SESSION_GRACE)
	if connection.has_overflowed:
		return _overflow(opening)
	if is_above and _clock - _above_since >= grace:
		# Who says nothing either has lost its connection.
		if (
			connection.transport.figures()["last_receive_msec"] < grace
			or not connection.transport.reconnect()
		):
			return _overflow(opening)
		_above_since = -1
	if (
		write_timeout > 0.0
		and connection.transport.stalled_msec() >= minf(write_timeout * 1000.0, 1e15)
	):
		if not connection.transport.reconnect():
			_count("peers_timed_out")
			connection.fault = "the remote took no data within write_timeout"
			connection.drop()
	return true


## Whether everything that waited has left, even if more was sent since, or what waits has shrunk. What is sent again comes first, so only that can
## shrink meanwhile.
func _catches_up(transport: _Connection.Transport) -> bool:
	var enough: float = _output_bytes / _CATCHING_UP
	var again: int = transport.again_bytes()
	return (
		transport.left_bytes() - _above_left >= maxi(1, _above_bytes + _above_again)
		or (_above_again > 0 and (again == 0 or _above_again - again >= enough))
		or _above_bytes - transport.buffered_bytes() >= enough
	)


func _overflow(opening: int) -> bool:
	var transport: _Connection.Transport = _connection.transport
	var text: String = (
		(
			"WebSocket: peer 1 (%s) does not take its packets: closing it with 4013, "
			+ "up to %d packets (%d bytes) are not delivered; "
			+ "raise %s or overflow_grace if this is a healthy peer"
		)
		% [
			_connection.url.place(),
			transport.buffered_packets(),
			transport.buffered_bytes(),
			_output_setting()
		]
	)
	push_warning(text)
	_count("peers_overflowed")
	_connection.fault = "the remote did not take its packets fast enough"
	_connection.close(1013, "")
	peer_overflowed.emit(_SERVER)
	return _opening == opening


func _poll_end(opening: int) -> void:
	var connection: _Connection = _connection
	if not connection.is_over:
		if connection.transport.state() == WebSocketPeer.STATE_CLOSED:
			_note_close()
		elif connection.is_closing:
			if _closing_since < 0:
				_closing_since = _clock
			if _clock - _closing_since < close_timeout * 1000.0:
				return
			_count("peers_timed_out")
			connection.fault = "the remote did not answer the close within close_timeout"
			connection.drop()
		else:
			return
	var is_asked: bool = not connection.is_closing and connection.is_clean()
	if is_asked:
		_on_close_request(connection.close_code, connection.close_reason)
		if _opening != opening:
			return
	if _is_fresh or _was_cut or not _left.is_empty():
		_has_ended = true
	else:
		_tell_end(opening)


## The transport is done.
func _note_close() -> void:
	var connection: _Connection = _connection
	connection.is_over = true
	if not connection.fault.is_empty():
		return
	connection.fault = connection.transport.last_error()
	if connection.transport.has_timed_out():
		_count("peers_timed_out")
	if connection.has_stopped():
		_count("peers_violated")
		return
	connection.note_close_frame()
	if connection.is_clean():
		connection.fault = _words_of_close(connection.close_code, connection.close_reason)
	elif connection.fault.is_empty():
		connection.fault = "the connection was lost; a browser does not say why"


func _tell_connected(id: int, opening: int) -> bool:
	_connection.is_usable = true
	_is_fresh = true
	_status = MultiplayerPeer.CONNECTION_CONNECTED
	_id = id
	if _mode == _Mode.RAW:
		_on_established(_connection.transport.selected_protocol())
		return _opening == opening
	peer_connected.emit(_SERVER)
	if _opening == opening:
		connection_succeeded.emit()
	return _opening == opening


func _tell_failure(why: String, opening: int) -> void:
	_count("handshakes_refused")
	_last_error = why
	_close_code = _connection.close_code
	_close_reason = _connection.close_reason
	_status = MultiplayerPeer.CONNECTION_DISCONNECTED
	_connection.finish(close_timeout)
	_connection.is_over = true
	if _mode == _Mode.RAW:
		_on_not_connected()
	else:
		connection_failed.emit()
	if _opening == opening:
		_release()


func _tell_end(opening: int) -> void:
	var connection: _Connection = _connection
	var words: String = "dropped by the game" if connection.fault.is_empty() else connection.fault
	_last_error = words
	_close_code = connection.close_code
	_close_reason = connection.close_reason
	_status = MultiplayerPeer.CONNECTION_DISCONNECTED
	_has_ended = false
	for id: int in _others.keys():
		@warning_ignore("return_value_discarded")
		_others.erase(id)
		peer_disconnected.emit(id)
		if _opening != opening:
			return
	if _mode == _Mode.RAW:
		_on_closed(connection.is_clean())
	else:
		peer_disconnected.emit(_SERVER)
		if _opening == opening:
			server_disconnected.emit()
	if _opening == opening:
		_release()
