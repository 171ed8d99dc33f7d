# gdlint:disable=load-constant-name
class_name WebSocketClient
extends "multiplayer_client.gd"
## A WebSocket client of a web export, over the browser's own WebSocket.
##
## In multiplayer mode, assign the object to the [member MultiplayerAPI.multiplayer_peer] of a [MultiplayerAPI]. In raw mode, each message is one
## packet of [code]get_peer(1)[/code], and your script must call [code]poll()[/code] regularly. While the tab is hidden no frame runs; what arrives
## meanwhile is kept and handled, in order, when it is shown (see [member run_in_background]).

## Emitted in raw mode when the client is connected. [param protocol] is the negotiated subprotocol, or empty.
signal connection_established(protocol: String)
## Emitted in raw mode when the connection has ended. [param was_clean_close] is [code]true[/code] if it ended with a closing handshake.
signal connection_closed(was_clean_close: bool)
## Emitted in raw mode when the client could not connect. [method get_last_error] returns the reason.
signal connection_error
## Emitted in raw mode when [code]get_peer(1)[/code] has one more packet.
signal data_received
## Emitted in both modes when the server has sent a Close frame, with its code (1005 if it has none) and reason.
## [br][br]
## [b]Web:[/b] emitted when everything that came before has become readable.
signal server_close_request(code: int, reason: String)

## If [code]true[/code] (the default), the certificate of a [code]wss://[/code] server is verified.
## [br][br]
## [b]Web:[/b] has no effect: the browser always verifies it.
var verify_ssl: bool = true:
	get = is_verify_ssl_enabled,
	set = set_verify_ssl_enabled

## The only certificate, or the only authority, that is trusted for a [code]wss://[/code] server.
## [br][br]
## [b]Web:[/b] has no effect: the browser trusts what its user trusts.
var trusted_ssl_certificate: X509Certificate = null:
	set = set_trusted_ssl_certificate


func _init() -> void:
	_name = "WebSocketClient"
	_opener = "connect_to_url()"
	_read_limits(_Settings.CLIENT)


func set_verify_ssl_enabled(enabled: bool) -> void:
	if _may_change("verify_ssl"):
		verify_ssl = enabled


func is_verify_ssl_enabled() -> bool:
	return verify_ssl


func set_trusted_ssl_certificate(certificate: X509Certificate) -> void:
	if _may_change("trusted_ssl_certificate"):
		trusted_ssl_certificate = certificate


func get_trusted_ssl_certificate() -> X509Certificate:
	return trusted_ssl_certificate


## Starts to connect to a [code]ws://[/code] or [code]wss://[/code] URL, and returns at once. [param protocols] are the subprotocols to offer. If
## [param gd_mp_api] is [code]true[/code], the client uses multiplayer mode. A URL without a scheme means [code]ws://[/code]. A fragment
## ([code]#...[/code]) is ignored.
## [br][br]
## Returns [constant @GlobalScope.ERR_ALREADY_IN_USE] if the client is open already, and [constant @GlobalScope.ERR_INVALID_PARAMETER] for an
## invalid URL or subprotocol.
## [br][br]
## [b]Web:[/b] a page can send neither [param custom_headers] nor user and password of the URL. Put a ticket that is valid for a short time into
## the query instead: servers and proxies write the query into their logs. A page from [code]https://[/code] can connect to [code]wss://[/code]
## only.
func connect_to_url(
	url: String,
	protocols: PackedStringArray = PackedStringArray(),
	gd_mp_api: bool = false,
	custom_headers: PackedStringArray = PackedStringArray()
) -> Error:
	if not custom_headers.is_empty():
		(
			_Checks
			. warn_once(
				"WebSocketClient.connect_to_url(): a browser sends no custom_headers; put a ticket into the query of the URL instead."
			)
		)
	var tls_options: TLSOptions = null
	if not verify_ssl:
		tls_options = TLSOptions.client_unsafe()
	elif trusted_ssl_certificate != null:
		tls_options = TLSOptions.client(trusted_ssl_certificate)
	if tls_options != null and OS.has_feature("web"):
		(
			_Checks
			. warn_once(
				"WebSocketClient: verify_ssl and trusted_ssl_certificate have no effect in a browser, which verifies certificates itself."
			)
		)
	return _open("connect_to_url", url, protocols, gd_mp_api, tls_options)


## Closes the connection with a Close frame; the disconnect signal follows. [param code] is 1000 to 4999 except 1004 to 1006 and 1015; [param
## reason] has at most 123 bytes of UTF-8. If the client is still connecting, stops connecting without a signal. Does nothing if the client is not
## open.
## [br][br]
## [b]Web:[/b] a page may send 1000 and 3000 to 4999 only: for the codes 1001 to 2999 it sends 4000 and the last three digits (4013 for
## 1013).
func disconnect_from_host(code: int = 1000, reason: String = "") -> void:
	var why: String = _Checks.close_fault(code, reason)
	if not why.is_empty():
		_Checks.error("WebSocketClient.disconnect_from_host()", why)
	elif _status == MultiplayerPeer.CONNECTION_CONNECTED:
		_connection.close(code, reason)
		_clear_packets()
	else:
		_close()


## Returns the IP address of the server. When not connected, prints an error and returns an empty string.
## [br][br]
## [b]Web:[/b] known only if the URL has it in place of a name: a browser does not tell a page where a name leads.
func get_connected_host() -> String:
	return _connection.url.ip() if _is_connected("get_connected_host") else ""


## Returns the TCP port of the server. When not connected, prints an error and returns 0.
func get_connected_port() -> int:
	return _connection.url.port if _is_connected("get_connected_port") else 0


func _is_connected(method: String) -> bool:
	if _connection != null and _connection.is_usable:
		return true
	_report_unknown_peer(method, _SERVER)
	return false


func _output_setting() -> String:
	return "network/limits/websocket_client/max_out_buffer_kb or call set_buffers() before connect_to_url()"


func _on_established(protocol: String) -> void:
	connection_established.emit(protocol)


func _on_closed(was_clean: bool) -> void:
	connection_closed.emit(was_clean)


func _on_not_connected() -> void:
	connection_error.emit()


func _on_message() -> void:
	data_received.emit()


func _has_message_listeners() -> bool:
	return not data_received.get_connections().is_empty()


func _on_close_request(code: int, reason: String) -> void:
	server_close_request.emit(code, reason)
