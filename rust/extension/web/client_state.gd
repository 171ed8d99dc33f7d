# gdlint:disable=load-constant-name,enum-name
extends "multiplayer_base.gd"
## What a client of a web export has and answers: its connection, how it opens and closes, and its packets. What happens in
## [code]poll()[/code] is in multiplayer_client.gd.

enum _Mode { NONE, RAW, MULTIPLAYER }

const _Connection = preload("connection.gd")
const _FormerPeers = preload("former_peers.gd")
const _ReceivedPackets = preload("received_packets.gd")
const _Url = preload("url.gd")

const _SERVER: int = 1
const _COMPRESSIONS: Array[String] = ["", "shared", "dedicated"]
## What is received and not taken before the connection is ended, in the gate. A page cannot slow down a sender.
const _CEILING_BYTES: int = 16777216
const _CEILING_PACKETS: int = 65536
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

## If [code]true[/code], the client asks the server for a session that survives the loss of the connection. The server decides with
## [code]resume_timeout[/code]. A change applies to the next connection.
## [br][br]
## [b]Web:[/b] [code]false[/code] by default. The client asks with one more item in the query of the URL
## ([code]godot-multiplayer=resume.v1[/code]), and only if [member offer_alive] is [code]true[/code] too. A page that forbids [code]eval[/code] and
## has not loaded [code]gate_session.js[/code] cannot have a session; one warning says so.
var resume_enabled: bool = false:
	get = is_resume_enabled,
	set = set_resume_enabled

var _mode: _Mode = _Mode.NONE
var _status: MultiplayerPeer.ConnectionStatus = MultiplayerPeer.CONNECTION_DISCONNECTED
var _id: int = 0
## Null when there is none and nobody has to be told of its end.
var _connection: _Connection = null
var _handle: _Handle = null
var _packets: _ReceivedPackets = _ReceivedPackets.new()
## The other clients of the 3.x wire, each with the number of the last poll in which packets of it became readable.
var _others: Dictionary = {}
## Others that have left, to be told at the next poll.
var _left: PackedInt32Array = PackedInt32Array()
## Peers that the game itself has ended by closing, and that a [MultiplayerAPI] may still list.
var _former: PackedInt32Array = PackedInt32Array()
## The handle of the server among them, and the same while their end is told.
var _former_handle: _Handle = null
var _leaving: _Handle = null
## Changes with each opening and closing, so that a poll sees that a handler did either.
var _opening: int = 0
## Whether the end is to be told at the next poll, because packets became readable in the last one.
var _has_ended: bool = false
var _is_congested: bool = false
## The losses and returns of the connection that were told.
var _told_changes: int = 0
var _last_error: String = ""
var _close_code: int = -1
var _close_reason: String = ""

# What follows is asked for with each packet of a MultiplayerAPI. A call or a look into another object for each would take longer.
## The packets that can be taken next, those of [member _packets].
var _next: Array[PackedByteArray] = _packets.next
## Those behind them.
var _behind: int = 0
## Whether the game gets a share of the time of each frame to take them; when it is over, in microseconds (-1: it begins with the first
## packets); and whether it was over before all were taken.
var _has_share: bool = false
var _share_until: int = -1
var _is_cut: bool = false
## That of [member _connection], and how many packets it takes without another look.
var _transport: _Connection.Transport = null
var _sure_room: int = 0

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


func set_resume_enabled(enabled: bool) -> void:
	resume_enabled = enabled


func is_resume_enabled() -> bool:
	return resume_enabled


## Drops the connection to the server and comes back on a new one at once, for a game that knows that its network has changed. Returns [constant
## @GlobalScope.ERR_UNAVAILABLE] if the server has given no session.
## [br][br]
## [b]Web:[/b] seldom needed: the client notices by itself that the page is shown again, and that the browser is online again.
func reconnect() -> Error:
	if _transport != null and _transport.reconnect():
		return OK
	var why: String = "the server has given no session; it has to set resume_timeout, and this client resume_enabled"
	_Checks.error(_name + ".reconnect()", why)
	return ERR_UNAVAILABLE


## Returns [code]true[/code] while the client has lost its connection and tries to come back.
func is_suspended() -> bool:
	return _transport != null and _transport.is_suspended()


