# gdlint:disable=load-constant-name
class_name BufferedWebSocketMultiplayerPeer
extends "multiplayer_client.gd"
## A replacement for the engine's [WebSocketMultiplayerPeer] in a web export: a client over the browser's own WebSocket that loses nothing while
## the tab is hidden, in a burst, or at the end of the connection.
##
## It has the same members and the same protocol as the engine's class: in a project that uses that class, replace its name. A browser cannot be a
## server.

## Emitted on a server only. [b]Web:[/b] never emitted.
@warning_ignore("unused_signal")
signal drained

const _MOST_BYTES: int = 1073741824

## The subprotocols that the client offers. Cannot be changed while open. After a list with an invalid subprotocol, nothing opens until a valid
## list is set.
var supported_protocols: PackedStringArray = PackedStringArray():
	set = set_supported_protocols

## [code]Name: value[/code] lines for the handshake. Cannot be changed while open.
## [br][br]
## [b]Web:[/b] has no effect: a page can send no headers. Put a ticket that is valid for a short time into the query of the URL instead.
var handshake_headers: PackedStringArray = PackedStringArray():
	set = set_handshake_headers

## The size of the input buffer in bytes, 1 to 1073741824, without rounding. Cannot be changed while open. See [method set_buffers] for what it
## means in a browser.
var inbound_buffer_size: int = 65535:
	get = get_inbound_buffer_size,
	set = set_inbound_buffer_size

## The size of the output buffer in bytes, 1 to 1073741824, without rounding. It is also the size of the largest packet. Cannot be changed while
## open.
var outbound_buffer_size: int = 65535:
	get = get_outbound_buffer_size,
	set = set_outbound_buffer_size

## The maximum number of packets that wait to be sent, and that wait to be read; 1 to 1048576. Cannot be changed while open.
var max_queued_packets: int = 4096:
	get = get_max_queued_packets,
	set = set_max_queued_packets

## The time that a peer may take to come back after it has lost its connection. [b]Web:[/b] has no effect: a browser cannot be a server.
var resume_timeout: float = 0.0:
	set = set_resume_timeout

## Whether a server relays packets between clients on the thread of its sockets. [b]Web:[/b] has no effect: a browser cannot be a server.
var relay_on_io_thread: bool = true:
	set = set_relay_on_io_thread

## Why [member supported_protocols] was refused last; empty if it was not.
var _refusal: String = ""


func _init() -> void:
	_name = "BufferedWebSocketMultiplayerPeer"
	_opener = "create_server() or create_client()"
	_input_bytes = 65535
	_input_packets = 4096
	_output_bytes = 65535
	_output_packets = 4096


func set_supported_protocols(protocols: PackedStringArray) -> void:
	var why: String = _Checks.protocols_fault(protocols)
	if not why.is_empty():
		_refusal = why
		_Checks.error(_name + ".supported_protocols", why)
	elif _may_change("supported_protocols"):
		_refusal = ""
		supported_protocols = protocols


func get_supported_protocols() -> PackedStringArray:
	return supported_protocols


func set_handshake_headers(headers: PackedStringArray) -> void:
	if _may_change("handshake_headers"):
		handshake_headers = headers


func get_handshake_headers() -> PackedStringArray:
	return handshake_headers


func set_resume_timeout(seconds: float) -> void:
	if seconds > 120.0:
		var why: String = "%s seconds cannot be used; it must be from 0 to 120" % seconds
		_Checks.error(_name + ".resume_timeout", why)
	elif _Checks.is_time(_name + ".resume_timeout", seconds, true):
		resume_timeout = seconds


func get_resume_timeout() -> float:
	return resume_timeout


func set_relay_on_io_thread(enabled: bool) -> void:
	relay_on_io_thread = enabled


func get_relay_on_io_thread() -> bool:
	return relay_on_io_thread


