# gdlint:disable=load-constant-name
extends "multiplayer_base.gd"
## A client of a web export, behind whichever class: one connection, its packets, and the signals in the order in which they are emitted on other
## platforms. Everything changes inside [code]poll()[/code] only, but for what the script itself asks for.

enum Mode { NONE, RAW, MULTIPLAYER }

const _Connection = preload("connection.gd")
const _FormerPeers = preload("former_peers.gd")
const _PacketQueue = preload("packet_queue.gd")
const _Url = preload("url.gd")

const _SERVER: int = 1
## Other clients that a server of the 3.x wire may announce.
const _MOST_OTHERS: int = 65536
## What is received and not taken before the connection is ended, in the gate. A page cannot slow down a sender.
const _CEILING_BYTES: int = 16777216
const _CEILING_PACKETS: int = 65536
## What is received and not taken before no more is fetched from the gate.
const _READABLE_BYTES: int = 1048576
const _READABLE_PACKETS: int = 16384
## Longer pauses between two polls do not count as time: the game did not run.
const _PAUSE_MSEC: int = 1000
const _RAW_MODE: String = (
	"this object is not in multiplayer mode: its packets are at get_peer(id).get_packet() and "
	+ "get_peer(id).put_packet(); pass gd_mp_api = true for a MultiplayerAPI"
)
const _NO_PACKET: String = "there is no packet; ask get_available_packet_count() first"

## If [code]true[/code], the game's code also runs while the tab is hidden: about ten times a second the [MultiplayerAPI] of this object is
## polled, or the object itself if it has none, so that RPCs and signals are handled at once. Only in a web export.
## [br][br]
## A hidden tab runs no frames, so nothing else runs: no [code]_process()[/code], no timers, tweens and physics, and what was queued with
## [method Node.queue_free] and [method Object.call_deferred] waits. That suits a chat, a lobby and a turn-based game. If [code]false[/code] (the
## default), nothing is lost either: the game handles everything, in order, when the tab is shown again.
var run_in_background: bool = false:
	set = set_run_in_background

## If [code]true[/code] (the default), the client offers the server heartbeats that work in a browser, by an item in the query of the URL
## ([code]godot-multiplayer=alive.v1[/code]); servers that do not know it ignore it. Switch it off for a URL that must not change, for example
## because it is signed. Only in a web export.
var offer_alive: bool = true

var _mode: Mode = Mode.NONE
var _status: MultiplayerPeer.ConnectionStatus = MultiplayerPeer.CONNECTION_DISCONNECTED
var _id: int = 0
## Null when there is none and nobody has to be told of its end.
var _connection: _Connection = null
var _handle: _Handle = null
var _packets: _PacketQueue = _PacketQueue.new()
## The other clients of the 3.x wire, each with the number of the last poll in which packets of it became readable.
var _others: Dictionary = {}
## Others that have left, to be told at the next poll.
var _left: PackedInt32Array = PackedInt32Array()
## Peers that the game itself has ended by closing, and that a [MultiplayerAPI] may still list.
var _former: PackedInt32Array = PackedInt32Array()
## Changes with each opening and closing, so that a poll sees that a handler did either.
var _opening: int = 0
var _is_polling: bool = false
var _polls: int = 0
## Whether packets became readable in this poll.
var _is_fresh: bool = false
## Whether the end is to be told at the next poll, because packets became readable in the last one.
var _has_ended: bool = false
var _is_congested: bool = false
var _last_error: String = ""
var _close_code: int = -1
var _close_reason: String = ""

## Milliseconds in which the game has polled.
var _clock: int = 0
var _last_poll: int = 0
## On that clock: when connecting began, when closing began, and since when too much waits. -1: it has not, it does not.
var _connecting_since: int = 0
var _closing_since: int = -1
var _above_since: int = -1
## Totals since the opening.
var _counts: Dictionary = {}


func _notification(what: int) -> void:
	if what == NOTIFICATION_PREDELETE and _connection != null:
		_connection.finish(close_timeout)


func set_run_in_background(enabled: bool) -> void:
	run_in_background = enabled
	_apply()


func get_peer(peer_id: int) -> _Handle:
	if _connection == null or peer_id != _SERVER:
		_report_unknown_peer("get_peer", peer_id)
		return null
	if _handle == null:
		_handle = _Handle.new()
		_handle._connection = _connection
	return _handle


