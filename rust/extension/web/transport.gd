# gdlint: disable=max-public-methods
extends RefCounted
## One WebSocket connection of a web export: the engine's [WebSocketPeer], behind the gate of gate.js (gated_transport.gd) or alone
## (lone_transport.gd). This is what both have: what was received, what waits to be sent, and the end.
## [codeblock]
## signal woken()                       # run_while_hidden(true) only: the page is hidden, call poll() and let the game take its packets
## func open(url: String, protocols: PackedStringArray, options: Dictionary) -> Error
## func poll() -> void                  # once per frame, before anything is taken
## func is_quiet() -> bool              # open, and the last poll has brought nothing and found nothing unsent
## func state() -> int                  # WebSocketPeer.STATE_*; CLOSED only when everything that was received has been taken
## func available() -> int              # packets that may be taken now; 0 when this poll's share (8 ms or more of the frame, 1 MiB) is used up
## func take() -> PackedByteArray       # the next packet; empty when there is none
## func take_all() -> Array[PackedByteArray]        # all at once, without a share
## func took_string() -> bool           # whether the packet taken last was a text message
## func share_usec() -> int             # of this frame, for what the game does with what has come
## func send(data: PackedByteArray, text: bool) -> Error
## func close(code := 1000, reason := "") -> void   # closing handshake; a code below 0 drops the connection at once
## func close_code() -> int             # -1: no close frame came
## func close_reason() -> String
## func last_error() -> String          # why the connection failed or ended, in words; "" where only the browser knows why there is none
## func has_timed_out() -> bool         # it ended because nothing was heard
## func selected_protocol() -> String
## func buffered_bytes() -> int         # bytes the browser has not sent yet, what was sent in this frame included, without those of again_bytes()
## func buffered_packets() -> int       # at most so many packets are among them
## func again_bytes() -> int            # bytes in front of those, which a connection that was lost had sent: this one sends them again
## func left_bytes() -> int             # bytes that the browser has sent, in all
## func is_suspended() -> bool          # the connection is lost, and another one may take its place; state() stays OPEN
## func reconnect() -> bool             # drops the connection and takes another one at once; false: there is no session
## func mark_unreliable() -> void       # the next packet that is sent is not sent again on another connection
## func is_congested() -> bool          # the connection did not take its data for 100 ms
## func is_drained() -> bool            # nothing was unsent when this frame began to send
## func stalled_msec() -> int           # for how long it has taken none at all while data waits; for write_timeout
## func waiting_bytes() -> int          # received and not taken, in the gate and here
## func waiting_packets() -> int
## func fetched_bytes() -> int          # those that take_all() takes
## func rtt_msec() -> float             # -1: not known
## func set_heartbeat(interval: float, timeout: float) -> void   # seconds, as in the options; at any time
## func run_while_hidden(enabled: bool) -> void                  # emit `woken` every 100 ms while the page is hidden
## func figures() -> Dictionary         # bytes_in, bytes_out, packets_in, packets_out, packets_to_closed, last_receive_msec, last_packet_msec,
##                                      # connected_msec, compression (as COMPRESSION_*); times are ages in ms; bytes are payload, a browser shows
##                                      # no others; of a session suspended, resumes, unacked_bytes, unacked_packets, packets_dropped (unreliable,
##                                      # while suspended)
## [/codeblock]
## Options of open(), all optional:
## [codeblock]
## heartbeat_interval: float = 20.0     # seconds between two questions for a sign of life; 0 = three in the timeout
## heartbeat_timeout: float = 60.0      # seconds of silence after which the connection counts as lost; 0 = never
##                                      # (both need a server that agrees to `alive`)
## offer_alive: bool = true             # offer it with the query item `godot-multiplayer=alive.v1`
## offer_resume: bool = false           # likewise, a session that survives the loss of the connection (gated_transport.gd only)
## attempt_timeout: float = 5.0         # seconds for one attempt to come back to a session, at least 5
## kept_bytes: int = 4 MiB              # sent and not acknowledged by the server; the oldest are forgotten
## kept_messages: int = 65536           # likewise
## largest_message: int = 65536         # bytes; a larger message ends the connection with Close 4009
## limit_bytes: int = 16 MiB            # received and not taken; more ends the connection with Close 4013, after what was accepted has been taken
## limit_messages: int = 65536          # likewise
## tls_options: TLSOptions = null       # a native engine only: a browser decides about certificates itself
## [/codeblock]
## open() answers ERR_ALREADY_IN_USE while a connection is open, ERR_INVALID_PARAMETER for a URL that is not one of ws:// or wss://. What only the
## browser refuses (mixed content, a bad port, a bad subprotocol) makes state() CLOSED at the next poll(), with the browser's words in last_error().
## send() answers ERR_UNCONFIGURED while the connection is not open, and FAILED once close() was called. To a remote that is gone it answers OK and
## counts packets_to_closed.
## Codes 1001..2999 cannot be sent by a page: 4000 + the last three digits goes out instead (1013: 4013). A reason is cut to 123 bytes.

