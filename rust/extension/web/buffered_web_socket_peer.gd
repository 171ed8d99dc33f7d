# gdlint:disable=max-public-methods,load-constant-name
class_name BufferedWebSocketPeer
extends RefCounted
## The handle of one connection in a web export, returned by [code]get_peer()[/code] of [WebSocketClient] and
## [BufferedWebSocketMultiplayerPeer].
##
## In raw mode each message is one packet. In multiplayer mode, packets go through the multiplayer peer, and the handle only gives information
## about the connection. A handle stays valid after the connection has ended, in the state [constant STATE_CLOSED].
## [br][br]
## [b]Web:[/b] the class has the members of [PacketPeer] and is none: a script cannot extend [PacketPeerExtension], and the methods of any other
## class with packets would be called in place of these. So a variable of the type [PacketPeer] cannot hold it. A page may close with code 1000
## and 3000 to 4999 only: for the codes 1001 to 2999 it sends 4000 and the last three digits (4013 for 1013), and the other side sees
## that code.

## [method put_packet] and [method put_var] send text messages.
const WRITE_MODE_TEXT: int = 0
## [method put_packet] and [method put_var] send binary messages.
const WRITE_MODE_BINARY: int = 1
## The peer is connecting.
const STATE_CONNECTING: int = 0
## The peer is connected; messages can be sent.
const STATE_OPEN: int = 1
## The closing handshake has begun.
const STATE_CLOSING: int = 2
## The connection has ended.
const STATE_CLOSED: int = 3

const _Checks = preload("checks.gd")
const _Connection = preload("connection.gd")
const _NAME: String = "BufferedWebSocketPeer"
const _NO_CONNECTION: String = "not connected; handles come from get_peer() of a connected object"

## How often the server is asked for a sign of life, in seconds. If 0, it is asked three times in the timeout. The default is the
## [code]heartbeat_interval[/code] of the object that returned this handle. Must be less than the [code]heartbeat_timeout[/code] of that
## object, unless that is 0.
## [br][br]
## [b]Web:[/b] a page cannot send pings. The value has an effect on servers of this addon, in multiplayer mode with the wire format of 4.x.
var heartbeat_interval: float = 0.0:
	get = get_heartbeat_interval,
	set = set_heartbeat_interval

## The size of the largest encoded value that [method put_var] sends, in bytes.
var encode_buffer_max_size: int = 8388608

var _connection: _Connection = null
var _writes_text: bool = false
## Whether the packet that was read last was a text message.
var _was_text: bool = false
var _packet_error: Error = OK


## Closes the connection with a Close frame. Messages that were sent before are still delivered. [param code] is 1000 to 4999 except 1004 to
## 1006 and 1015; [param reason] has at most 123 bytes of UTF-8. Does nothing if the connection is closed already. After a negative
## [param code] this side is closed at once. In both cases the disconnect signal follows from [code]poll()[/code].
## [br][br]
## [b]Web:[/b] see the description of the class for the codes. A browser cannot drop a connection: after a negative code the other side still
## gets a Close frame.
func close(code: int = 1000, reason: String = "") -> void:
	if code < 0:
		if _connection != null:
			_connection.drop()
		return
	var why: String = _Checks.close_fault(code, reason)
	if not why.is_empty():
		_Checks.error(_NAME + ".close()", why)
	elif _connection != null:
		_connection.close(code, reason)


## Returns the IP address of the other side, or an empty string if it is not known.
## [br][br]
## [b]Web:[/b] known only if the URL has it in place of a name: a browser does not tell a page where a name leads.
func get_connected_host() -> String:
	return "" if _connection == null else _connection.url.ip()


## Returns the TCP port of the other side, or 0 if it is not known.
func get_connected_port() -> int:
	return 0 if _connection == null else _connection.url.port


## Returns the number of bytes that the browser has not sent yet, what was sent in this frame included.
func get_current_outbound_buffered_amount() -> int:
	return (
		0 if _connection == null or _connection.is_over else _connection.transport.buffered_bytes()
	)


## Returns the kind of message that [method put_packet] and [method put_var] send: [constant WRITE_MODE_TEXT] or
## [constant WRITE_MODE_BINARY] (the default).
func get_write_mode() -> int:
	return WRITE_MODE_TEXT if _writes_text else WRITE_MODE_BINARY


## Sets the kind of message that [method put_packet] and [method put_var] send. In text mode, they return [constant
## @GlobalScope.ERR_INVALID_DATA] for bytes that are not valid UTF-8.
func set_write_mode(mode: int) -> void:
	if _is_write_mode("set_write_mode", mode):
		_writes_text = mode == WRITE_MODE_TEXT


## Returns [code]true[/code] if messages can be sent.
func is_connected_to_host() -> bool:
	return _connection != null and _connection.is_open()


## If [param enabled] is [code]true[/code] (the default), small messages are sent at once (TCP_NODELAY).
## [br][br]
## [b]Web:[/b] has no effect: browsers always send at once.
func set_no_delay(_enabled: bool) -> void:
	pass


## Returns [code]true[/code] if the last packet that was read was a text message.
func was_string_packet() -> bool:
	return _was_text


## Returns the path and the query of the URL.
func get_requested_path() -> String:
	return "" if _connection == null else _connection.url.target


## Returns the URL that the client connected to.
func get_requested_url() -> String:
	return "" if _connection == null else _connection.url.given


## Returns an empty dictionary: on a client there is no request.
func get_request_headers() -> Dictionary:
	return {}


## Returns null: only a server attaches something to a connection.
func get_handshake_meta() -> Variant:
	return null


