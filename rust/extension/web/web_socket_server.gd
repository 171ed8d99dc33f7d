# gdlint:disable=max-public-methods,load-constant-name
class_name WebSocketServer
extends "multiplayer_base.gd"
## A browser cannot listen: [method listen] of a web export prints an error and returns [constant @GlobalScope.ERR_UNAVAILABLE].
##
## The class is here so that scripts which name it work: a game whose server is never started in a browser needs no second version of them. All
## properties can be set and read, and have no effect. Signals are never emitted.

## Emitted in raw mode when a client is connected. [b]Web:[/b] never emitted, as all signals of this class.
@warning_ignore("unused_signal")
signal client_connected(id: int, protocol: String)
## Emitted in raw mode when a connection has ended.
@warning_ignore("unused_signal")
signal client_disconnected(id: int, was_clean_close: bool)
## Emitted in both modes when a client has sent a Close frame.
@warning_ignore("unused_signal")
signal client_close_request(id: int, code: int, reason: String)
## Emitted in raw mode when [code]get_peer(id)[/code] has one more packet.
@warning_ignore("unused_signal")
signal data_received(id: int)
## Emitted when [code]refuse_new_connections[/code] is set and no peer is connected.
@warning_ignore("unused_signal")
signal drained

## The IP address to listen on.
var bind_ip: String = "*":
	set = set_bind_ip
## The key of a server with TLS.
var private_key: CryptoKey = null:
	set = set_private_key
## The certificate of a server with TLS.
var ssl_certificate: X509Certificate = null:
	set = set_ssl_certificate
## What is appended to the certificate.
var ca_chain: X509Certificate = null:
	set = set_ca_chain
## The maximum number of connected clients.
var max_connections: int = 0:
	set = set_max_connections
## The maximum number of connections from one address.
var max_connections_per_address: int = 0:
	set = set_max_connections_per_address
## The time that a peer may take to come back after it has lost its connection. [b]Web:[/b] has no effect: a browser cannot be a server.
var resume_timeout: float = 0.0:
	set = set_resume_timeout
## Whether a server relays packets between clients on the thread of its sockets. [b]Web:[/b] has no effect: a browser cannot be a server.
var relay_on_io_thread: bool = true:
	set = set_relay_on_io_thread
## The maximum number of handshakes in progress.
var max_pending_connections: int = 1024:
	set = set_max_pending_connections
## The maximum data rate of one peer.
var max_inbound_kb_per_second: int = 0:
	set = set_max_inbound_kb_per_second
## The pages that may connect.
var allowed_origins: PackedStringArray = PackedStringArray():
	set = set_allowed_origins
## The proxies whose header is believed.
var trusted_proxies: PackedStringArray = PackedStringArray():
	set = set_trusted_proxies
## The header in which proxies name the client.
var proxy_header: String = "x-forwarded-for":
	set = set_proxy_header
## Whether proxies use the PROXY protocol.
var proxy_protocol: bool = false:
	set = set_proxy_protocol
## The function that decides about requests.
var request_handler: Callable = Callable():
	set = set_request_handler
## The path of health checks.
var health_path: String = "":
	set = set_health_path
## The path of the metrics for Prometheus.
var metrics_path: String = "":
	set = set_metrics_path


func _init() -> void:
	_name = "WebSocketServer"
	_opener = "listen()"
	_read_limits(_Settings.SERVER)
	var most: int = 2147483647
	max_connections = _Settings.read(_Settings.SERVER + "max_connections", 0, 0, most)
	max_pending_connections = _Settings.read(
		_Settings.SERVER + "max_pending_connections", 1024, 1, most
	)


## Prints an error and returns [constant @GlobalScope.ERR_UNAVAILABLE]: a browser cannot listen.
func listen(
	_port: int, _protocols: PackedStringArray = PackedStringArray(), _gd_mp_api: bool = false
) -> Error:
	var why: String = "a web export cannot listen; run the server as a program, for example a headless Linux export"
	_Checks.error("WebSocketServer.listen()", why)
	return ERR_UNAVAILABLE


## Does nothing: the server never listens.
func stop() -> void:
	pass


