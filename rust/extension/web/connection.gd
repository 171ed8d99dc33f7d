extends RefCounted
## One connection of a client, from the first attempt to its end. The client and the handle that it gives to scripts share it; it knows
## neither of them.

## What becomes of a packet to be sent.
enum Outcome { SENT, CLOSED, DROPPED, REFUSED, OVERFLOW }
## What happens to a packet without room.
enum WhenFull { DROP, REFUSE, CLOSE }

const Checks = preload("checks.gd")
const ClosingConnections = preload("closing_connections.gd")
const GatedTransport = preload("gated_transport.gd")
const LoneTransport = preload("lone_transport.gd")
const PacketQueue = preload("packet_queue.gd")
const Transport = preload("transport.gd")
const Url = preload("url.gd")

## What may wait for a connection that takes its data: so many times the output limits, and so much at least.
const _BURST: int = 16
const _BURST_BYTES: int = 4194304
const _BURST_PACKETS: int = 65536
const _MOST_PACKETS: int = 1048576

var transport: Transport
var url: Url
var is_multiplayer: bool = false
## Messages of raw mode, which are the handle's.
var messages: PacketQueue = PacketQueue.new()
## Whether the client was connected, its id included.
var is_usable: bool = false

## Output limits, and the setting to raise for larger packets.
var output_bytes: int = 65536
var output_packets: int = 1024
var largest_packet: int = 65536
var output_setting: String = ""
var unreliable_backlog: int = 16384

var heartbeat_interval: float = 20.0
var heartbeat_timeout: float = 60.0
## Whether a handle has set the interval for this connection.
var has_own_interval: bool = false

## Whether this side has begun to close; nothing that comes is delivered any more.
var is_closing: bool = false
## Whether it is over for everybody but the client, who hears of it at the next poll.
var is_over: bool = false
## Whether a game ended it without a closing handshake, or while it was still connecting.
var is_dropped: bool = false
## The client is to be told that too much has waited.
var has_overflowed: bool = false
var close_code: int = -1
var close_reason: String = ""
## What ended it, where the transport does not know.
var fault: String = ""

## Refused and the like, for the statistics of the client.
var packets_refused: int = 0
var packets_dropped: int = 0
var packets_to_closed: int = 0


static func new_transport() -> Transport:
	if GatedTransport.is_possible():
		return GatedTransport.new()
	return LoneTransport.new()


## Whether this page can have a session.
static func can_resume() -> bool:
	return GatedTransport.can_resume()


## A value of [enum WebSocketPeer.State].
func state() -> int:
	if is_over:
		return WebSocketPeer.STATE_CLOSED
	if not is_usable:
		return WebSocketPeer.STATE_CONNECTING
	if is_closing:
		return WebSocketPeer.STATE_CLOSING
	return WebSocketPeer.STATE_OPEN


func is_open() -> bool:
	return state() == WebSocketPeer.STATE_OPEN


## Whether the last poll of the transport has left nothing to do.
func is_idle() -> bool:
	return transport.is_quiet() and is_open() and not has_overflowed


## Begins the closing handshake. While it is still connecting it ends at once.
func close(code: int, reason: String) -> void:
	if not is_usable:
		drop()
	elif is_open():
		is_closing = true
		messages.clear()
		transport.close(code, reason)


## Ends it at once.
func drop() -> void:
	if is_over:
		return
	is_dropped = true
	is_over = true
	messages.clear()
	transport.close(-1)


## Ends it for good with a goodbye, without waiting for the answer. Nothing is heard of it afterwards.
func finish(timeout: float) -> void:
	if is_over:
		return
	is_over = true
	is_dropped = true
	messages.clear()
	if not is_closing:
		transport.close(1000)
	ClosingConnections.add(transport, timeout)


## Whether the last thing that ended it was a closing handshake.
func is_clean() -> bool:
	return close_code >= 0


## Whether the transport has ended it for a reason of its own: the words for it are the reason that it gives the other side.
func has_stopped() -> bool:
	var words: String = transport.last_error()
	return not words.is_empty() and words == transport.close_reason()


## The transport is done: takes over what its Close frame says, if there was one.
func note_close_frame() -> void:
	if transport.close_code() >= 0 and not has_stopped():
		close_code = transport.close_code()
		close_reason = transport.close_reason()


## What was counted. The message that has the client's id is no packet.
func figures() -> Dictionary:
	var found: Dictionary = transport.figures()
	if is_multiplayer:
		var received: int = found["packets_in"]
		found["packets_in"] = maxi(0, received - 1)
		if received <= 1:
			found["last_packet_msec"] = -1
	return found


