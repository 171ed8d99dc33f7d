# A wrong call of a script returns the documented error, changes nothing, and prints one line that says what to change.
# The variant `web` tries the scripts of a web export.
# processes: main
# variant: addon
# variant: web web=main scripts=web
# expect: ^ERROR: WebSocketServer\.\w+(\(\))?: .+\.$
# expect: ^ERROR: WebSocketClient\.\w+(\(\))?: .+\.$
# expect: ^ERROR: BufferedWebSocketMultiplayerPeer\.\w+(\(\))?: .+\.$
# expect: ^ERROR: BufferedWebSocketPeer\.\w+(\(\))?: .+\.$
extends "res://lib/case.gd"

const ErrorLines := preload("res://lib/error_lines.gd")

## An address for documentation (RFC 5737): no machine has it.
const NOBODYS_ADDRESS := "203.0.113.1"

var _lines := ErrorLines.new()
var _uses := 0


func run() -> void:
	_server_not_open(WebSocketServer.new())
	if args.has("scripts"):
		_client()
		_client_that_connects()
		_handle()
		_common_properties(WebSocketServer.new())
		_common_properties(WebSocketClient.new())
		_common_properties(BufferedWebSocketMultiplayerPeer.new())
		check(_uses > 150, "only %d wrong uses were tried" % _uses)
		_lines.stop()
		return
	_server_properties()
	_server_that_cannot_listen()
	_server_that_listens()
	_server_in_raw_mode()
	_gate_of_a_server()
	_certificates_of_a_server()
	_client()
	_client_that_connects()
	_multiplayer_peer()
	_handle()
	_common_properties(WebSocketServer.new())
	_common_properties(WebSocketClient.new())
	_common_properties(BufferedWebSocketMultiplayerPeer.new())
	check(_uses > 150, "only %d wrong uses were tried" % _uses)
	_lines.stop()


## Before `listen()` and after `close()` alike.
func _server_not_open(server: WebSocketServer) -> void:
	_packets_of_a_closed_object(server, "call listen\\(\\) first")
	_wrong(server.get_peer.bind(5), null, "get_peer.*peer 5 .*listen\\(\\) first")
	_wrong(server.get_peer_address.bind(5), "", "get_peer_address.*peer 5")
	_wrong(server.get_peer_port.bind(5), 0, "get_peer_port.*peer 5")
	_wrong(server.get_peer_statistics.bind(5), {}, "get_peer_statistics.*peer 5")
	_wrong(server.disconnect_peer.bind(5), null, "disconnect_peer.*peer 5")
	_wrong(server.get_peer.bind(-5), null, "peer -5")
	_wrong(server.get_peer.bind(1 << 40), null, "peer 1099511627776")
	_wrong(server.get_peer.bind((1 << 32) + 5), null, "peer 4294967301")
	for code: int in [-1, 2, 999, 1004, 1005, 1006, 1015, 5000, 1 << 20]:
		_wrong(server.disconnect_peer.bind(5, code), null, "disconnect_peer.*code %d" % code)
	_wrong(server.disconnect_peer.bind(5, 1000, "x".repeat(124)), null, "123 bytes")
	_wrong(server.disconnect_peer.bind(5, 1000, "ä".repeat(62)), null, "123 bytes")
	# Through a variable of this type the engine's method is called.
	var as_engine: MultiplayerPeer = server
	_wrong(func() -> void: as_engine.disconnect_peer(5, true), null, "disconnect_peer.*peer 5")
	_right(server.has_peer.bind(5), false)
	_right(server.is_listening, false)
	_right(server.get_local_port, 0)
	_right(server.poll, null)
	_right(server.close, null)
	_right(server.stop, null)
	_right(server.get_close_code, -1)
	_right(server.get_last_error, "")


func _server_properties() -> void:
	var server := WebSocketServer.new()
	for bad: String in ["", "localhost", "1.2.3", "1.2.3.4.5", "::g", "*:80"]:
		_refused(server, "bind_ip", bad)
	for bad: int in [-1, 1 << 31]:
		_refused(server, "max_connections", bad)
		_refused(server, "max_connections_per_address", bad)
		_refused(server, "max_inbound_kb_per_second", bad)
	for bad: int in [-1, 0, 1 << 31]:
		_refused(server, "max_pending_connections", bad)
	_resume_timeout(server)
	for bad: String in ["no colon", ": no name", "a b: c", "A: b\r\nC: d", "Upgrade: other"]:
		_wrong(
			server.set_extra_headers.bind(PackedStringArray([bad])),
			null,
			"set_extra_headers.*header line"
		)
	for address: String in ["*", "127.0.0.1", "::1", "[::1]"]:
		_right(server.set_bind_ip.bind(address), null)


