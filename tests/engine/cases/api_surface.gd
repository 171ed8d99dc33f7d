# Every class has the documented members, with their names, arguments, defaults and types.
# processes: main
extends "res://lib/case.gd"

## One line per method: `name(argument: type = default, ...) -> type`.
const COMMON_METHODS: Array[String] = [
	"get_peer(peer_id: int) -> BufferedWebSocketPeer",
	(
		"set_buffers(input_buffer_size_kb: int, input_max_packets: int,"
		+ " output_buffer_size_kb: int, output_max_packets: int) -> int Error"
	),
	"put_packet(buffer: PackedByteArray) -> int Error",
	"get_statistics() -> Dictionary",
	"get_peer_statistics(id: int) -> Dictionary",
	"get_last_error() -> String",
	"get_close_code() -> int",
	"get_close_reason() -> String",
]
const COMMON_SIGNALS: Array[String] = [
	"peer_packet(peer_source: int)",
	"packet_refused(id: int, size: int)",
	"peer_congested(id: int)",
	"peer_drained(id: int)",
	"peer_suspended(id: int)",
	"peer_resumed(id: int)",
	"peer_overflowed(id: int)",
	"connection_succeeded()",
	"connection_failed()",
	"server_disconnected()",
]
const COMMON_PROPERTIES := {
	wire_format = 0,
	heartbeat_interval = 20.0,
	heartbeat_timeout = 60.0,
	write_timeout = 30.0,
	handshake_timeout = 3.0,
	close_timeout = 3.0,
	max_message_size_kb = 64,
	overflow_policy = 0,
	overflow_grace = 1.0,
	unreliable_backlog_kb = 16,
	compression_mode = 0,
	compression_threshold = 1024,
	simulate_latency_msec = 0,
	simulate_jitter_msec = 0,
	simulate_bandwidth_kbps = 0,
	simulate_stall_every_sec = 0,
	simulate_disconnect_every_sec = 0,
	simulate_seed = 0,
	# Of the engine's MultiplayerPeer.
	refuse_new_connections = false,
	transfer_mode = MultiplayerPeer.TRANSFER_MODE_RELIABLE,
	transfer_channel = 0,
}
const COMMON_CONSTANTS := {
	WIRE_FORMAT_GODOT4 = 0,
	WIRE_FORMAT_GODOT3 = 1,
	OVERFLOW_DISCONNECT = 0,
	OVERFLOW_REFUSE = 1,
	COMPRESSION_OFF = 0,
	COMPRESSION_SHARED = 1,
	COMPRESSION_DEDICATED = 2,
}
const STATISTICS: Array[String] = [
	"peers",
	"pending",
	"bytes_in",
	"bytes_out",
	"packets_in",
	"packets_out",
	"deflated_out_bytes",
	"compressed_out_bytes",
	"compressed_in_bytes",
	"inflated_in_bytes",
	"compression_bytes",
	"packets_relayed",
	"bytes_relayed",
	"packets_folded",
	"packets_refused",
	"packets_dropped_unreliable",
	"packets_to_closed",
	"peers_overflowed",
	"peers_violated",
	"peers_timed_out",
	"reads_paused",
	"peers_suspended",
	"sessions_resumed",
	"sessions_expired",
	"pings_unanswered",
	"handshakes_refused",
	"refused_malformed",
	"refused_address",
	"refused_origin",
	"refused_full",
	"refused_handler",
	"refused_busy",
	"refused_resume",
	"refused_too_soon",
	"handshakes_timed_out",
	"pending_evicted",
	"health_checks",
	"accept_errors",
	"poll_usec",
	"io_wakeups",
]


func run() -> void:
	_server()
	_client()
	_multiplayer_peer()
	_handle()
	_handle_takes_text_mode_by_its_constants()