func get_statistics() -> Dictionary:
	var figures: Dictionary = super()
	if _mode == Mode.NONE:
		return figures
	figures.merge(_counts, true)
	if _connection == null:
		return figures
	figures["peers"] = 1 if _status == MultiplayerPeer.CONNECTION_CONNECTED else 0
	figures["pending"] = 1 if _status == MultiplayerPeer.CONNECTION_CONNECTING else 0
	_add_figures(figures)
	return figures


func get_peer_statistics(id: int) -> Dictionary:
	if _connection == null or id != _SERVER or not _connection.is_usable:
		_report_unknown_peer("get_peer_statistics", id)
		return {}
	var queue: _PacketQueue = _connection.messages if _mode == Mode.RAW else _packets
	var figures: Dictionary = _connection.transport.figures()
	return {
		"rtt_msec": _connection.transport.rtt_msec(),
		"bytes_in": figures["bytes_in"],
		"bytes_out": figures["bytes_out"],
		"packets_in": figures["packets_in"],
		"packets_out": figures["packets_out"],
		"queued_in_bytes": queue.bytes + _connection.transport.waiting_bytes(),
		"queued_in_packets": queue.size() + _connection.transport.waiting_packets(),
		"queued_out_bytes": _connection.transport.buffered_bytes(),
		"queued_out_packets": _connection.transport.buffered_packets(),
		"connected_msec": figures["connected_msec"],
		"last_receive_msec": figures["last_receive_msec"],
		"address": _connection.url.ip(),
		"port": _connection.url.port,
		"protocol": _connection.transport.selected_protocol(),
		"path": _connection.url.target,
	}


func get_last_error() -> String:
	return _last_error


func get_close_code() -> int:
	return _close_code


func get_close_reason() -> String:
	return _close_reason


## Starts to connect, or prints why not. [param method] is what the script has called.
func _open(
	method: String,
	text: String,
	protocols: PackedStringArray,
	is_multiplayer: bool,
	tls_options: TLSOptions
) -> Error:
	var where: String = "%s.%s()" % [_name, method]
	if _is_open():
		_Checks.error(where, "already open; call close() first")
		return ERR_ALREADY_IN_USE
	var url: _Url = _Url.new(text)
	var why: String = url.fault
	if why.is_empty():
		why = _Checks.protocols_fault(protocols)
	if not why.is_empty():
		_Checks.error(where, why)
		return ERR_INVALID_PARAMETER
	if url.has_credentials:
		(
			_Checks
			. warn_once(
				"WebSocket: a browser sends no user and password of a URL; put a ticket into its query instead."
			)
		)
	var connection: _Connection = _new_connection(url, is_multiplayer)
	var options: Dictionary = {
		"heartbeat_interval": heartbeat_interval,
		"heartbeat_timeout": heartbeat_timeout,
		"largest_message": _largest_message(),
		"limit_bytes": maxi(_CEILING_BYTES, _input_bytes),
		"limit_messages": maxi(_CEILING_PACKETS, _input_packets),
		# The agreement is part of this wire format.
		"offer_alive": offer_alive and is_multiplayer and wire_format == WIRE_FORMAT_GODOT4,
		"tls_options": tls_options,
	}
	var error: Error = connection.transport.open(url.address, _Checks.trimmed(protocols), options)
	if error != OK:
		_Checks.error(where, 'the browser takes no connection to "%s"' % url.place())
		return error
	_forget()
	_mode = Mode.MULTIPLAYER if is_multiplayer else Mode.RAW
	_connection = connection
	_status = MultiplayerPeer.CONNECTION_CONNECTING
	_last_error = ""
	_close_code = -1
	_close_reason = ""
	_last_poll = Time.get_ticks_msec()
	_connecting_since = _clock
	@warning_ignore("return_value_discarded")
	connection.transport.woken.connect(_on_woken)
	connection.transport.run_while_hidden(run_in_background)
	return OK


## The signals that only one of the classes has.
func _on_established(_protocol: String) -> void:
	pass


func _on_closed(_was_clean: bool) -> void:
	pass


func _on_not_connected() -> void:
	pass


func _on_message() -> void:
	pass


## Whether anybody waits for the signal of [method _on_message].
func _has_message_listeners() -> bool:
	return false


func _on_close_request(_code: int, _reason: String) -> void:
	pass


## The setting to raise for larger packets.
func _output_setting() -> String:
	return ""


func _is_open() -> bool:
	return _status != MultiplayerPeer.CONNECTION_DISCONNECTED


func _apply() -> void:
	if _connection == null or _connection.is_over:
		return
	_connection.unreliable_backlog = unreliable_backlog_kb * 1024
	_connection.set_heartbeat(heartbeat_interval, heartbeat_timeout)
	_connection.transport.run_while_hidden(run_in_background)