func set_inbound_buffer_size(buffer_size: int) -> void:
	if _is_new_size("inbound_buffer_size", buffer_size, _MOST_BYTES):
		_input_bytes = buffer_size


func get_inbound_buffer_size() -> int:
	return _input_bytes


func set_outbound_buffer_size(buffer_size: int) -> void:
	if _is_new_size("outbound_buffer_size", buffer_size, _MOST_BYTES):
		_output_bytes = buffer_size


func get_outbound_buffer_size() -> int:
	return _output_bytes


@warning_ignore("shadowed_variable")
func set_max_queued_packets(max_queued_packets: int) -> void:
	if _is_new_size("max_queued_packets", max_queued_packets, _Checks.MOST):
		_input_packets = max_queued_packets
		_output_packets = max_queued_packets


func get_max_queued_packets() -> int:
	return _output_packets


## Starts to connect to a [code]ws://[/code] or [code]wss://[/code] URL, and returns at once.
## [br][br]
## Returns [constant @GlobalScope.ERR_ALREADY_IN_USE] if the object is open already, and [constant @GlobalScope.ERR_INVALID_PARAMETER] for an invalid
## URL, for the TLS options of a server, or after an invalid value of [member supported_protocols].
## [br][br]
## [b]Web:[/b] [param tls_client_options] have no effect: the browser verifies certificates itself.
func create_client(url: String, tls_client_options: TLSOptions = null) -> Error:
	if _is_open():
		_Checks.error(_name + ".create_client()", "already open; call close() first")
		return ERR_ALREADY_IN_USE
	if not _refusal.is_empty():
		var why: String = "supported_protocols was refused (%s); set a valid value, or the default, first"
		_Checks.error(_name + ".create_client()", why % _refusal)
		return ERR_INVALID_PARAMETER
	if tls_client_options != null and tls_client_options.is_server():
		var why: String = "tls_client_options are options of a server; make them with TLSOptions.client()"
		_Checks.error(_name + ".create_client()", why)
		return ERR_INVALID_PARAMETER
	if not handshake_headers.is_empty():
		(
			_Checks
			. warn_once(
				"BufferedWebSocketMultiplayerPeer.create_client(): a browser sends no handshake_headers; put a ticket into the query of the URL instead."
			)
		)
	if tls_client_options != null and OS.has_feature("web"):
		(
			_Checks
			. warn_once(
				"BufferedWebSocketMultiplayerPeer.create_client(): tls_client_options have no effect in a browser, which verifies certificates itself."
			)
		)
	return _open("create_client", url, supported_protocols, true, tls_client_options)


## Prints an error and returns [constant @GlobalScope.ERR_UNAVAILABLE]: a browser cannot be a server.
func create_server(
	_port: int, _bind_address: String = "*", _tls_server_options: TLSOptions = null
) -> Error:
	var why: String = "a web export cannot be a server; run the server as a program, for example a headless Linux export"
	_Checks.error(_name + ".create_server()", why)
	return ERR_UNAVAILABLE


## Returns the IP address of a connected peer. For an unknown id, prints an error and returns an empty string.
## [br][br]
## [b]Web:[/b] known only if the URL has it in place of a name: a browser does not tell a page where a name leads.
func get_peer_address(id: int) -> String:
	if _connection != null and id == _SERVER:
		return _connection.url.ip()
	_report_unknown_peer("get_peer_address", id)
	return ""


## Returns the TCP port of a connected peer. For an unknown id, prints an error and returns 0.
func get_peer_port(id: int) -> int:
	if _connection != null and id == _SERVER:
		return _connection.url.port
	_report_unknown_peer("get_peer_port", id)
	return 0


func _is_new_size(property: String, value: int, most: int) -> bool:
	return (
		_Checks.is_in_range("%s.%s" % [_name, property], value, 1, most) and _may_change(property)
	)


func _output_setting() -> String:
	return "outbound_buffer_size before create_server() or create_client()"