func _server_that_cannot_listen() -> void:
	var server := WebSocketServer.new()
	for bad: int in [-1, 65536, 70000, 1 << 32, -(1 << 40)]:
		_wrong(
			server.listen.bind(bad),
			ERR_INVALID_PARAMETER,
			"listen\\(\\): port %d .*0 .*65535" % bad
		)
	_wrong(
		server.listen.bind(0, PackedStringArray(["a b"])),
		ERR_INVALID_PARAMETER,
		'subprotocol "a b"'
	)
	server.bind_ip = NOBODYS_ADDRESS
	_wrong(server.listen.bind(0), ERR_CANT_CREATE, "cannot listen on 203.0.113.1")
	server.bind_ip = "127.0.0.1"
	_right(server.listen.bind(0), OK)
	var other := WebSocketServer.new()
	other.bind_ip = "127.0.0.1"
	var taken := server.get_local_port()
	_wrong(other.listen.bind(taken), ERR_ALREADY_IN_USE, "port %d is already in use" % taken)
	_right(other.is_listening, false)
	server.stop()
	_right(other.listen.bind(taken), OK)
	other.stop()


func _server_that_listens() -> void:
	var server := WebSocketServer.new()
	_right(server.set_buffers.bind(1, 1, 1, 1), OK)
	_right(server.listen.bind(0, PackedStringArray(), true), OK)
	_wrong(server.listen.bind(0), ERR_ALREADY_IN_USE, "already open; call close\\(\\) first")
	_wrong(server.set_buffers.bind(64, 64, 64, 64), FAILED, "set_buffers.*before listen")
	var fixed := ["bind_ip", "max_pending_connections", "proxy_header"]
	for property: String in fixed + ["compression_mode", "compression_threshold"]:
		_refused(server, property, server.get(property), "cannot change while open")
	_refused(server, "private_key", CryptoKey.new(), "cannot change while open")
	_refused(server, "ssl_certificate", X509Certificate.new(), "cannot change while open")
	_refused(server, "ca_chain", X509Certificate.new(), "cannot change while open")
	_refused(server, "wire_format", WebSocketServer.WIRE_FORMAT_GODOT3, "cannot change while open")
	_wrong(
		server.set_extra_headers.bind(PackedStringArray(["A: b"])), null, "cannot change while open"
	)
	_wrong(server.get_peer.bind(1), null, "peer 1 is not connected\\.")
	_wrong(server.get_packet_peer, 1, "there is no packet")
	_wrong(server.get_packet, PackedByteArray(), "get_packet\\(\\).*there is no packet")
	check_eq(server.get_packet_error(), ERR_UNAVAILABLE, "get_packet() from an empty queue")
	server.set_target_peer(77)
	_wrong(
		server.put_packet.bind(PackedByteArray([1])), ERR_INVALID_PARAMETER, "there is no peer 77"
	)
	_wrong(server.put_var.bind("x"), ERR_INVALID_PARAMETER, "there is no peer 77")
	server.set_target_peer(0)
	_right(server.put_packet.bind(PackedByteArray([1])), OK)
	var large := PackedByteArray()
	large.resize(1024)
	_right(server.put_packet.bind(large), OK)
	large.resize(1025)
	_wrong(
		server.put_packet.bind(large),
		ERR_OUT_OF_MEMORY,
		"1025 bytes .*1024.*network/limits/websocket_server/max_out_buffer_kb or call set_buffers"
	)
	server.close()
	_server_not_open(server)
	_right(server.close, null)


func _server_in_raw_mode() -> void:
	var server := WebSocketServer.new()
	_right(server.listen.bind(0), OK)
	_wrong(
		server.put_packet.bind(PackedByteArray([1])),
		ERR_UNCONFIGURED,
		"put_packet.*get_peer\\(id\\)"
	)
	_wrong(server.get_packet, PackedByteArray(), "get_packet\\(\\).*get_peer\\(id\\)")
	check_eq(server.get_packet_error(), ERR_UNCONFIGURED, "get_packet() in raw mode")
	_wrong(server.get_packet_peer, 1, "get_packet_peer.*get_peer\\(id\\)")
	_right(server.get_available_packet_count, 0)
	server.stop()


