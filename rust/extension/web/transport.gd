# gdlint: disable=max-public-methods
extends RefCounted
## One WebSocket connection of a web export: the engine's [WebSocketPeer] behind the gate of gate.js.
##
## The gate owns the browser's socket, queues what arrives, also while no frame runs, and hands it to the engine's class as the game polls.
## Where the gate cannot run (a page that forbids eval and has no static gate, or a native engine in a test) the engine's class works alone.
## It has no class name: the classes of a web export load it by path.
## [codeblock]
## const Transport := preload("transport.gd")
## var transport := Transport.new()
## signal woken()                       # run_while_hidden(true) only: the page is hidden, call poll() and let the game take its packets
## func open(url: String, protocols: PackedStringArray, options: Dictionary) -> Error
## func poll() -> void                  # once per frame, before anything is taken
## func state() -> int                  # WebSocketPeer.STATE_*; CLOSED only when everything that was received has been taken
## func available() -> int              # packets that may be taken now; 0 when this poll's share (8 ms or more of the frame, 1 MiB) is used up
## func take() -> PackedByteArray       # the next packet; empty when there is none
## func took_string() -> bool           # whether the packet taken last was a text message
## func send(data: PackedByteArray, text: bool) -> Error
## func close(code := 1000, reason := "") -> void   # closing handshake; a code below 0 drops the connection at once
## func close_code() -> int             # -1: no close frame came
## func close_reason() -> String
## func last_error() -> String          # why the connection failed or ended, in words; "" while there is nothing to say
## func selected_protocol() -> String
## func buffered_bytes() -> int         # bytes the browser has not sent yet, what was sent in this frame included
## func buffered_packets() -> int       # at most so many packets are among them
## func is_congested() -> bool          # the connection did not take its data for 100 ms
## func stalled_msec() -> int           # for how long it has taken none at all while data waits; for write_timeout
## func waiting_bytes() -> int          # received and not taken, in the gate and here
## func waiting_packets() -> int
## func rtt_msec() -> float             # -1: not known
## func set_heartbeat(interval: float, timeout: float) -> void   # seconds, as in the options; at any time
## func run_while_hidden(enabled: bool) -> void                  # emit `woken` every 100 ms while the page is hidden
## func figures() -> Dictionary         # bytes_in, bytes_out, packets_in, packets_out, packets_to_closed, last_receive_msec, last_packet_msec,
##                                      # connected_msec; times are ages in ms; bytes are payload, a browser shows no others
## [/codeblock]
## Options of open(), all optional:
## [codeblock]
## heartbeat_interval: float = 20.0     # seconds between two questions for a sign of life; 0 = three in the timeout
## heartbeat_timeout: float = 60.0      # seconds of silence after which the connection counts as lost; 0 = never
##                                      # (both need a server that agrees to `alive`)
## offer_alive: bool = true             # offer it with the query item `godot-multiplayer=alive.v1`
## largest_message: int = 65536         # bytes; a larger message ends the connection with Close 4009
## limit_bytes: int = 16 MiB            # received and not taken; more ends the connection with Close 4013, after what was accepted has been taken
## limit_messages: int = 65536          # likewise
## tls_options: TLSOptions = null       # a native engine only: a browser decides about certificates itself
## [/codeblock]
## open() answers ERR_ALREADY_IN_USE while a connection is open, ERR_INVALID_PARAMETER for a URL that is not one of ws:// or wss://. What only the
## browser refuses (mixed content, a bad port, a bad subprotocol) makes state() CLOSED at the next poll(), with the browser's words in last_error().
## send() answers ERR_UNCONFIGURED while the connection is not open. To a remote that is gone it answers OK and counts packets_to_closed.
## Codes 1001..2999 cannot be sent by a page: 4000 + the last three digits goes out instead (1013: 4013). A reason is cut to 123 bytes.

signal woken

const CloseFrame = preload("close_frame.gd")
const Congestion = preload("congestion.gd")