## Returns the negotiated subprotocol, or an empty string.
func get_selected_protocol() -> String:
	if _connection == null or not _connection.is_usable:
		return ""
	return _connection.transport.selected_protocol()


## Returns [constant STATE_CONNECTING], [constant STATE_OPEN], [constant STATE_CLOSING] or [constant STATE_CLOSED].
func get_ready_state() -> int:
	return STATE_CLOSED if _connection == null else _connection.state()


## Returns the code of the Close frame that ended the connection, or -1 if there was none.
func get_close_code() -> int:
	return -1 if _connection == null else _connection.close_code


## Returns the reason in the Close frame that ended the connection.
func get_close_reason() -> String:
	return "" if _connection == null else _connection.close_reason


## Sends a message as binary data or as text, regardless of [method set_write_mode]. Returns the same errors as [method put_packet], and
## [constant @GlobalScope.ERR_INVALID_PARAMETER] for an unknown [param write_mode].
func send(message: PackedByteArray, write_mode: int = 1) -> Error:
	if not _is_write_mode("send", write_mode):
		return ERR_INVALID_PARAMETER
	return _transmit("send", message, write_mode == WRITE_MODE_TEXT)


## Sends a text message. Returns the same errors as [method put_packet].
func send_text(message: String) -> Error:
	return _transmit("send_text", message.to_utf8_buffer(), true, true)


## Sends a message, which may be empty.
## [br][br]
## Returns [constant @GlobalScope.FAILED] when not connected, [constant @GlobalScope.ERR_UNCONFIGURED] in multiplayer mode, [constant
## @GlobalScope.ERR_OUT_OF_MEMORY] for a message that is larger than the output buffer or finds no room, and [constant
## @GlobalScope.ERR_INVALID_DATA] for text that is not valid UTF-8.
func put_packet(buffer: PackedByteArray) -> Error:
	return _transmit("put_packet", buffer, _writes_text)


## Returns the next message, which may be empty; [method get_packet_error] says whether there was one.
func get_packet() -> PackedByteArray:
	_packet_error = OK
	if _connection == null:
		_packet_error = FAILED
		_Checks.error(_NAME + ".get_packet()", _NO_CONNECTION)
	elif _connection.is_multiplayer:
		_packet_error = ERR_UNCONFIGURED
		var why: String = "in multiplayer mode packets go through the multiplayer peer, not through the handle of a connection"
		_Checks.error(_NAME + ".get_packet()", why)
	elif _connection.messages.is_empty():
		_packet_error = ERR_UNAVAILABLE
		var why: String = "there is no packet; ask get_available_packet_count() first"
		_Checks.error(_NAME + ".get_packet()", why)
	else:
		_was_text = _connection.messages.is_text()
		return _connection.messages.take()
	return PackedByteArray()


## Returns the error of the last [method get_packet].
func get_packet_error() -> Error:
	return _packet_error


## Returns the number of messages that can be read. In multiplayer mode it is 0.
func get_available_packet_count() -> int:
	if _connection == null or _connection.is_multiplayer:
		return 0
	return _connection.messages.size()


## Sends a value, encoded as by [method @GlobalScope.var_to_bytes]. If [param full_objects] is [code]true[/code], objects can be encoded, with
## their scripts. Returns the same errors as [method put_packet], and [constant @GlobalScope.ERR_OUT_OF_MEMORY] for a value that is larger than
## [member encode_buffer_max_size].
func put_var(value: Variant, full_objects: bool = false) -> Error:
	var bytes: PackedByteArray = (
		var_to_bytes_with_objects(value) if full_objects else var_to_bytes(value)
	)
	if bytes.size() <= encode_buffer_max_size:
		return put_packet(bytes)
	var why: String = "a value of %d bytes is larger than encode_buffer_max_size" % bytes.size()
	_Checks.error(_NAME + ".put_var()", why)
	return ERR_OUT_OF_MEMORY


## Returns the value in the next message. If [param allow_objects] is [code]true[/code], objects can be decoded, which can run code of the sender.
func get_var(allow_objects: bool = false) -> Variant:
	var bytes: PackedByteArray = get_packet()
	if _packet_error != OK or bytes.is_empty():
		return null
	return bytes_to_var_with_objects(bytes) if allow_objects else bytes_to_var(bytes)


func get_heartbeat_interval() -> float:
	return 0.0 if _connection == null else _connection.heartbeat_interval


func set_heartbeat_interval(seconds: float) -> void:
	var where: String = _NAME + ".heartbeat_interval"
	if _connection == null:
		_Checks.error(where, _NO_CONNECTION)
	elif (
		_Checks.is_time(where, seconds, true)
		and _Checks.is_heartbeat(where, seconds, _connection.heartbeat_timeout)
	):
		_connection.set_own_interval(seconds)


func _transmit(
	method: String, message: PackedByteArray, is_text: bool, is_valid: bool = false
) -> Error:
	var where: String = "%s.%s()" % [_NAME, method]
	if _connection == null:
		_Checks.error(where, _NO_CONNECTION)
		return FAILED
	return _connection.send_checked(where, message, is_text, is_valid)


func _is_write_mode(method: String, mode: int) -> bool:
	if mode == WRITE_MODE_TEXT or mode == WRITE_MODE_BINARY:
		return true
	var why: String = (
		"write mode %d is unknown; use WRITE_MODE_TEXT (0) or WRITE_MODE_BINARY (1)" % mode
	)
	_Checks.error("%s.%s()" % [_NAME, method], why)
	return false