func _gate_of_a_server() -> void:
	var right := {
		max_connections_per_address = 1,
		max_inbound_kb_per_second = 1,
		max_pending_connections = 5,
		allowed_origins =
		PackedStringArray(
			[
				"https://example.org",
				"https://*.example.org:8443",
				"http://localhost:*",
				"file://",
				"null"
			]
		),
		trusted_proxies = PackedStringArray(["10.0.0.0/8", "::1"]),
		proxy_header = "X-Real-IP",
		proxy_protocol = true,
		request_handler = func(_request: Dictionary) -> bool: return true,
		health_path = "/health",
		metrics_path = "/metrics",
	}
	var server := WebSocketServer.new()
	for property: String in right:
		server.set(property, right[property])
		check_eq(server.get(property), right[property], property + " is kept")
	var wrong := {
		allowed_origins = [["example.org"], ["https://example.org/"], ["https://*"], ["*"], [""]],
		trusted_proxies = [["10.0.0.0/33"], ["10.0.0.1/8"], ["localhost"], [""]],
		proxy_header = ["", "a b", "Forwarded"],
		health_path = ["health", "/a b", "/a?b", "/a\r\nb"],
		metrics_path = ["metrics", "/a b", "/a?b", "/a\r\nb"],
		max_connections_per_address = [-1],
		max_inbound_kb_per_second = [-1],
		max_pending_connections = [0],
	}
	for property: String in wrong:
		for value: Variant in wrong[property]:
			if value is Array:
				value = PackedStringArray(value)
			_wrong(server.set.bind(property, value), null, "%s: .+\\.$" % property)
			check_eq(server.get(property), right[property], property + " is unchanged")
	_wrong(server.listen.bind(0), ERR_INVALID_DATA, "allowed_origins .*trusted_proxies was refused")
	for property: String in ["allowed_origins", "trusted_proxies"]:
		server.set(property, right[property])
	_right(server.listen.bind(0), OK)
	for property: String in right:
		var other: Variant = WebSocketServer.new().get(property)
		_wrong(server.set.bind(property, other), null, "%s: it cannot change while open" % property)
		check_eq(server.get(property), right[property], property + " is fixed")
	server.max_connections = 5
	check_eq(server.max_connections, 5, "max_connections may change while listening")
	server.stop()


func _certificates_of_a_server() -> void:
	var secure := WebSocketServer.new()
	# An empty key would make the engine itself complain.
	var key := Crypto.new().generate_rsa(2048)
	secure.private_key = key
	secure.ssl_certificate = X509Certificate.new()
	_wrong(secure.listen.bind(0), ERR_INVALID_DATA, "the certificate holds no PEM certificate")
	_right(secure.is_listening, false)
	_wrong(
		secure.set_certificate.bind(key, X509Certificate.new()),
		ERR_INVALID_DATA,
		"set_certificate\\(\\): the certificate holds no PEM certificate"
	)
	var plain := WebSocketServer.new()
	_right(plain.listen.bind(0), OK)
	_wrong(
		plain.set_certificate.bind(key, X509Certificate.new()),
		ERR_UNCONFIGURED,
		"listens without TLS"
	)