const GATE_VERSION: int = 1
const DEFAULTS: Dictionary = {
	"heartbeat_interval": 20.0,
	"heartbeat_timeout": 60.0,
	"offer_alive": true,
	"largest_message": 65536,
	"limit_bytes": 16 * 1024 * 1024,
	"limit_messages": 65536,
	"tls_options": null,
}
## One poll lets the game take so many bytes, and packets for so long: the rest waits for the next frame, or a return from the background would
## freeze the game. Slow frames get up to half of their time, or a slow machine would never catch up.
const SHARE_BYTES: int = 1024 * 1024
const SHARE_USEC: int = 8000
const LARGEST_SHARE_USEC: int = 50000
## Packets that the gate hands over in one call.
const HANDED_PACKETS: int = 512
## The engine's buffer where it works alone: what arrives between two polls must fit.
const ALONE_BYTES: int = 4 * 1024 * 1024
const ALONE_PACKETS: int = 65536
const FIGURES: Dictionary = {
	"bytes_in": 0,
	"bytes_out": 0,
	"packets_in": 0,
	"packets_out": 0,
	"packets_to_closed": 0,
	"last_receive_msec": -1,
	"last_packet_msec": -1,
	"connected_msec": -1,
}
## As a browser calls an end without a Close frame.
const LOST: int = 1006

static var _gate: JavaScriptObject
static var _gate_sought: bool = false

var _socket: WebSocketPeer
# In the gate; 0 where the engine works alone.
var _id: int = 0
var _url: String = ""
var _heartbeat_interval: float = 0.0
var _heartbeat_timeout: float = 0.0
var _largest_message: int = 0
var _limit_bytes: int = 0
var _limit_messages: int = 0
# The engine's receive buffer in bytes, less one: as much as it holds.
var _room: int = 0
var _state: WebSocketPeer.State = WebSocketPeer.STATE_CLOSED
var _opened_at: int = -1
var _code: int = -1
var _reason: String = ""
var _error: String = ""
var _protocol: String = ""
var _runs_while_hidden: bool = false
var _wake: JavaScriptObject

# Received from the engine; those before _next are taken.
var _incoming: Array[PackedByteArray] = []
var _texts: Array[bool] = []
var _next: int = 0
var _incoming_bytes: int = 0
var _took_text: bool = false
var _share_bytes: int = 0
var _share_usec: int = SHARE_USEC
var _share_until: int = -1
var _polled_at: int = -1

var _gate_packets: int = 0
var _gate_bytes: int = 0
var _rtt: float = -1.0
var _congestion: Congestion = Congestion.new()
# Of the engine alone; those of the gate once it is forgotten.
var _figures: Dictionary = FIGURES.duplicate()
var _packets_to_closed: int = 0
var _received_at: int = -1
# Of the engine alone: bytes sent in the frame of that number.
var _sent_in_frame: int = 0
var _sent_frame: int = -1


func _notification(what: int) -> void:
	if what != NOTIFICATION_PREDELETE or _socket == null:
		return
	# An object that is being freed can call no function of its own. The engine's class says 3001 "destroyed" for one that is not closed.
	if _id != 0:
		_gate.call(&"forget", _id)
	else:
		_socket.close()


func open(url: String, protocols: PackedStringArray, options: Dictionary) -> Error:
	if _state != WebSocketPeer.STATE_CLOSED:
		_error = "a connection is open already: close it first"
		return ERR_ALREADY_IN_USE
	var address: String = url.get_slice("#", 0)
	if not address.contains("://"):
		address = "ws://" + address
	var scheme: String = address.get_slice("://", 0).to_lower()
	if (scheme != "ws" and scheme != "wss") or address.get_slice("://", 1).is_empty():
		_error = "%s is not the URL of a WebSocket: use ws://host:port or wss://host:port" % url
		return ERR_INVALID_PARAMETER
	_incoming.clear()
	_texts.clear()
	_next = 0
	_incoming_bytes = 0
	_opened_at = -1
	_code = -1
	_reason = ""
	_error = ""
	_protocol = ""
	_rtt = -1.0
	_figures = FIGURES.duplicate()
	_packets_to_closed = 0
	_received_at = -1
	_url = url
	var given: Dictionary = DEFAULTS.merged(options, true)
	_heartbeat_interval = given["heartbeat_interval"]
	_heartbeat_timeout = given["heartbeat_timeout"]
	_largest_message = given["largest_message"]
	_limit_bytes = given["limit_bytes"]
	_limit_messages = given["limit_messages"]
	_socket = WebSocketPeer.new()
	_socket.supported_protocols = protocols
	_socket.outbound_buffer_size = 0
	_find_gate()
	var offer: bool = given["offer_alive"]
	var tls: TLSOptions = given["tls_options"]
	var error: Error = (
		_open_behind_gate(address, protocols, offer) if _gate else _open_alone(address, tls)
	)
	if error != OK:
		_error = "%s is not a URL that the engine accepts" % url
		_socket = null
		return error
	_state = WebSocketPeer.STATE_CONNECTING
	return OK