func _packets_fault() -> String:
	match _mode:
		Mode.MULTIPLAYER:
			return ""
		Mode.RAW:
			return _RAW_MODE
	return super()


func _report_unknown_peer(method: String, id: int) -> void:
	if _is_open():
		var why: String = "peer %d is not connected; a client's only peer is 1, the server" % id
		_Checks.error("%s.%s()" % [_name, method], why)
	else:
		super(method, id)


func _new_connection(url: _Url, is_multiplayer: bool) -> _Connection:
	var connection: _Connection = _Connection.new()
	connection.transport = _Connection.Transport.new()
	connection.url = url
	connection.is_multiplayer = is_multiplayer
	connection.output_bytes = _output_bytes
	connection.output_packets = _output_packets
	var header: int = _WireFormat.header_size(wire_format) if is_multiplayer else 0
	connection.largest_packet = maxi(_output_bytes - header, 0)
	connection.output_setting = _output_setting()
	connection.unreliable_backlog = unreliable_backlog_kb * 1024
	connection.heartbeat_interval = heartbeat_interval
	connection.heartbeat_timeout = heartbeat_timeout
	return connection


## Forgets what was open. No signal follows.
func _forget() -> void:
	if _connection != null:
		_connection.transport.woken.disconnect(_on_woken)
		_connection.finish(close_timeout)
	if _mode == Mode.MULTIPLAYER:
		if _status == MultiplayerPeer.CONNECTION_CONNECTED:
			@warning_ignore("return_value_discarded")
			_former.push_back(_SERVER)
		_former.append_array(PackedInt32Array(_others.keys()))
	_opening += 1
	_mode = Mode.NONE
	_status = MultiplayerPeer.CONNECTION_DISCONNECTED
	_id = 0
	_connection = null
	_handle = null
	_packets.clear()
	_others.clear()
	_left.clear()
	_counts.clear()
	_has_ended = false
	_is_congested = false
	_closing_since = -1
	_above_since = -1


func _count(figure: String) -> void:
	_counts[figure] = _counts.get(figure, 0) + 1


## Adds what the present connection has counted.
func _add_figures(to: Dictionary) -> void:
	var figures: Dictionary = _connection.transport.figures()
	for name: String in ["bytes_in", "bytes_out", "packets_in", "packets_out", "packets_to_closed"]:
		to[name] = figures[name]
	to["packets_to_closed"] += _connection.packets_to_closed
	to["packets_refused"] = _connection.packets_refused
	to["packets_dropped_unreliable"] = _connection.packets_dropped


func _poll() -> void:
	# Called again by a handler: the poll that is running continues afterwards.
	if _is_polling or _mode == Mode.NONE:
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
	if not _former.is_empty():
		var former: PackedInt32Array = _former
		_former = PackedInt32Array()
		if not _FormerPeers.tell(self, former, _is_still.bind(opening)):
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
	if _has_ended:
		_tell_end(opening)
		return true
	if not _left.is_empty() and not _tell_left(opening):
		return true
	if not _connection.is_over:
		_connection.transport.poll()
	var was_connecting: bool = _status == MultiplayerPeer.CONNECTION_CONNECTING
	if was_connecting and not _poll_connecting(opening):
		return true
	if not _receive(opening) or not _poll_sending(opening):
		return true
	_poll_end(opening)
	return was_connecting or _is_fresh


func _is_still(opening: int) -> bool:
	return _opening == opening


## False: the connection is not usable yet, or not any more.
func _poll_connecting(opening: int) -> bool:
	var transport: _Connection.Transport = _connection.transport
	if _connection.is_over:
		_tell_failure("dropped by the game", opening)
		return false
	if _mode == Mode.RAW and transport.state() == WebSocketPeer.STATE_OPEN:
		return _tell_connected(0, opening)
	if _mode == Mode.MULTIPLAYER and transport.available() > 0:
		var id: int = _WireFormat.client_id(transport.take(), wire_format)
		if id > 0:
			return _tell_connected(id, opening)
		transport.close(1002)
		_count("refused_malformed")
		var why: String = "protocol violation: the server's first message is not a peer id; is it a multiplayer server of this wire_format?"
		_tell_failure(why, opening)
	elif transport.state() == WebSocketPeer.STATE_CLOSED:
		_tell_failure(_words_of_failure(), opening)
	elif _clock - _connecting_since >= handshake_timeout * 1000.0:
		_count("handshakes_timed_out")
		var why: String = "the handshake timed out: %s did not answer within handshake_timeout"
		_tell_failure(why % _connection.url.place(), opening)
	return false


