extends "transport.gd"
## A connection behind the gate of gate.js, which owns the browser's socket, queues what arrives, also while no frame runs, and hands it to the
## engine's class as the game polls.

const GATE_VERSION: int = 3
## Packets that the gate hands over in one call, and those above which the game has to take some first.
const HANDED_PACKETS: int = 512
const MOST_FETCHED: int = 16384

static var _gate: JavaScriptObject
static var _gate_sought: bool = false

# In the gate; 0: not there any more.
var _id: int = 0
# The engine's receive buffer in bytes, less one: as much as it holds.
var _room: int = 0
var _runs_while_hidden: bool = false
var _wake: JavaScriptObject
var _gate_packets: int = 0
var _gate_bytes: int = 0
var _rtt: float = -1.0
# Sent, and waiting for another connection of the session.
var _held_packets: int = 0
var _held_bytes: int = 0
# Sent on a connection that was lost, and in front of all that waits on this one.
var _again_bytes: int = 0


func _notification(what: int) -> void:
	# An object that is being freed can call no function of its own.
	if what == NOTIFICATION_PREDELETE and _id != 0:
		_gate.call(&"forget", _id)


## Whether there is a gate. A page that forbids eval may have loaded it by itself.
static func is_possible() -> bool:
	if _gate_sought or not OS.has_feature("web"):
		return _gate != null
	_gate_sought = true
	if JavaScriptBridge.eval("1") == 1:
		var here: String = (Congestion as Script).resource_path.get_base_dir()
		for file: String in ["gate_session.js", "gate_page.js", "gate.js"]:
			JavaScriptBridge.eval(FileAccess.get_file_as_string(here.path_join(file)), true)
	var gate: JavaScriptObject = JavaScriptBridge.get_interface("__bws")
	if gate and gate.get(&"version") == GATE_VERSION:
		_gate = gate
	else:
		push_warning(
			(
				"this page forbids eval and has not loaded gate_page.js and gate.js: the engine's own WebSocket works alone, "
				+ "and a connection ends with Close 4008 when messages may have been lost while the page slept"
			)
		)
	return _gate != null


## Whether the page has what a session needs.
static func can_resume() -> bool:
	return is_possible() and _gate.call(&"can_resume")


func reconnect() -> bool:
	return _id != 0 and _gate.call(&"reconnect", _id)


func mark_unreliable() -> void:
	if has_session and _id != 0:
		_gate.call(&"unreliable", _id)


func is_quiet() -> bool:
	return super() and not is_suspended()


func is_drained() -> bool:
	return super() and not is_suspended()


func buffered_bytes() -> int:
	return _held_bytes + maxi(0, super() - _again_bytes)


func buffered_packets() -> int:
	return _held_packets + super()


func again_bytes() -> int:
	return _again_bytes


func waiting_bytes() -> int:
	return _gate_bytes + super()


func waiting_packets() -> int:
	return _gate_packets + super()


func rtt_msec() -> float:
	return _rtt


func set_heartbeat(interval: float, timeout: float) -> void:
	super(interval, timeout)
	if _id != 0:
		_gate.call(&"heartbeat", _id, interval * 1000.0, timeout * 1000.0)


func run_while_hidden(enabled: bool) -> void:
	_runs_while_hidden = enabled
	if _id == 0:
		return
	if enabled and _wake == null:
		_wake = JavaScriptBridge.create_callback(_on_wake)
	_gate.call(&"wake", _id, _wake if enabled else null)