func _client() -> void:
	var client := WebSocketClient.new()
	_wrong(client.reconnect, ERR_UNAVAILABLE, "reconnect\\(\\).*session")
	_right(client.is_suspended, false)
	_packets_of_a_closed_object(client, "call connect_to_url\\(\\) first")
	_wrong(client.get_peer.bind(1), null, "peer 1 .*connect_to_url\\(\\) first")
	_wrong(client.get_connected_host, "", "get_connected_host.*not connected")
	_wrong(client.get_connected_port, 0, "get_connected_port.*not connected")
	_wrong(client.get_peer_statistics.bind(1), {}, "get_peer_statistics.*peer 1")
	_wrong(client.disconnect_from_host.bind(1005), null, "disconnect_from_host.*code 1005")
	_wrong(client.disconnect_from_host.bind(1000, "x".repeat(124)), null, "123 bytes")
	_right(client.disconnect_from_host, null)
	_right(client.close, null)
	_right(client.poll, null)
	for bad: String in [
		"",
		"http://localhost",
		"ws://",
		"ws://:80",
		"ws://host:0",
		"ws://host:65536",
		"ws://host:port",
		"ws://[::1",
		"ws://host/ x",
		"ws://host\r\nX: y/",
	]:
		_wrong(
			client.connect_to_url.bind(bad),
			ERR_INVALID_PARAMETER,
			"connect_to_url\\(\\): cannot connect to"
		)
	var url := "ws://127.0.0.1:%d" % port
	# A browser sends no headers and decides about certificates itself.
	var headers := ["no colon", "Host: other\r\nX: y", "Sec-WebSocket-Key: mine"]
	for bad: String in [] if args.has("scripts") else headers:
		_wrong(
			client.connect_to_url.bind(url, PackedStringArray(), true, PackedStringArray([bad])),
			ERR_INVALID_PARAMETER,
			"connect_to_url\\(\\): header line"
		)
	_wrong(
		client.connect_to_url.bind(url, PackedStringArray([""])),
		ERR_INVALID_PARAMETER,
		"subprotocol"
	)
	if not args.has("scripts"):
		client.trusted_ssl_certificate = X509Certificate.new()
		_wrong(
			client.connect_to_url.bind("wss://localhost"),
			ERR_INVALID_DATA,
			"the trusted certificate holds no PEM certificate"
		)
	client.wire_format = WebSocketClient.WIRE_FORMAT_GODOT3
	check_eq(client.is_server_relay_supported(), false, "relay of the engine over the 3.x wire")
	check_eq(
		client.get_connection_status(),
		MultiplayerPeer.CONNECTION_DISCONNECTED,
		"status after all this"
	)


func _client_that_connects() -> void:
	var client := WebSocketClient.new()
	# Nobody listens, but the client cannot know that before it is polled.
	var url := "ws://127.0.0.1:%d" % port
	_right(client.connect_to_url.bind(url, PackedStringArray(), true), OK)
	_wrong(client.connect_to_url.bind(url), ERR_ALREADY_IN_USE, "already open")
	_wrong(client.connect_to_url.bind("no url"), ERR_ALREADY_IN_USE, "already open")
	_wrong(client.set_buffers.bind(1, 1, 1, 1), FAILED, "set_buffers.*before connect_to_url")
	_refused(client, "verify_ssl", false, "cannot change while open")
	_refused(client, "trusted_ssl_certificate", X509Certificate.new(), "cannot change while open")
	_wrong(
		client.put_packet.bind(PackedByteArray([1])),
		ERR_UNCONFIGURED,
		"put_packet.*not connected yet"
	)
	_wrong(client.get_peer.bind(2), null, "peer 2 .*only peer is 1")
	client.close()
	_packets_of_a_closed_object(client, "call connect_to_url\\(\\) first")
	_right(client.connect_to_url.bind(url, PackedStringArray(), true), OK)
	_right(client.disconnect_from_host, null)
	check_eq(
		client.get_connection_status(), MultiplayerPeer.CONNECTION_DISCONNECTED, "after giving up"
	)
	_right(client.connect_to_url.bind(url, PackedStringArray(), true), OK)
	client.close()