func _server() -> void:
	var methods: Array[String] = [
		"listen(port: int, protocols: PackedStringArray = [], gd_mp_api: bool = false) -> int Error",
		"stop()",
		"is_listening() -> bool",
		"get_local_port() -> int",
		"has_peer(id: int) -> bool",
		"get_peer_address(id: int) -> String",
		"get_peer_port(id: int) -> int",
		'disconnect_peer(id: int, code: int = 1000, reason: String = "")',
		"set_certificate(key: CryptoKey, certificate: X509Certificate) -> int Error",
		"answer_request(peer_id: int, verdict: Variant) -> int Error",
		"set_extra_headers(headers: PackedStringArray = [])",
	]
	var signals: Array[String] = [
		"client_connected(id: int, protocol: String)",
		"client_disconnected(id: int, was_clean_close: bool)",
		"client_close_request(id: int, code: int, reason: String)",
		"data_received(id: int)",
		"drained()",
	]
	var properties := {
		bind_ip = "*",
		private_key = null,
		ssl_certificate = null,
		ca_chain = null,
		max_connections = 0,
		max_connections_per_address = 0,
		resume_timeout = 0.0,
		relay_on_io_thread = true,
		max_pending_connections = 1024,
		max_inbound_kb_per_second = 0,
		allowed_origins = PackedStringArray(),
		trusted_proxies = PackedStringArray(),
		proxy_header = "x-forwarded-for",
		proxy_protocol = false,
		request_handler = Callable(),
		health_path = "",
		metrics_path = "",
	}
	_multiplayer_class("WebSocketServer", methods, signals, properties)


func _client() -> void:
	var methods: Array[String] = [
		(
			"connect_to_url(url: String, protocols: PackedStringArray = [],"
			+ " gd_mp_api: bool = false, custom_headers: PackedStringArray = []) -> int Error"
		),
		'disconnect_from_host(code: int = 1000, reason: String = "")',
		"get_connected_host() -> String",
		"get_connected_port() -> int",
		"is_verify_ssl_enabled() -> bool",
		"set_verify_ssl_enabled(enabled: bool)",
		"is_resume_enabled() -> bool",
		"set_resume_enabled(enabled: bool)",
		"reconnect() -> int Error",
		"is_suspended() -> bool",
	]
	var signals: Array[String] = [
		"connection_established(protocol: String)",
		"connection_closed(was_clean_close: bool)",
		"connection_error()",
		"data_received()",
		"server_close_request(code: int, reason: String)",
	]
	var properties := {verify_ssl = true, trusted_ssl_certificate = null, resume_enabled = true}
	_multiplayer_class("WebSocketClient", methods, signals, properties)


func _multiplayer_peer() -> void:
	var methods: Array[String] = [
		"create_client(url: String, tls_client_options: TLSOptions = <null>) -> int Error",
		(
			'create_server(port: int, bind_address: String = "*",'
			+ " tls_server_options: TLSOptions = <null>) -> int Error"
		),
		"get_peer_address(id: int) -> String",
		"get_peer_port(id: int) -> int",
		"is_resume_enabled() -> bool",
		"set_resume_enabled(enabled: bool)",
		"reconnect() -> int Error",
		"is_suspended() -> bool",
	]
	var properties := {
		supported_protocols = PackedStringArray(),
		handshake_headers = PackedStringArray(),
		inbound_buffer_size = 65535,
		outbound_buffer_size = 65535,
		max_queued_packets = 4096,
		resume_timeout = 0.0,
		relay_on_io_thread = true,
		resume_enabled = true,
	}
	var signals: Array[String] = ["drained()"]
	_multiplayer_class("BufferedWebSocketMultiplayerPeer", methods, signals, properties)
	_has_what_the_engines_class_has("BufferedWebSocketMultiplayerPeer", "WebSocketMultiplayerPeer")