func _words_of_failure() -> String:
	var transport: _Connection.Transport = _connection.transport
	if not transport.last_error().is_empty():
		return transport.last_error()
	if transport.close_code() >= 0 and transport.close_code() != 1006:
		return _words_of_close(transport.close_code(), transport.close_reason())
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
	var transport: _Connection.Transport = connection.transport
	var queue: _PacketQueue = connection.messages if _mode == Mode.RAW else _packets
	var most_bytes: int = maxi(_READABLE_BYTES, _input_bytes)
	var most_packets: int = maxi(_READABLE_PACKETS, _input_packets)
	var has_listeners: bool = false
	var knows_listeners: bool = false
	while transport.available() > 0:
		if queue.bytes >= most_bytes or queue.size() >= most_packets:
			_count("reads_paused")
			break
		var message: PackedByteArray = transport.take()
		# The game does not want what comes after it has begun to close.
		if connection.is_closing or connection.is_over:
			continue
		var source: int = _SERVER
		if _mode == Mode.MULTIPLAYER:
			if wire_format == WIRE_FORMAT_GODOT3:
				var type: int = _WireFormat.type_of(message)
				if type != _WireFormat.PACKET:
					if type != _WireFormat.NONE and not _hear_of_another(type, message, opening):
						return false
					knows_listeners = false
					continue
				source = _WireFormat.sender_of(message)
				if source != _SERVER and not _others.has(source):
					continue
				message = _WireFormat.packet_of(message)
			# Nothing can be made of an empty packet, and it would end the poll of a MultiplayerAPI.
			if message.is_empty():
				continue
			if source != _SERVER:
				_others[source] = _polls
		queue.push(message, source, transport.took_string())
		_is_fresh = true
		# Looked up once: most games never connect to a signal per packet.
		if not knows_listeners:
			knows_listeners = true
			has_listeners = (
				_has_message_listeners()
				if _mode == Mode.RAW
				else not peer_packet.get_connections().is_empty()
			)
		if has_listeners:
			if _mode == Mode.RAW:
				_on_message()
			else:
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
		if _others[id] == _polls:
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


## Congestion, and who does not keep up. False: a handler has closed the object.
func _poll_sending(opening: int) -> bool:
	var connection: _Connection = _connection
	if not connection.is_open():
		return true
	var waiting: int = connection.transport.buffered_bytes()
	if connection.transport.is_congested():
		if not _is_congested and waiting * 2 > _output_bytes:
			_is_congested = true
			peer_congested.emit(_SERVER)
	elif _is_congested and waiting == 0:
		_is_congested = false
		peer_drained.emit(_SERVER)
	if _opening != opening or not connection.is_open():
		return _opening == opening
	var is_above: bool = (
		connection.transport.is_congested()
		and _mode == Mode.MULTIPLAYER
		and overflow_policy == OVERFLOW_DISCONNECT
		and connection.is_above_limits()
	)
	if not is_above:
		_above_since = -1
	elif _above_since < 0:
		_above_since = _clock
	var is_too_long: bool = is_above and _clock - _above_since >= overflow_grace * 1000.0
	if is_too_long or connection.has_overflowed:
		return _overflow(opening)
	if (
		write_timeout > 0.0
		and connection.transport.stalled_msec() >= minf(write_timeout * 1000.0, 1e15)
	):
		_count("peers_timed_out")
		connection.fault = "the remote took no data within write_timeout"
		connection.drop()
	return true


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
	if _is_fresh or not _left.is_empty():
		_has_ended = true
	else:
		_tell_end(opening)


## The transport is done.
func _note_close() -> void:
	var transport: _Connection.Transport = _connection.transport
	var code: int = transport.close_code()
	_connection.is_over = true
	if code >= 0 and code != 1006 and _connection.fault.is_empty():
		_connection.close_code = code
		_connection.close_reason = transport.close_reason()
	if not _connection.fault.is_empty():
		return
	_connection.fault = transport.last_error()
	if _connection.fault.is_empty():
		_connection.fault = (
			_words_of_close(code, _connection.close_reason)
			if _connection.is_clean()
			else "the connection was lost; a browser does not say why"
		)


func _tell_connected(id: int, opening: int) -> bool:
	_connection.is_usable = true
	_status = MultiplayerPeer.CONNECTION_CONNECTED
	_id = id
	if _mode == Mode.RAW:
		_on_established(_connection.transport.selected_protocol())
		return _opening == opening
	peer_connected.emit(_SERVER)
	if _opening == opening:
		connection_succeeded.emit()
	return _opening == opening