func poll() -> void:
	if _state == WebSocketPeer.STATE_CLOSED:
		_share_bytes = SHARE_BYTES
		_share_until = -1
		return
	var now: int = Time.get_ticks_usec()
	var frame: int = now - _polled_at
	_polled_at = now
	_share_usec = clampi(frame >> 1, SHARE_USEC, LARGEST_SHARE_USEC)
	_share_bytes = SHARE_BYTES
	_share_until = -1
	if _next * 2 > _incoming.size():
		_incoming = _incoming.slice(_next)
		_texts = _texts.slice(_next)
		_next = 0
	if _id != 0:
		_poll_gate(now + (_share_usec >> 1))
	else:
		_poll_alone()
	_share_usec -= mini(Time.get_ticks_usec() - now, _share_usec >> 1)


func state() -> WebSocketPeer.State:
	if _state == WebSocketPeer.STATE_CLOSED and _next < _incoming.size():
		return WebSocketPeer.STATE_OPEN
	return _state


func available() -> int:
	if _share_bytes <= 0 or (_share_until >= 0 and Time.get_ticks_usec() >= _share_until):
		return 0
	return _incoming.size() - _next


func take() -> PackedByteArray:
	if _next >= _incoming.size():
		return PackedByteArray()
	if _share_until < 0:
		_share_until = Time.get_ticks_usec() + _share_usec
	var packet: PackedByteArray = _incoming[_next]
	_took_text = _texts[_next]
	_next += 1
	_incoming_bytes -= packet.size()
	_share_bytes -= packet.size()
	if _next == _incoming.size():
		_incoming.clear()
		_texts.clear()
		_next = 0
	return packet


func took_string() -> bool:
	return _took_text


func send(data: PackedByteArray, text: bool) -> Error:
	if _opened_at < 0:
		return ERR_UNCONFIGURED
	if _state != WebSocketPeer.STATE_OPEN:
		if state() == WebSocketPeer.STATE_CLOSED:
			return ERR_UNCONFIGURED
		_packets_to_closed += 1
		return OK
	var mode: WebSocketPeer.WriteMode = (
		WebSocketPeer.WRITE_MODE_TEXT if text else WebSocketPeer.WRITE_MODE_BINARY
	)
	var error: Error = _socket.send(data, mode)
	if error == OK:
		_congestion.sent(data.size())
		if _id == 0:
			if _sent_frame != Engine.get_process_frames():
				_sent_frame = Engine.get_process_frames()
				_sent_in_frame = 0
			_sent_in_frame += data.size()
			_figures["bytes_out"] += data.size()
			_figures["packets_out"] += 1
	return error


## A browser throws for codes and reasons that a page may not send, and that would end the engine's main loop.
func close(code: int = 1000, reason: String = "") -> void:
	if (
		_state == WebSocketPeer.STATE_CLOSED
		or (_state == WebSocketPeer.STATE_CLOSING and code >= 0)
	):
		return
	# The engine's class keeps what the browser refused from the start CONNECTING for ever.
	if code < 0 or (_id == 0 and _state == WebSocketPeer.STATE_CONNECTING):
		_end(LOST, "", "")
		return
	_state = WebSocketPeer.STATE_CLOSING
	if _id != 0:
		_gate.call(&"close", _id, CloseFrame.legal_code(code), CloseFrame.legal_reason(reason))
	else:
		_socket.close(CloseFrame.legal_code(code), CloseFrame.legal_reason(reason))