@warning_ignore("unused_signal")
signal woken

const CloseFrame = preload("close_frame.gd")
const Congestion = preload("congestion.gd")

const DEFAULTS: Dictionary = {
	"heartbeat_interval": 20.0,
	"heartbeat_timeout": 60.0,
	"offer_alive": true,
	"offer_resume": false,
	"attempt_timeout": 5.0,
	"kept_bytes": 4 * 1024 * 1024,
	"kept_messages": 65536,
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
const FIGURES: Dictionary = {
	"bytes_in": 0,
	"bytes_out": 0,
	"packets_in": 0,
	"packets_out": 0,
	"packets_to_closed": 0,
	"compression": 0,
	"last_receive_msec": -1,
	"last_packet_msec": -1,
	"connected_msec": -1,
	"suspended": 0,
	"resumes": 0,
	"unacked_bytes": 0,
	"unacked_packets": 0,
	"packets_dropped": 0,
}
## As a browser calls an end without a Close frame.
const LOST: int = 1006

## Whether the server has given a session; and how often its connection was lost or replaced, together: it is odd while there is none.
var has_session: bool = false
var changes: int = 0

var _socket: WebSocketPeer
var _heartbeat_interval: float = 0.0
var _heartbeat_timeout: float = 0.0
var _largest_message: int = 0
var _limit_bytes: int = 0
var _limit_messages: int = 0
var _state: WebSocketPeer.State = WebSocketPeer.STATE_CLOSED
var _opened_at: int = -1
var _code: int = -1
var _reason: String = ""
var _error: String = ""
var _protocol: String = ""
var _has_timed_out: bool = false

# Received from the engine; those before _next are taken.
var _incoming: Array[PackedByteArray] = []
# 1 for each that is a text. It ends before the others do when no more are.
var _texts: PackedByteArray = PackedByteArray()
var _next: int = 0
var _incoming_bytes: int = 0
var _took_text: bool = false
var _share_bytes: int = 0
var _share_usec: int = SHARE_USEC
var _share_until: int = -1
var _polled_at: int = -1

var _congestion: Congestion = Congestion.new()
# Since the last judgement of the congestion, which would cost a call for each packet.
var _sent_bytes: int = 0
var _sent_packets: int = 0
# Of a connection that has ended.
var _figures: Dictionary = FIGURES.duplicate()
var _packets_to_closed: int = 0


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
	_forget_incoming()
	_opened_at = -1
	_code = -1
	_reason = ""
	_error = ""
	_protocol = ""
	_has_timed_out = false
	has_session = false
	changes = 0
	_figures = FIGURES.duplicate()
	_packets_to_closed = 0
	var given: Dictionary = DEFAULTS.merged(options, true)
	_heartbeat_interval = given["heartbeat_interval"]
	_heartbeat_timeout = given["heartbeat_timeout"]
	_largest_message = given["largest_message"]
	_limit_bytes = given["limit_bytes"]
	_limit_messages = given["limit_messages"]
	_socket = WebSocketPeer.new()
	_socket.supported_protocols = protocols
	_socket.outbound_buffer_size = 0
	var error: Error = _start(address, given)
	if error != OK:
		_error = "%s is not a URL that the engine accepts" % url
		_socket = null
		return error
	_state = WebSocketPeer.STATE_CONNECTING
	return OK


func poll() -> void:
	_share_bytes = SHARE_BYTES
	_share_until = -1
	if _state == WebSocketPeer.STATE_CLOSED:
		return
	var now: int = Time.get_ticks_usec()
	var frame: int = now - _polled_at
	_polled_at = now
	_share_usec = clampi(frame >> 1, SHARE_USEC, LARGEST_SHARE_USEC)
	if _next * 2 > _incoming.size():
		_incoming = _incoming.slice(_next)
		_texts = _texts.slice(_next)
		_next = 0
	_fetch(now + (_share_usec >> 1))
	_share_usec -= mini(Time.get_ticks_usec() - now, _share_usec >> 1)


func state() -> WebSocketPeer.State:
	if _state == WebSocketPeer.STATE_CLOSED and _next < _incoming.size():
		return WebSocketPeer.STATE_OPEN
	return _state


func is_quiet() -> bool:
	return _state == WebSocketPeer.STATE_OPEN and _incoming.is_empty() and _congestion.bytes == 0


func is_suspended() -> bool:
	return changes & 1 == 1 and _state == WebSocketPeer.STATE_OPEN


func reconnect() -> bool:
	return false


func mark_unreliable() -> void:
	pass


func share_usec() -> int:
	return _share_usec


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
	_took_text = _next < _texts.size() and _texts[_next] == 1
	_next += 1
	_incoming_bytes -= packet.size()
	_share_bytes -= packet.size()
	if _next == _incoming.size():
		_forget_incoming()
	return packet


func take_all() -> Array[PackedByteArray]:
	var packets: Array[PackedByteArray] = _incoming if _next == 0 else _incoming.slice(_next)
	_incoming = []
	_forget_incoming()
	return packets


func took_string() -> bool:
	return _took_text


func send(data: PackedByteArray, text: bool) -> Error:
	if _state != WebSocketPeer.STATE_OPEN:
		return _send_late()
	var mode: WebSocketPeer.WriteMode = (
		WebSocketPeer.WRITE_MODE_TEXT if text else WebSocketPeer.WRITE_MODE_BINARY
	)
	var error: Error = _socket.send(data, mode)
	if error == OK:
		_sent_bytes += data.size()
		_sent_packets += 1
	return error


## A browser throws for codes and reasons that a page may not send, and that would end the engine's main loop.
func close(code: int = 1000, reason: String = "") -> void:
	if code < 0:
		_forget_incoming()
		if _state != WebSocketPeer.STATE_CLOSED:
			_end(LOST, "", "")
	elif _state != WebSocketPeer.STATE_CLOSED and _state != WebSocketPeer.STATE_CLOSING:
		_state = WebSocketPeer.STATE_CLOSING
		_shut(CloseFrame.legal_code(code), CloseFrame.legal_reason(reason))


func close_code() -> int:
	return _code


func close_reason() -> String:
	return _reason


func last_error() -> String:
	return _error


func has_timed_out() -> bool:
	return _has_timed_out


func selected_protocol() -> String:
	return _protocol


func buffered_bytes() -> int:
	return _congestion.bytes + _sent_bytes


func buffered_packets() -> int:
	return _congestion.packets + _sent_packets


func again_bytes() -> int:
	return 0


func left_bytes() -> int:
	return _congestion.left


func is_drained() -> bool:
	return _congestion.drained


func is_congested() -> bool:
	return _congestion.congested


func stalled_msec() -> int:
	return _congestion.stalled_msec()


func waiting_bytes() -> int:
	return _incoming_bytes


func waiting_packets() -> int:
	return _incoming.size() - _next


func fetched_bytes() -> int:
	return _incoming_bytes


func rtt_msec() -> float:
	return -1.0


func set_heartbeat(interval: float, timeout: float) -> void:
	_heartbeat_interval = interval
	_heartbeat_timeout = timeout


func run_while_hidden(_enabled: bool) -> void:
	pass


func figures() -> Dictionary:
	var found: Dictionary = _figures.duplicate()
	if _state != WebSocketPeer.STATE_CLOSED:
		found = _present_figures()
	var to_closed: int = found["packets_to_closed"]
	found["packets_to_closed"] = to_closed + _packets_to_closed
	for figure: String in found:
		var value: int = found[figure]
		found[figure] = value
	return found


## What the ways differ in: opens the socket.
func _start(_address: String, _options: Dictionary) -> Error:
	return ERR_UNAVAILABLE


## Fetches what has come, until a time, judges the congestion, and notices the opening and the end.
func _fetch(_until_usec: int) -> void:
	pass


func _shut(_legal_code: int, _legal_reason: String) -> void:
	pass


func _present_figures() -> Dictionary:
	return FIGURES.duplicate()


## Lets go of the socket. The browser still sends what it was given.
func _forget() -> void:
	pass


func _send_late() -> Error:
	if _opened_at < 0 or state() == WebSocketPeer.STATE_CLOSED:
		return ERR_UNCONFIGURED
	if _state == WebSocketPeer.STATE_CLOSING:
		return FAILED
	_packets_to_closed += 1
	return OK


func _judge(unsent: int, in_frame: int) -> void:
	_congestion.sent(_sent_bytes, _sent_packets)
	_congestion.judge(unsent, in_frame, Time.get_ticks_msec(), again_bytes())
	_sent_bytes = 0
	_sent_packets = 0


func _enter_open() -> void:
	_state = WebSocketPeer.STATE_OPEN
	_opened_at = Time.get_ticks_msec()
	_protocol = _socket.get_selected_protocol()


func _end(code: int, reason: String, words: String) -> void:
	_code = -1 if code == LOST else code
	_reason = reason
	_error = words
	if words.is_empty() and _state != WebSocketPeer.STATE_CLOSING:
		if code != LOST:
			_error = (
				"closed by the server with code %d%s" % [code, " (%s)" % reason if reason else ""]
			)
		elif _opened_at >= 0:
			_error = "the connection was lost"
	_figures = figures()
	_packets_to_closed = 0
	_forget()
	_socket = null
	_state = WebSocketPeer.STATE_CLOSED
	_congestion = Congestion.new()
	_sent_bytes = 0
	_sent_packets = 0


func _forget_incoming() -> void:
	_incoming.clear()
	_texts.clear()
	_next = 0
	_incoming_bytes = 0