func _tell_failure(why: String, opening: int) -> void:
	_count("handshakes_refused")
	_last_error = why
	_status = MultiplayerPeer.CONNECTION_DISCONNECTED
	_connection.finish(close_timeout)
	_connection.is_over = true
	if _mode == Mode.RAW:
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
	if _mode == Mode.RAW:
		_on_closed(connection.is_clean())
	else:
		peer_disconnected.emit(_SERVER)
		if _opening == opening:
			server_disconnected.emit()
	if _opening == opening:
		_release()


## The end was told: the figures stay, the connection goes. What the game has not taken stays readable.
func _release() -> void:
	_add_figures(_counts)
	_connection.transport.woken.disconnect(_on_woken)
	_connection = null
	_handle = null


## The page is hidden and [member run_in_background] is set.
func _on_woken() -> void:
	var is_polled: bool = false
	for api: MultiplayerAPI in _FormerPeers.apis_of(self):
		is_polled = true
		var tree: SceneTree = Engine.get_main_loop() as SceneTree
		# Otherwise the game polls by itself, in its own time.
		if tree == null or tree.multiplayer_poll:
			@warning_ignore("return_value_discarded")
			api.poll()
	if not is_polled:
		poll()


func _close() -> void:
	_forget()


func _disconnect_peer(peer: int, force: bool) -> void:
	if _connection == null or peer != _SERVER or not _is_open():
		_report_unknown_peer("disconnect_peer", peer)
	elif not force:
		_connection.close(1000, "")
		_packets.clear()
	else:
		_status = MultiplayerPeer.CONNECTION_DISCONNECTED
		_connection.finish(close_timeout)
		_packets.clear()
		_others.clear()
		_left.clear()
		_opening += 1
		_release()


func _get_available_packet_count() -> int:
	return _packets.size() if _mode == Mode.MULTIPLAYER else 0


func _get_packet_script() -> PackedByteArray:
	if _mode != Mode.MULTIPLAYER:
		return super()
	if _packets.is_empty():
		_Checks.error(_name + ".get_packet()", _NO_PACKET)
		return PackedByteArray()
	return _packets.take()


func _get_packet_peer() -> int:
	if _mode != Mode.MULTIPLAYER:
		return super()
	if _packets.is_empty():
		_Checks.error(_name + ".get_packet_peer()", _NO_PACKET)
		return _SERVER
	return _packets.source()


# So that what the server relays stays droppable.
func _get_packet_mode() -> MultiplayerPeer.TransferMode:
	if not _packets.is_empty() and _WireFormat.is_state_sync(_packets.peek()):
		return MultiplayerPeer.TRANSFER_MODE_UNRELIABLE
	return MultiplayerPeer.TRANSFER_MODE_RELIABLE


func _put_packet_script(buffer: PackedByteArray) -> Error:
	var where: String = _name + ".put_packet()"
	var why: String = _packets_fault()
	if why.is_empty() and _status != MultiplayerPeer.CONNECTION_CONNECTED:
		why = "not connected yet; wait for peer_connected"
	if not why.is_empty():
		_Checks.error(where, why)
		return ERR_UNCONFIGURED
	if buffer.is_empty():
		_Checks.error(where, "an empty packet cannot be sent in multiplayer mode")
		return ERR_INVALID_PARAMETER
	if buffer.size() > _connection.largest_packet:
		_Checks.error(where, _connection.too_large(buffer.size()))
		return ERR_OUT_OF_MEMORY
	if (
		wire_format == WIRE_FORMAT_GODOT3
		and _target > _SERVER
		and not _others.has(_target)
		and not _former.has(_target)
	):
		why = "there is no peer %d; call set_target_peer() with a connected one, 0 or -id" % _target
		_Checks.error(where, why)
		return ERR_INVALID_PARAMETER
	var when_full: _Connection.WhenFull = _Connection.WhenFull.CLOSE
	if _transfer_mode != MultiplayerPeer.TRANSFER_MODE_RELIABLE:
		when_full = _Connection.WhenFull.DROP
	elif overflow_policy == OVERFLOW_REFUSE:
		when_full = _Connection.WhenFull.REFUSE
	var message: PackedByteArray = _WireFormat.encode(buffer, wire_format, _id, _target)
	match _connection.send(message, false, when_full):
		_Connection.Outcome.SENT, _Connection.Outcome.DROPPED:
			return OK
		_Connection.Outcome.CLOSED:
			return FAILED
	return ERR_OUT_OF_MEMORY


func _get_connection_status() -> MultiplayerPeer.ConnectionStatus:
	return _status


func _get_unique_id() -> int:
	return _id