func _handle() -> void:
	var type := "BufferedWebSocketPeer"
	var methods: Array[String] = [
		'close(code: int = 1000, reason: String = "")',
		"get_connected_host() -> String",
		"get_connected_port() -> int",
		"get_current_outbound_buffered_amount() -> int",
		"get_write_mode() -> int",
		"set_write_mode(mode: int)",
		"is_connected_to_host() -> bool",
		"set_no_delay(enabled: bool)",
		"was_string_packet() -> bool",
		"get_requested_path() -> String",
		"get_request_headers() -> Dictionary",
		"get_handshake_meta() -> Variant",
		"send(message: PackedByteArray, write_mode: int = 1) -> int Error",
		"send_text(message: String) -> int Error",
		"get_ready_state() -> int",
		"get_selected_protocol() -> String",
		"get_requested_url() -> String",
		"get_close_code() -> int",
		"get_close_reason() -> String",
		"put_packet(buffer: PackedByteArray) -> int Error",
		"get_heartbeat_interval() -> float",
	]
	var constants := {
		WRITE_MODE_TEXT = 0,
		WRITE_MODE_BINARY = 1,
		STATE_CONNECTING = 0,
		STATE_OPEN = 1,
		STATE_CLOSING = 2,
		STATE_CLOSED = 3,
	}
	if not _class(type, "PacketPeerExtension", methods, [], constants):
		return
	var handle: Object = ClassDB.instantiate(type)
	check_eq(handle.get("heartbeat_interval"), 0.0, type + ".heartbeat_interval")
	check_eq(handle.call("get_write_mode"), 1, "write mode")
	check_eq(handle.call("get_ready_state"), 3, "state without a connection")
	check_eq(handle.call("is_connected_to_host"), false, "connected without a connection")
	check_eq(handle.call("get_connected_host"), "", "host without a connection")
	check_eq(handle.call("get_connected_port"), 0, "port without a connection")
	check_eq(handle.call("get_close_code"), -1, "close code without a connection")
	check_eq(handle.call("get_handshake_meta"), null, "meta without a connection")
	check_eq(handle.call("get_request_headers"), {}, "headers without a connection")
	check_eq((handle as PacketPeer).get_available_packet_count(), 0, "packets without a connection")


func _handle_takes_text_mode_by_its_constants() -> void:
	var handle := BufferedWebSocketPeer.new()
	handle.set_write_mode(BufferedWebSocketPeer.WRITE_MODE_TEXT)
	check_eq(handle.get_write_mode(), BufferedWebSocketPeer.WRITE_MODE_TEXT, "text mode")
	check_eq(WebSocketServer.OVERFLOW_REFUSE, 1, "constant through the class")


func _multiplayer_class(
	type: String, methods: Array[String], signals: Array[String], properties: Dictionary
) -> void:
	methods.append_array(COMMON_METHODS)
	signals.append_array(COMMON_SIGNALS)
	if not _class(type, "MultiplayerPeerExtension", methods, signals, COMMON_CONSTANTS):
		return
	properties.merge(COMMON_PROPERTIES)
	var object: MultiplayerPeer = ClassDB.instantiate(type)
	var names: Array[String] = []
	for property in ClassDB.class_get_property_list(type):
		names.append(property.name)
	for property: String in properties:
		check(names.has(property), "%s has no property %s" % [type, property])
		check_eq(object.get(property), properties[property], "%s.%s" % [type, property])
	for property in ClassDB.class_get_property_list(type, true):
		check(properties.has(property.name), "%s.%s is not promised" % [type, property.name])
		_property_can_be_set(object, property.name, properties[property.name])
	check_eq(
		object.get_connection_status(), MultiplayerPeer.CONNECTION_DISCONNECTED, type + ": status"
	)
	check_eq(object.get_available_packet_count(), 0, type + ": packets")
	check_eq(object.get_packet_channel(), 0, type + ": channel of the next packet")
	check_eq(
		object.get_packet_mode(),
		MultiplayerPeer.TRANSFER_MODE_RELIABLE,
		type + ": mode of the next packet"
	)
	check_eq(object.is_server_relay_supported(), true, type + ": relay")
	check_eq(object.get_unique_id(), 1 if type == "WebSocketServer" else 0, type + ": id")
	_transfer_settings_are_kept(object)
	var statistics: Dictionary = object.call("get_statistics")
	check_eq(statistics.keys(), STATISTICS as Array, type + ".get_statistics()")
	check_eq(statistics.values().max(), 0, type + ": statistics of a new object")


func _transfer_settings_are_kept(object: MultiplayerPeer) -> void:
	object.transfer_mode = MultiplayerPeer.TRANSFER_MODE_UNRELIABLE
	object.transfer_channel = 7
	object.refuse_new_connections = true
	check_eq(object.transfer_mode, MultiplayerPeer.TRANSFER_MODE_UNRELIABLE, "transfer mode")
	check_eq(object.transfer_channel, 7, "transfer channel")
	check_eq(object.refuse_new_connections, true, "refusing")