func _multiplayer_peer() -> void:
	var peer := BufferedWebSocketMultiplayerPeer.new()
	_resume_timeout(peer)
	_packets_of_a_closed_object(peer, "call create_server\\(\\) or create_client\\(\\) first")
	_wrong(peer.get_peer_address.bind(1), "", "get_peer_address.*peer 1")
	_wrong(peer.get_peer_port.bind(1), 0, "get_peer_port.*peer 1")
	_wrong(
		peer.create_client.bind("http://host"),
		ERR_INVALID_PARAMETER,
		"create_client\\(\\): cannot connect to"
	)
	var key := Crypto.new().generate_rsa(2048)
	var of_server := TLSOptions.server(key, X509Certificate.new())
	_wrong(
		peer.create_client.bind("wss://host", of_server), ERR_INVALID_PARAMETER, "TLSOptions.client"
	)
	_wrong(
		peer.create_server.bind(0, "*", of_server),
		ERR_INVALID_DATA,
		"create_server\\(\\): the certificate holds no PEM certificate"
	)
	_wrong(
		peer.create_server.bind(0, "*", TLSOptions.client()),
		ERR_INVALID_PARAMETER,
		"TLSOptions.server"
	)
	_wrong(peer.create_server.bind(-1), ERR_INVALID_PARAMETER, "port -1")
	_wrong(peer.create_server.bind(65536), ERR_INVALID_PARAMETER, "port 65536")
	_wrong(peer.create_server.bind(0, "nowhere"), ERR_INVALID_PARAMETER, 'bind_address "nowhere"')
	_wrong(
		peer.create_server.bind(0, NOBODYS_ADDRESS), ERR_CANT_CREATE, "cannot listen on 203.0.113.1"
	)
	for property in ["inbound_buffer_size", "outbound_buffer_size", "max_queued_packets"]:
		for bad: int in [-1, 0, 1 << 31]:
			_refused(peer, property, bad)
	_refused(peer, "supported_protocols", PackedStringArray(["a b"]))
	_refused(peer, "handshake_headers", PackedStringArray(["no colon"]))
	_wrong(
		peer.create_server.bind(0),
		ERR_INVALID_PARAMETER,
		"handshake_headers .*supported_protocols was refused"
	)
	peer.supported_protocols = PackedStringArray()
	peer.handshake_headers = PackedStringArray()
	_right(peer.create_server.bind(0, "127.0.0.1"), OK)
	_wrong(peer.create_server.bind(0), ERR_ALREADY_IN_USE, "already open")
	_wrong(peer.create_client.bind("ws://host"), ERR_ALREADY_IN_USE, "already open")
	for property in ["inbound_buffer_size", "outbound_buffer_size", "max_queued_packets"]:
		_refused(peer, property, 1, "cannot change while open")
	var large := PackedByteArray()
	large.resize(65536)
	_wrong(
		peer.put_packet.bind(large), ERR_OUT_OF_MEMORY, "65536 bytes .*65535.*outbound_buffer_size"
	)
	_wrong(peer.disconnect_peer.bind(9), null, "disconnect_peer.*peer 9")
	_wrong(peer.disconnect_peer.bind(9, true), null, "disconnect_peer.*peer 9")
	peer.close()


func _handle() -> void:
	var handle := BufferedWebSocketPeer.new()
	var bytes := PackedByteArray([1])
	_wrong(handle.put_packet.bind(bytes), FAILED, "put_packet.*not connected")
	_wrong(handle.put_packet.bind(PackedByteArray()), FAILED, "put_packet.*not connected")
	_wrong(handle.put_var.bind(1), FAILED, "put_packet.*not connected")
	_wrong(handle.send.bind(bytes), FAILED, "send\\(\\).*not connected")
	_wrong(handle.send_text.bind("x"), FAILED, "send_text.*not connected")
	_wrong(handle.send.bind(bytes, 2), ERR_INVALID_PARAMETER, "write mode 2")
	_wrong(handle.get_packet, PackedByteArray(), "get_packet.*not connected")
	check_eq(handle.get_packet_error(), FAILED, "get_packet() of no connection")
	_wrong(handle.set_write_mode.bind(2), null, "write mode 2 is unknown")
	check_eq(handle.get_write_mode(), BufferedWebSocketPeer.WRITE_MODE_BINARY, "write mode")
	_wrong(handle.close.bind(1006), null, "close\\(\\).*code 1006")
	_refused(handle, "heartbeat_interval", 5.0, "not connected")
	_right(handle.close.bind(-1), null)
	_right(handle.close, null)
	_right(handle.set_no_delay.bind(true), null)