func close_code() -> int:
	return _code


func close_reason() -> String:
	return _reason


func last_error() -> String:
	return _error


func selected_protocol() -> String:
	return _protocol


func buffered_bytes() -> int:
	return _congestion.bytes


func buffered_packets() -> int:
	return _congestion.packets


## Whether nothing was unsent when this frame began to send.
func is_drained() -> bool:
	return _congestion.drained


func is_congested() -> bool:
	return _congestion.congested


func stalled_msec() -> int:
	return _congestion.stalled_msec()


func waiting_bytes() -> int:
	return _gate_bytes + _incoming_bytes


func waiting_packets() -> int:
	return _gate_packets + _incoming.size() - _next


func rtt_msec() -> float:
	return _rtt


func set_heartbeat(interval: float, timeout: float) -> void:
	_heartbeat_interval = interval
	_heartbeat_timeout = timeout
	if _id != 0:
		_gate.call(&"heartbeat", _id, interval * 1000.0, timeout * 1000.0)


func run_while_hidden(enabled: bool) -> void:
	_runs_while_hidden = enabled
	if _id == 0:
		return
	if enabled and _wake == null:
		_wake = JavaScriptBridge.create_callback(_on_wake)
	_gate.call(&"wake", _id, _wake if enabled else null)


func figures() -> Dictionary:
	var found: Dictionary = _figures.duplicate()
	if _id != 0:
		found = JSON.parse_string(str(_gate.call(&"figures", _id)))
	elif _state != WebSocketPeer.STATE_CLOSED:
		found["last_receive_msec"] = _age(_received_at)
		found["last_packet_msec"] = _age(_received_at)
		found["connected_msec"] = _age(_opened_at)
	var to_closed: int = found["packets_to_closed"]
	found["packets_to_closed"] = to_closed + _packets_to_closed
	for figure: String in found:
		var value: int = found[figure]
		found[figure] = value
	return found


func _age(since_msec: int) -> int:
	return -1 if since_msec < 0 else Time.get_ticks_msec() - since_msec


func _open_behind_gate(address: String, protocols: PackedStringArray, offer: bool) -> Error:
	_room = nearest_po2(maxi(_largest_message, 65535) + 1) - 1
	_socket.inbound_buffer_size = _room
	_socket.max_queued_packets = HANDED_PACKETS * 2
	var options: Dictionary = {
		"heartbeat_interval": _heartbeat_interval * 1000.0,
		"heartbeat_timeout": _heartbeat_timeout * 1000.0,
		"offer_alive": offer,
		"largest_message": _largest_message,
		"limit_bytes": _limit_bytes,
		"limit_messages": _limit_messages,
	}
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


func _open_alone(address: String, tls: TLSOptions) -> Error:
	_room = maxi(nearest_po2(_largest_message * 4), ALONE_BYTES) - 1
	_socket.inbound_buffer_size = _room
	_socket.max_queued_packets = ALONE_PACKETS
	return _socket.connect_to_url(address, tls)


func _poll_gate(until_usec: int) -> void:
	var first: bool = true
	while true:
		# Messages handed over, state, bytes unsent before this task, bytes unsent, messages and bytes that wait, round trip.
		var counts: PackedFloat64Array = (
			str(_gate.call(&"pump", _id, _room, HANDED_PACKETS)).split_floats(" ")
		)
		for at: int in int(counts[0]):
			_receive(_socket.get_packet())
		if first:
			first = false
			_congestion.judge(int(counts[2]), int(counts[3] - counts[2]), Time.get_ticks_msec())
		_gate_packets = int(counts[4])
		_gate_bytes = int(counts[5])
		_rtt = counts[6]
		var reached: int = int(counts[1])
		if reached == WebSocketPeer.STATE_CLOSED:
			var ending: Dictionary = JSON.parse_string(str(_gate.call(&"ending", _id)))
			if ending["opened"] and _opened_at < 0:
				_opened_at = Time.get_ticks_msec()
				_protocol = _socket.get_selected_protocol()
			var code: int = ending["code"]
			_end(code, str(ending["reason"]), str(ending["words"]))
			return
		if reached == WebSocketPeer.STATE_OPEN and _state == WebSocketPeer.STATE_CONNECTING:
			_enter_open()
		if (
			_gate_packets == 0
			or _incoming_bytes >= SHARE_BYTES
			or Time.get_ticks_usec() >= until_usec
		):
			return