func _property_can_be_set(object: Object, property: String, default: Variant) -> void:
	var other: Variant = null
	match typeof(default):
		TYPE_BOOL:
			other = not default
		TYPE_INT:
			other = 1 if default != 1 else 2
			if property in ["simulate_stall_every_sec", "simulate_disconnect_every_sec"]:
				other = 2
		TYPE_FLOAT:
			other = default + 0.5
		TYPE_STRING:
			other = "/a" if property in ["health_path", "metrics_path"] else "127.0.0.1"
		TYPE_PACKED_STRING_ARRAY:
			var entries := {
				handshake_headers = "a: b",
				allowed_origins = "https://a",
				trusted_proxies = "10.0.0.0/8",
			}
			other = PackedStringArray([entries.get(property, "a")])
		TYPE_CALLABLE:
			other = run
		TYPE_NIL:
			other = CryptoKey.new() if property == "private_key" else X509Certificate.new()
	object.set(property, other)
	check_eq(object.get(property), other, "%s.%s after it was set" % [object.get_class(), property])
	object.set(property, default)
	check_eq(
		object.get(property),
		default,
		"%s.%s after it was set back" % [object.get_class(), property]
	)


func _class(
	type: String,
	base: String,
	methods: Array[String],
	signals: Array[String],
	constants: Dictionary
) -> bool:
	if not check(ClassDB.class_exists(type), "there is no class " + type):
		return false
	check_eq(ClassDB.get_parent_class(type), StringName(base), type + ": base")
	check(ClassDB.can_instantiate(type), type + " cannot be made")
	var shown: Array[String] = []
	for method in ClassDB.class_get_method_list(type, true):
		shown.append(_signature(method) + _returned(method))
	for method in methods:
		check(shown.has(method), "%s lacks %s; it has %s" % [type, method, _like(shown, method)])
	shown.clear()
	for own in ClassDB.class_get_signal_list(type, true):
		shown.append(_signature(own))
	shown.sort()
	signals.sort()
	check_eq(shown, signals, type + ": signals")
	for constant: String in constants:
		check_eq(
			ClassDB.class_get_integer_constant(type, constant),
			constants[constant],
			type + "." + constant
		)
	check_eq(
		ClassDB.class_get_integer_constant_list(type, true).size(),
		constants.size(),
		type + ": constants"
	)
	return true


## Whoever changes the class name in a project must find everything again.
func _has_what_the_engines_class_has(ours: String, engines: String) -> void:
	for method in ClassDB.class_get_method_list(engines, true):
		var found := ClassDB.class_get_method_list(ours).any(
			func(own: Dictionary) -> bool:
				return own.name == method.name and own.args.size() == method.args.size()
		)
		check(found, "%s has no %s" % [ours, _signature(method)])
	var object: Object = ClassDB.instantiate(ours)
	var reference: Object = ClassDB.instantiate(engines)
	for property in ClassDB.class_get_property_list(engines, true):
		check_eq(
			object.get(property.name), reference.get(property.name), "%s.%s" % [ours, property.name]
		)


func _signature(method: Dictionary) -> String:
	var arguments: Array[String] = []
	var first_default: int = method.args.size() - method.default_args.size()
	for index: int in method.args.size():
		var argument: Dictionary = method.args[index]
		var shown := "%s: %s" % [argument.name, _type(argument)]
		if index >= first_default:
			var default: Variant = method.default_args[index - first_default]
			shown += " = " + ('"%s"' % default if default is String else str(default))
		arguments.append(shown)
	return "%s(%s)" % [method.name, ", ".join(arguments)]


func _returned(method: Dictionary) -> String:
	var type := _type(method.return)
	return "" if type.is_empty() else " -> " + type


func _type(info: Dictionary) -> String:
	match info.type:
		TYPE_NIL:
			return "Variant" if info.usage & PROPERTY_USAGE_NIL_IS_VARIANT else ""
		TYPE_OBJECT:
			return info.class_name
	var enumeration: String = info.class_name
	return type_string(info.type) + ("" if enumeration.is_empty() else " " + enumeration)


func _like(shown: Array[String], method: String) -> String:
	for candidate in shown:
		if candidate.get_slice("(", 0) == method.get_slice("(", 0):
			return candidate
	return "nothing of that name"