func _common_properties(peer: MultiplayerPeer) -> void:
	for property in ["handshake_timeout", "close_timeout"]:
		for bad: float in [0.0, -1.0, NAN, INF, -INF]:
			_refused(peer, property, bad)
	for property in ["heartbeat_interval", "heartbeat_timeout", "write_timeout", "overflow_grace"]:
		for bad: float in [-0.001, NAN, INF]:
			_refused(peer, property, bad)
		_right(peer.set.bind(property, 0.0), null)
	peer.set("heartbeat_timeout", 60.0)
	peer.set("heartbeat_interval", 20.0)
	_refused(peer, "heartbeat_interval", 60.0, "heartbeat_timeout \\(60 s\\) must be greater")
	_refused(peer, "heartbeat_timeout", 20.0, "heartbeat_timeout \\(20 s\\) must be greater")
	for bad: int in [-1, 2]:
		_refused(peer, "wire_format", bad)
		_refused(peer, "overflow_policy", bad)
	for bad: int in [-1, 0, 1048577]:
		_refused(peer, "max_message_size_kb", bad)
	for bad: int in [-1, 1048577]:
		_refused(peer, "unreliable_backlog_kb", bad)
	for bad: int in [-1, 3]:
		_refused(peer, "compression_mode", bad, "use COMPRESSION_OFF \\(0\\)")
	for bad: int in [-1, (1 << 30) + 1]:
		_refused(peer, "compression_threshold", bad, "from 0 to 1073741824")
	for bad: int in [-1, 10001, 1 << 40]:
		_refused(peer, "simulate_latency_msec", bad, "from 0 to 10000")
		_refused(peer, "simulate_jitter_msec", bad, "from 0 to 10000")
	for bad: int in [-1, 1000001, 1 << 32]:
		_refused(peer, "simulate_bandwidth_kbps", bad, "from 0 to 1000000")
	for bad: int in [-1, 1, 3601]:
		_refused(peer, "simulate_stall_every_sec", bad, "0 \\(never\\), or from 2 to 3600")
		_refused(peer, "simulate_disconnect_every_sec", bad, "0 \\(never\\), or from 2 to 3600")
	_refused(peer, "simulate_latency_msec", NAN)
	_right(peer.call.bind("set_buffers", 100, 1, 1, 1), OK)
	check_eq(peer.get("max_message_size_kb"), 128, "100 KiB rounded up")
	for bad: int in [0, -1, 1048577, 1 << 40]:
		for position: int in 4:
			var sizes: Array[int] = [8, 8, 8, 8]
			sizes[position] = bad
			_wrong(
				peer.call.bindv(["set_buffers"] + sizes),
				ERR_INVALID_PARAMETER,
				"set_buffers.* %d; " % bad
			)
	check_eq(peer.get("max_message_size_kb"), 128, "after refused set_buffers()")


func _resume_timeout(peer: MultiplayerPeer) -> void:
	for bad: float in [120.001, 1e9, -1.0, NAN, INF]:
		_refused(peer, "resume_timeout", bad)
	_refused(peer, "resume_timeout", 121.0, "121 seconds cannot be used; it must be from 0 to 120")
	for good: float in [120.0, 0.0]:
		_right(peer.set.bind("resume_timeout", good), null)


func _packets_of_a_closed_object(peer: MultiplayerPeer, pattern: String) -> void:
	_wrong(peer.get_packet, PackedByteArray(), "get_packet\\(\\).*" + pattern)
	# A script can give the engine no other error.
	var error := ERR_UNAVAILABLE if args.has("scripts") else ERR_UNCONFIGURED
	check_eq(peer.get_packet_error(), error, "get_packet() of a closed object")
	_wrong(peer.get_packet_peer, 1, "get_packet_peer.*" + pattern)
	_wrong(peer.put_packet.bind(PackedByteArray([1])), ERR_UNCONFIGURED, "put_packet.*" + pattern)
	_wrong(peer.put_var.bind(1), ERR_UNCONFIGURED, "put_packet.*" + pattern)
	_right(peer.get_available_packet_count, 0)
	_right(peer.get_connection_status, MultiplayerPeer.CONNECTION_DISCONNECTED)


## A property keeps its value, and one line names it.
func _refused(object: Object, property: String, value: Variant, pattern := "") -> void:
	var before: Variant = object.get(property)
	var script: Script = object.get_script()
	var type := String(script.get_global_name()) if script != null else object.get_class()
	_wrong(object.set.bind(property, value), null, "%s\\.%s: .*%s" % [type, property, pattern])
	check_eq(object.get(property), before, "%s.%s after %s was refused" % [type, property, value])


func _wrong(use: Callable, answer: Variant, pattern: String) -> void:
	_uses += 1
	_lines.take()
	check_eq(use.call(), answer, "answer to what should say: " + pattern)
	var lines := _lines.take()
	if _lines.is_available() and check_eq(lines.size(), 1, "lines for %s: %s" % [pattern, lines]):
		var regex := RegEx.create_from_string(pattern)
		check(regex.search(lines[0]) != null, "%s does not say %s" % [lines[0], pattern])


func _right(use: Callable, answer: Variant) -> void:
	_lines.take()
	check_eq(use.call(), answer, "answer to " + use.get_method())
	check_eq(_lines.take(), [] as Array[String], "lines for " + use.get_method())