## Returns [code]false[/code].
func is_listening() -> bool:
	return false


## Returns 0.
func get_local_port() -> int:
	return 0


## Returns [code]false[/code].
func has_peer(_id: int) -> bool:
	return false


## Prints an error and returns an empty string: there is no peer.
func get_peer_address(id: int) -> String:
	_report_unknown_peer("get_peer_address", id)
	return ""


## Prints an error and returns 0: there is no peer.
func get_peer_port(id: int) -> int:
	_report_unknown_peer("get_peer_port", id)
	return 0


## Prints an error: there is no peer.
## [br][br]
## [b]Web:[/b] called through a variable of this class, the engine's own method is called, which takes two arguments.
@warning_ignore("native_method_override")
func disconnect_peer(id: int, code: Variant = 1000, reason: String = "") -> void:
	if code is int:
		@warning_ignore("unsafe_call_argument")
		var why: String = _Checks.close_fault(code, reason)
		if not why.is_empty():
			_Checks.error("WebSocketServer.disconnect_peer()", why)
			return
	_report_unknown_peer("disconnect_peer", id)


## Prints an error and returns [constant @GlobalScope.ERR_UNCONFIGURED]: the server does not listen.
func set_certificate(_key: CryptoKey, _certificate: X509Certificate) -> Error:
	_Checks.error("WebSocketServer.set_certificate()", "not open; call listen() first")
	return ERR_UNCONFIGURED


## Prints an error and returns [constant @GlobalScope.ERR_UNCONFIGURED]: there is no request.
func answer_request(_peer_id: int, _verdict: Variant) -> Error:
	_Checks.error("WebSocketServer.answer_request()", "not open; call listen() first")
	return ERR_UNCONFIGURED


## Has no effect.
func set_extra_headers(_headers: PackedStringArray = PackedStringArray()) -> void:
	pass


func set_bind_ip(address: String) -> void:
	bind_ip = address


func get_bind_ip() -> String:
	return bind_ip


func set_private_key(key: CryptoKey) -> void:
	private_key = key


func get_private_key() -> CryptoKey:
	return private_key


func set_ssl_certificate(certificate: X509Certificate) -> void:
	ssl_certificate = certificate


func get_ssl_certificate() -> X509Certificate:
	return ssl_certificate


func set_ca_chain(chain: X509Certificate) -> void:
	ca_chain = chain


func get_ca_chain() -> X509Certificate:
	return ca_chain


func set_max_connections(count: int) -> void:
	max_connections = count


func get_max_connections() -> int:
	return max_connections


func set_max_connections_per_address(count: int) -> void:
	max_connections_per_address = count


func get_max_connections_per_address() -> int:
	return max_connections_per_address


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


func set_max_pending_connections(count: int) -> void:
	max_pending_connections = count


func get_max_pending_connections() -> int:
	return max_pending_connections


func set_max_inbound_kb_per_second(rate_kb: int) -> void:
	max_inbound_kb_per_second = rate_kb


func get_max_inbound_kb_per_second() -> int:
	return max_inbound_kb_per_second


func set_allowed_origins(origins: PackedStringArray) -> void:
	allowed_origins = origins


func get_allowed_origins() -> PackedStringArray:
	return allowed_origins


func set_trusted_proxies(networks: PackedStringArray) -> void:
	trusted_proxies = networks


func get_trusted_proxies() -> PackedStringArray:
	return trusted_proxies


func set_proxy_header(name: String) -> void:
	proxy_header = name


func get_proxy_header() -> String:
	return proxy_header


func set_proxy_protocol(enabled: bool) -> void:
	proxy_protocol = enabled


func get_proxy_protocol() -> bool:
	return proxy_protocol


func set_request_handler(handler: Callable) -> void:
	request_handler = handler


func get_request_handler() -> Callable:
	return request_handler


func set_health_path(path: String) -> void:
	health_path = path


func get_health_path() -> String:
	return health_path


func set_metrics_path(path: String) -> void:
	metrics_path = path


func get_metrics_path() -> String:
	return metrics_path


func _is_server() -> bool:
	return true


func _get_unique_id() -> int:
	return 1