func get_peer(peer_id: int) -> _Handle:
	if _leaving != null and peer_id == _SERVER:
		return _leaving
	if _connection == null or peer_id != _SERVER:
		_report_unknown_peer("get_peer", peer_id)
		return null
	return _present_handle()


func get_statistics() -> Dictionary:
	var figures: Dictionary = super()
	if _mode == _Mode.NONE:
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
	var queued_bytes: int = _packets.total_bytes() + _connection.messages.bytes
	var queued_packets: int = _packets.size() + _connection.messages.size()
	var figures: Dictionary = _connection.figures()
	return {
		"rtt_msec": _connection.transport.rtt_msec(),
		"bytes_in": figures["bytes_in"],
		"bytes_out": figures["bytes_out"],
		"packets_in": figures["packets_in"],
		"packets_out": figures["packets_out"],
		"compression": _COMPRESSIONS[figures["compression"]],
		"deflated_out_bytes": 0,
		"compressed_out_bytes": 0,
		"compressed_in_bytes": 0,
		"inflated_in_bytes": 0,
		"queued_in_bytes": queued_bytes + _connection.transport.waiting_bytes(),
		"queued_in_packets": queued_packets + _connection.transport.waiting_packets(),
		"queued_out_bytes": _connection.transport.buffered_bytes(),
		"queued_out_packets": _connection.transport.buffered_packets(),
		"connected_msec": figures["connected_msec"],
		"last_receive_msec": figures["last_receive_msec"],
		"last_packet_msec": figures["last_packet_msec"],
		"suspended": figures["suspended"],
		"resumes": figures["resumes"],
		"unacked_bytes": figures["unacked_bytes"],
		"unacked_packets": figures["unacked_packets"],
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
	# The agreements are part of this wire format.
	var has_offers: bool = is_multiplayer and wire_format == WIRE_FORMAT_GODOT4
	var options: Dictionary = {
		"heartbeat_interval": heartbeat_interval,
		"heartbeat_timeout": heartbeat_timeout,
		"attempt_timeout": handshake_timeout,
		"largest_message": _largest_message(),
		"limit_bytes": maxi(_CEILING_BYTES, _input_bytes),
		"limit_messages": maxi(_CEILING_PACKETS, _input_packets),
		"offer_alive": has_offers and offer_alive,
		"offer_resume": has_offers and resume_enabled and _can_resume(),
		"kept_bytes": connection.most_bytes(),
		"kept_messages": mini(connection.most_packets(), _CEILING_PACKETS),
		"tls_options": tls_options,
	}
	var error: Error = connection.transport.open(url.address, _Checks.trimmed(protocols), options)
	if error != OK:
		_Checks.error(where, 'the browser takes no connection to "%s"' % url.place())
		return error
	_forget()
	_mode = _Mode.MULTIPLAYER if is_multiplayer else _Mode.RAW
	_connection = connection
	_transport = connection.transport
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


## Whether a session can be asked for; says why not.
func _can_resume() -> bool:
	var why: String = ""
	if not offer_alive:
		why = "it needs offer_alive"
	elif not _Connection.can_resume():
		why = "this page forbids eval and has not loaded gate_session.js, gate_page.js and gate.js"
	if not why.is_empty():
		_Checks.warn_once("WebSocket: resume_enabled has no effect: %s." % why)
	return why.is_empty()


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
		_Mode.MULTIPLAYER:
			return ""
		_Mode.RAW:
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
	connection.transport = _Connection.new_transport()
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
	if _mode == _Mode.MULTIPLAYER:
		# One that is told of the end of its connection, or was, is not connected any more.
		if _status != MultiplayerPeer.CONNECTION_CONNECTING:
			@warning_ignore("return_value_discarded")
			_former.push_back(_SERVER)
			_former_handle = null if _connection == null else _present_handle()
		_former.append_array(PackedInt32Array(_others.keys()))
	_opening += 1
	_leaving = null
	_mode = _Mode.NONE
	_status = MultiplayerPeer.CONNECTION_DISCONNECTED
	_id = 0
	_let_go()
	_clear_packets()
	_others.clear()
	_left.clear()
	_counts.clear()
	_has_ended = false
	_is_congested = false
	_told_changes = 0
	_closing_since = -1
	_above_since = -1


func _count(figure: String) -> void:
	_counts[figure] = _counts.get(figure, 0) + 1


## Adds what the present connection has counted.
func _add_figures(to: Dictionary) -> void:
	var figures: Dictionary = _connection.figures()
	for name: String in ["bytes_in", "bytes_out", "packets_in", "packets_out", "packets_to_closed"]:
		to[name] = figures[name]
	to["packets_to_closed"] += _connection.packets_to_closed
	to["packets_refused"] = _connection.packets_refused
	to["packets_dropped_unreliable"] = _connection.packets_dropped + figures["packets_dropped"]
	to["peers_suspended"] = figures["suspended"]
	to["sessions_resumed"] = figures["resumes"]


## The end was told: the figures stay, the connection goes. What the game has not taken stays readable.
func _release() -> void:
	_add_figures(_counts)
	_connection.transport.woken.disconnect(_on_woken)
	_let_go()


func _present_handle() -> _Handle:
	if _handle == null:
		_handle = _Handle.new()
		_handle._connection = _connection
	return _handle


func _let_go() -> void:
	_connection = null
	_transport = null
	_sure_room = 0
	_handle = null


func _clear_packets() -> void:
	_packets.clear()
	_behind = 0
	_is_cut = false


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
		_clear_packets()
	else:
		_status = MultiplayerPeer.CONNECTION_DISCONNECTED
		_connection.finish(close_timeout)
		_clear_packets()
		_others.clear()
		_left.clear()
		_opening += 1
		_release()


func _get_available_packet_count() -> int:
	var count: int = _next.size()
	return count + _behind if count > 0 else _count_in_time()


func _get_packet_script() -> PackedByteArray:
	if _next.is_empty() and not _has_next("get_packet"):
		return PackedByteArray()
	return _next.pop_back()


func _get_packet_peer() -> int:
	if _next.is_empty() and not _has_next("get_packet_peer"):
		return _SERVER
	return _SERVER if wire_format == WIRE_FORMAT_GODOT4 else _packets.next_sender()


# So that what the server relays stays droppable.
func _get_packet_mode() -> MultiplayerPeer.TransferMode:
	if _next.is_empty() and _behind > 0:
		_fill_next()
	# Two bits rule out nearly all of them without a call.
	if not _next.is_empty() and _next[-1][0] & 6 == 6 and _WireFormat.is_state_sync(_next[-1]):
		return MultiplayerPeer.TRANSFER_MODE_UNRELIABLE
	return MultiplayerPeer.TRANSFER_MODE_RELIABLE


## Packets for a game that takes all there are. It has had enough when its share of the time of a frame is over.
func _count_in_time() -> int:
	if _behind == 0:
		return 0
	if _has_share and _transport != null:
		var now: int = Time.get_ticks_usec()
		if _share_until < 0:
			_share_until = now + _transport.share_usec()
		elif now >= _share_until:
			_is_cut = true
			return 0
	_fill_next()
	return _next.size() + _behind


## Whether there is a packet; prints a line otherwise.
func _has_next(method: String) -> bool:
	if _behind > 0:
		_fill_next()
		return true
	var why: String = _NO_PACKET if _mode == _Mode.MULTIPLAYER else _packets_fault()
	_Checks.error("%s.%s()" % [_name, method], why)
	return false


func _fill_next() -> void:
	_packets.fill_next()
	_behind = _packets.behind


func _put_packet_script(buffer: PackedByteArray) -> Error:
	if _sure_room > 0 and not buffer.is_empty() and buffer.size() <= _output_bytes:
		_sure_room -= 1
		if _transfer_mode != MultiplayerPeer.TRANSFER_MODE_RELIABLE and _transport.has_session:
			_transport.mark_unreliable()
		if _transport.send(buffer, false) == OK:
			return OK
	return _put_packet_checked(buffer)


func _put_packet_checked(buffer: PackedByteArray) -> Error:
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
	var outcome: _Connection.Outcome = _connection.send(message, false, when_full)
	if wire_format == WIRE_FORMAT_GODOT4:
		_sure_room = _connection.sure_room()
	match outcome:
		_Connection.Outcome.SENT, _Connection.Outcome.DROPPED:
			return OK
		_Connection.Outcome.CLOSED:
			return FAILED
	return ERR_OUT_OF_MEMORY


func _get_connection_status() -> MultiplayerPeer.ConnectionStatus:
	return _status


func _get_unique_id() -> int:
	return _id