func _start(address: String, given: Dictionary) -> Error:
	_rtt = -1.0
	_held_packets = 0
	_held_bytes = 0
	_again_bytes = 0
	_room = nearest_po2(maxi(_largest_message, 65535) + 1) - 1
	_socket.inbound_buffer_size = _room
	_socket.max_queued_packets = HANDED_PACKETS * 2
	var options: Dictionary = {
		"heartbeat_interval": _heartbeat_interval * 1000.0,
		"heartbeat_timeout": _heartbeat_timeout * 1000.0,
		"attempt_timeout": given["attempt_timeout"] * 1000.0,
		"offer_alive": given["offer_alive"],
		"offer_resume": given["offer_resume"],
		"kept_bytes": given["kept_bytes"],
		"kept_messages": given["kept_messages"],
		"largest_message": _largest_message,
		"limit_bytes": _limit_bytes,
		"limit_messages": _limit_messages,
	}
	var protocols: PackedStringArray = _socket.supported_protocols
	_id = _gate.call(&"open", address, JSON.stringify(protocols), JSON.stringify(options))
	# The stand-in takes whatever URL the engine gives it. Should the engine reach the browser's WebSocket after all, nobody answers there.
	var error: Error = _socket.connect_to_url("ws://127.0.0.1:9")
	var seated: bool = _gate.call(&"seat", _id)
	if error == OK and not seated:
		error = ERR_UNAVAILABLE
	if error != OK:
		_forget()
	elif _runs_while_hidden:
		run_while_hidden(true)
	return error


func _fetch(until_usec: int) -> void:
	# What the gate answers here for the bytes that wait: whether there is anything new.
	if (
		_state == WebSocketPeer.STATE_OPEN
		and _gate_packets == 0
		and _socket.get_current_outbound_buffered_amount() == 0
	):
		_again_bytes = 0
		_judge(0, 0)
		return
	var first: bool = true
	while true:
		# Messages handed over, their bytes, the texts among them, bytes unsent before this task, bytes unsent, messages and bytes that wait, state,
		# round trip, losses of a session, its returns, messages and bytes that wait for one, bytes that are sent again.
		var counts: PackedFloat64Array = (
			str(_gate.call(&"pump", _id, _room, HANDED_PACKETS if _has_room() else 0))
			. split_floats(" ")
		)
		_receive(int(counts[0]), counts[2] > 0.0)
		_incoming_bytes += int(counts[1])
		_again_bytes = int(counts[13])
		if first:
			first = false
			_judge(int(counts[3]), int(counts[4] - counts[3]))
		_gate_packets = int(counts[5])
		_gate_bytes = int(counts[6])
		var reached: int = int(counts[7])
		_rtt = counts[8]
		has_session = counts[9] >= 0.0
		changes = maxi(0, int(counts[9])) + int(counts[10])
		_held_packets = int(counts[11])
		_held_bytes = int(counts[12])
		if reached == WebSocketPeer.STATE_CLOSED:
			_note_end()
			return
		if reached == WebSocketPeer.STATE_OPEN and _state == WebSocketPeer.STATE_CONNECTING:
			_enter_open()
		if _gate_packets == 0 or not _has_room() or Time.get_ticks_usec() >= until_usec:
			return


func _has_room() -> bool:
	return _incoming_bytes < SHARE_BYTES and _incoming.size() - _next < MOST_FETCHED


# Runs for each packet of a game, so it calls as little as possible.
func _receive(count: int, has_text: bool) -> void:
	var socket: WebSocketPeer = _socket
	var incoming: Array[PackedByteArray] = _incoming
	if not has_text:
		for at: int in count:
			incoming.append(socket.get_packet())
		return
	while _texts.size() < incoming.size():
		@warning_ignore("return_value_discarded")
		_texts.append(0)
	for at: int in count:
		incoming.append(socket.get_packet())
		@warning_ignore("return_value_discarded")
		_texts.append(1 if socket.was_string_packet() else 0)


func _note_end() -> void:
	var ending: Dictionary = JSON.parse_string(str(_gate.call(&"ending", _id)))
	if ending["opened"] and _opened_at < 0:
		_opened_at = Time.get_ticks_msec()
		_protocol = _socket.get_selected_protocol()
	_has_timed_out = ending["silent"]
	var code: int = ending["code"]
	_end(code, str(ending["reason"]), str(ending["words"]))


func _shut(legal_code: int, legal_reason: String) -> void:
	_gate.call(&"close", _id, legal_code, legal_reason)


func _present_figures() -> Dictionary:
	var found: Dictionary = JSON.parse_string(str(_gate.call(&"figures", _id)))
	return FIGURES.merged(found, true)


func _forget() -> void:
	_gate.call(&"forget", _id)
	_id = 0
	_wake = null
	_gate_packets = 0
	_gate_bytes = 0
	_held_packets = 0
	_held_bytes = 0
	_again_bytes = 0


func _on_wake(_arguments: Array) -> void:
	woken.emit()