## Sends a message if there is room for it.
func send(message: PackedByteArray, is_text: bool, when_full: WhenFull) -> Outcome:
	var outcome: Outcome = _send(message, is_text, when_full)
	match outcome:
		Outcome.CLOSED:
			packets_to_closed += 1
		Outcome.DROPPED:
			packets_dropped += 1
		Outcome.REFUSED, Outcome.OVERFLOW:
			packets_refused += 1
	return outcome


## Whether more waits than may wait for a congested connection.
func is_above_limits() -> bool:
	return _is_above(0, 0)


## Checks what a handle sends, and sends it. [param where] is the handle's method; [param is_valid]: a text that was a [String].
func send_checked(
	where: String, message: PackedByteArray, is_text: bool, is_valid: bool = false
) -> Error:
	if is_multiplayer:
		var why: String = "in multiplayer mode packets go through the multiplayer peer, not through the handle of a connection"
		Checks.error(where, why)
		return ERR_UNCONFIGURED
	if not is_open():
		Checks.error(where, "not connected")
		return FAILED
	if message.size() > largest_packet:
		Checks.error(where, too_large(message.size()))
		return ERR_OUT_OF_MEMORY
	if is_text and not is_valid and not Checks.is_utf8(message):
		Checks.error(where, "a text message must be valid UTF-8")
		return ERR_INVALID_DATA
	match send(message, is_text, WhenFull.REFUSE):
		Outcome.SENT:
			return OK
		Outcome.CLOSED:
			Checks.error(where, "not connected")
			return FAILED
	return ERR_OUT_OF_MEMORY


func too_large(size: int) -> String:
	return (
		"packet of %d bytes is larger than %d, the largest that fits the output buffer; raise %s"
		% [size, largest_packet, output_setting]
	)


func set_heartbeat(interval: float, timeout: float) -> void:
	heartbeat_timeout = timeout
	if not has_own_interval:
		heartbeat_interval = interval
	transport.set_heartbeat(heartbeat_interval, heartbeat_timeout)


## The same for this connection only.
func set_own_interval(interval: float) -> void:
	has_own_interval = true
	heartbeat_interval = interval
	if not is_over:
		transport.set_heartbeat(heartbeat_interval, heartbeat_timeout)


## How many packets of any size there is room for without another look, as long as the connection takes its data.
func sure_room() -> int:
	if not is_open() or transport.is_congested() or transport.is_suspended():
		return 0
	var bytes: int = most_bytes() - transport.buffered_bytes()
	@warning_ignore("integer_division")
	return mini(bytes / output_bytes, most_packets() - transport.buffered_packets())


## What may wait, and what is kept until the server has acknowledged it.
func most_bytes() -> int:
	return maxi(output_bytes * _BURST, _BURST_BYTES)


func most_packets() -> int:
	return clampi(output_packets * _BURST, _BURST_PACKETS, _MOST_PACKETS)


func _send(message: PackedByteArray, is_text: bool, when_full: WhenFull) -> Outcome:
	if not is_open():
		return Outcome.CLOSED
	var size: int = message.size()
	var waiting: int = transport.buffered_bytes()
	if when_full == WhenFull.DROP and transport.has_session:
		# Old news when there is a connection again.
		if transport.is_suspended():
			return Outcome.DROPPED
	if when_full != WhenFull.CLOSE and transport.is_congested():
		var is_stale: bool = (
			when_full == WhenFull.DROP and unreliable_backlog > 0 and waiting > unreliable_backlog
		)
		if is_stale or _is_above(size, 1):
			return _without_room(when_full)
	if waiting + size > most_bytes() or transport.buffered_packets() >= most_packets():
		return _without_room(when_full)
	if when_full == WhenFull.DROP and transport.has_session:
		# Last of all: the mark is for the next message that the gate gets, whichever that is.
		transport.mark_unreliable()
	return Outcome.SENT if transport.send(message, is_text) == OK else Outcome.CLOSED


func _is_above(more_bytes: int, more_packets: int) -> bool:
	return (
		transport.buffered_bytes() + more_bytes > output_bytes
		or transport.buffered_packets() + more_packets > output_packets
	)


func _without_room(when_full: WhenFull) -> Outcome:
	match when_full:
		WhenFull.DROP:
			return Outcome.DROPPED
		WhenFull.REFUSE:
			return Outcome.REFUSED
	has_overflowed = true
	return Outcome.OVERFLOW