# In a browser the engine's class drops what does not fit, and does not say so. While what came since the last poll and one message more would
# have fitted, nothing was dropped; what lies behind that may have a hole before it.
func _poll_alone() -> void:
	_socket.poll()
	var in_browser: bool = OS.has_feature("web")
	var count: int = _socket.get_available_packet_count()
	var proven: bool = count < ALONE_PACKETS - 1
	var room: int = _room
	while count > 0 and (not in_browser or room >= _largest_message):
		var packet: PackedByteArray = _socket.get_packet()
		room -= packet.size()
		count -= 1
		_receive(packet)
	if in_browser and (not proven or room < _largest_message):
		_stop_alone(4008, "messages may have been lost while the page slept")
		return
	# One message alone is never too much.
	if (
		waiting_packets() > 1
		and (waiting_bytes() > _limit_bytes or waiting_packets() > _limit_messages)
	):
		_stop_alone(
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
	_congestion.judge(buffered - in_frame, in_frame, Time.get_ticks_msec())
	match _socket.get_ready_state():
		WebSocketPeer.STATE_OPEN when _state == WebSocketPeer.STATE_CONNECTING:
			_enter_open()
		WebSocketPeer.STATE_CLOSED:
			var code: int = _socket.get_close_code()
			_end(code if code >= 0 else LOST, _socket.get_close_reason(), "")


func _stop_alone(code: int, words: String) -> void:
	_socket.close(code, words)
	_end(code, words, words)


func _receive(packet: PackedByteArray) -> void:
	_incoming.append(packet)
	_texts.append(_socket.was_string_packet())
	_incoming_bytes += packet.size()
	if _id == 0:
		_figures["bytes_in"] += packet.size()
		_figures["packets_in"] += 1
		_received_at = Time.get_ticks_msec()


func _enter_open() -> void:
	_state = WebSocketPeer.STATE_OPEN
	_opened_at = Time.get_ticks_msec()
	_protocol = _socket.get_selected_protocol()


func _end(code: int, reason: String, words: String) -> void:
	_code = -1 if code == LOST else code
	_reason = reason
	if not words.is_empty():
		_error = words
	elif _state == WebSocketPeer.STATE_CLOSING:
		_error = ""
	elif _opened_at < 0:
		_error = (
			"no connection with %s: nobody listens there, or it refused; the browser's console tells more"
			% _url
		)
	elif code == LOST:
		_error = "the connection was lost"
	else:
		_error = "closed by the server with code %d%s" % [code, " (%s)" % reason if reason else ""]
	_figures = figures()
	_packets_to_closed = 0
	_forget()
	_socket = null
	_state = WebSocketPeer.STATE_CLOSED
	_gate_packets = 0
	_gate_bytes = 0
	_congestion = Congestion.new()


# The browser still sends what it was given.
func _forget() -> void:
	if _id != 0:
		_gate.call(&"forget", _id)
	_id = 0
	_wake = null


func _on_wake(_arguments: Array) -> void:
	woken.emit()


func _find_gate() -> void:
	if _gate_sought:
		return
	_gate_sought = true
	if not OS.has_feature("web"):
		return
	# Where a page forbids eval, a gate may be there that the page itself has loaded.
	if JavaScriptBridge.eval("1") == 1:
		var script: Script = get_script()
		JavaScriptBridge.eval(
			FileAccess.get_file_as_string(script.resource_path.get_base_dir().path_join("gate.js")),
			true
		)
	var gate: JavaScriptObject = JavaScriptBridge.get_interface("__bws")
	if gate and gate.get(&"version") == GATE_VERSION:
		_gate = gate
	else:
		push_warning(
			(
				"this page forbids eval and has not loaded gate.js: the engine's own WebSocket works alone, "
				+ "and a connection ends with Close 4008 when messages may have been lost while the page slept"
			)
		)
