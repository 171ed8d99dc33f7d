# An invalid value of an access rule lets nobody in: nothing opens until a valid one is set, for each rule and each kind of invalid
# value. A key without a certificate does not make a server without TLS, and the log says whether a server uses TLS.
# processes: main
# timeout: 60
# expect: ^ERROR: WebSocketServer\.listen\(\): allowed_origins was refused \("game\.example\.org" is not an origin
# expect: ^ERROR: WebSocketServer\.listen\(\): bind_ip was refused \("localhost" is neither
# expect: ^ERROR: WebSocketServer\.private_key: X509Certificate cannot be used; it must be a CryptoKey or null
# expect: ^ERROR: WebSocketServer\.listen\(\): private_key is set and ssl_certificate is not
# expect: ^ERROR: WebSocketServer\.(set_certificate|set_extra_headers)\(\)
# expect: ^ERROR: WebSocketServer\.\w+(\(\))?: .+\.$
# expect: ^ERROR: WebSocketClient\.(connect_to_url\(\)|trusted_ssl_certificate|verify_ssl): .+\.$
# expect: ^ERROR: BufferedWebSocketMultiplayerPeer\.create_client\(\): handshake_headers was refused \(header line "no colon"
# expect: ^ERROR: BufferedWebSocketMultiplayerPeer\.\w+(\(\))?: .+\.$
extends "res://lib/case.gd"

const ErrorLines := preload("res://lib/error_lines.gd")
const Identity := preload("res://lib/identity.gd")

var _lines := ErrorLines.new()
var _identity := Identity.new("localhost")
var _nosy := Nosy.new()


## Its text calls the object whose rule it is.
class Nosy:
	var server: WebSocketServer

	func _to_string() -> String:
		return "%d" % server.get_statistics().peers


func run() -> void:
	_values_of_rules()
	_limits_that_stay()
	_rules_that_come_too_late()
	_half_an_identity()
	_refused_certificates()
	_headers_of_the_answer()
	_whom_a_client_trusts()
	_handshakes_of_the_engines_class()
	_lines.stop()


func _values_of_rules() -> void:
	var nobody := X509Certificate.new()
	var origins := PackedStringArray(["https://game.example.org"])
	# A property, what is wrong, and what is right.
	var rules: Array[Array] = [
		["allowed_origins", PackedStringArray(["game.example.org"]), origins],
		["allowed_origins", PackedStringArray(["https://game.example.org/", "null"]), origins],
		["allowed_origins", "https://game.example.org", origins],
		["allowed_origins", null, PackedStringArray()],
		["trusted_proxies", PackedStringArray(["10.0.0.1/8"]), PackedStringArray(["10.0.0.0/8"])],
		["trusted_proxies", "10.0.0.0/8", PackedStringArray()],
		["bind_ip", "localhost", "127.0.0.1"],
		["bind_ip", "", "*"],
		["bind_ip", 127, "127.0.0.1"],
		["private_key", nobody, null],
		["private_key", "res://server.key", null],
		["ssl_certificate", _identity.key, null],
		["ca_chain", _identity.key, null],
		["max_connections", -1, 5],
		["max_connections", "5", 0],
		["max_connections_per_address", 1 << 31, 3],
		["max_connections_per_address", [_nosy], 3],
		["bind_ip", {address = _nosy}, "127.0.0.1"],
		["max_inbound_kb_per_second", -1, 100],
		["proxy_header", "X Real IP", "X-Real-IP"],
		["proxy_header", 5, "X-Real-IP"],
		["request_handler", _nosy, func(_request: Dictionary) -> bool: return true],
		["request_handler", null, Callable()],
	]
	for rule in rules:
		var server := WebSocketServer.new()
		_nosy.server = server
		var what := "%s = %s" % [rule[0], rule[1]]
		var before: Variant = server.get(rule[0])
		_lines.take()
		server.set(rule[0], rule[1])
		_says("^WebSocketServer\\.%s: " % rule[0], what)
		check_eq(server.get(rule[0]), before, what + ": the value")
		for time in 2:
			check_eq(server.listen(0), ERR_INVALID_DATA, what + ": listen()")
			_says("listen\\(\\): %s was refused " % rule[0], what)
		check_eq(server.is_listening(), false, what + ": it does not listen")
		server.set(rule[0], rule[2])
		check_eq(server.listen(0), OK, "%s: listen() with %s" % [what, rule[2]])
		server.stop()


## A limit that was set before stays in force.
func _limits_that_stay() -> void:
	var limits := {
		max_connections = 5,
		max_connections_per_address = 5,
		max_inbound_kb_per_second = 5,
		proxy_header = "X-Real-IP",
		request_handler = _identity.get_reference_count,
	}
	for limit: String in limits:
		var server := WebSocketServer.new()
		server.set(limit, limits[limit])
		server.set(limit, [])
		check_eq(server.listen(0), OK, limit + ": listen()")
		# Also while it listens.
		server.set(limit, [])
		check_eq(server.get(limit), limits[limit], limit + " stays")
		server.stop()
		check_eq(server.listen(0), OK, limit + ": listen() again")
		server.stop()


func _rules_that_come_too_late() -> void:
	var late := {
		allowed_origins = PackedStringArray(["https://game.example.org"]),
		bind_ip = "127.0.0.1",
		max_connections_per_address = 5,
		request_handler = _identity.get_reference_count,
		ca_chain = _identity.certificate,
	}
	for rule: String in late:
		var server := WebSocketServer.new()
		check_eq(server.listen(0), OK, "listen()")
		server.set(rule, server.get(rule))
		server.set(rule, late[rule])
		server.stop()
		_lines.take()
		check_eq(server.listen(0), ERR_INVALID_DATA, rule + " that came too late")
		_says("%s was refused \\(it was set while open\\)" % rule, rule)
		server.set(rule, WebSocketServer.new().get(rule))
		check_eq(server.listen(0), OK, rule + " that is not wanted any more")
		server.stop()


func _half_an_identity() -> void:
	for missing: String in ["private_key", "ssl_certificate", "private_key and ssl_certificate"]:
		var server := _server_with_tls()
		server.ca_chain = _identity.certificate
		for part in missing.split(" and "):
			# What load() gives for a file that it does not know.
			server.set(part, null)
		_lines.take()
		check_eq(server.listen(0), ERR_INVALID_DATA, "listen() without " + missing)
		_says("listen\\(\\): .*is set.* TLS needs both", missing)
		check_eq(server.is_listening(), false, "it does not listen without " + missing)
		server.private_key = _identity.key
		server.ssl_certificate = _identity.certificate
		_lines.take_messages()
		check_eq(server.listen(0), OK, "listen() with both")
		_logs_that_it_listens(server, "wss")
		server.stop()
		server.private_key = null
		server.ssl_certificate = null
		server.ca_chain = null
		check_eq(server.listen(0), OK, "listen() with neither")
		_logs_that_it_listens(server, "ws")
		server.stop()


func _logs_that_it_listens(server: WebSocketServer, scheme: String) -> void:
	server.poll()
	var line := "WebSocket: listening on port %d (%s)" % [server.get_local_port(), scheme]
	var messages := _lines.take_messages()
	if _lines.is_available():
		check(
			messages.any(func(one: String) -> bool: return one.strip_edges() == line),
			"%s is not among %s" % [line, messages]
		)


func _refused_certificates() -> void:
	var server := WebSocketServer.new()
	for pair: Array in [
		[_identity.key, X509Certificate.new()],
		[null, _identity.certificate],
		[_identity.key, null],
		[Identity.new("localhost").key, _identity.certificate],
	]:
		_lines.take()
		check_eq(server.set_certificate(pair[0], pair[1]), ERR_INVALID_DATA, "set_certificate()")
		_says("set_certificate\\(\\): ", "%s" % [pair])
		check_eq(server.listen(0), ERR_INVALID_DATA, "listen() after it")
		_says("listen\\(\\): set_certificate\\(\\) was refused ", "%s" % [pair])
	check_eq(server.set_certificate(_identity.key, _identity.certificate), OK, "a good pair")
	check_eq(server.listen(0), OK, "listen() with it")
	# It keeps its value.
	check_eq(server.set_certificate(_identity.key, null), ERR_INVALID_DATA, "while listening")
	check_eq(server.ssl_certificate, _identity.certificate, "the certificate stays")
	server.stop()
	check_eq(server.listen(0), OK, "listen() with the one before")
	server.stop()


func _headers_of_the_answer() -> void:
	var server := WebSocketServer.new()
	server.set_extra_headers(["X-Good: 1", "no colon"])
	check_eq(server.listen(0), ERR_INVALID_DATA, "listen() with a line that cannot be sent")
	server.set_extra_headers(["X-Good: 1"])
	check_eq(server.listen(0), OK, "listen() without it")
	server.stop()


func _whom_a_client_trusts() -> void:
	for wrong: Array in [
		["trusted_ssl_certificate", _identity.key, _identity.certificate],
		["verify_ssl", "yes", true],
	]:
		var client := WebSocketClient.new()
		client.set(wrong[0], wrong[1])
		_lines.take()
		check_eq(client.connect_to_url("wss://127.0.0.1:1"), ERR_INVALID_DATA, wrong[0])
		_says("connect_to_url\\(\\): %s was refused " % wrong[0], wrong[0])
		check_eq(client.connect_to_url("ws://127.0.0.1:1"), OK, "no certificate is needed")
		client.close()
		client.set(wrong[0], wrong[2])
		check_eq(client.connect_to_url("wss://127.0.0.1:1"), OK, "%s = %s" % [wrong[0], wrong[2]])
		# Another root while it is open is not forgotten either.
		client.trusted_ssl_certificate = Identity.new("other").certificate
		client.close()
		check_eq(client.connect_to_url("wss://127.0.0.1:1"), ERR_INVALID_DATA, "too late")
		client.trusted_ssl_certificate = null
		check_eq(client.connect_to_url("wss://127.0.0.1:1"), OK, "the platform's")
		client.close()


## With a bad line the engine's class connects, and is refused or refuses.
func _handshakes_of_the_engines_class() -> void:
	for wrong: Array in [
		["handshake_headers", PackedStringArray(["X-Good: 1", "no colon"])],
		["handshake_headers", "X-Good: 1"],
		["supported_protocols", PackedStringArray(["a b"])],
		["supported_protocols", null],
	]:
		var peer := BufferedWebSocketMultiplayerPeer.new()
		peer.set(wrong[0], wrong[1])
		_lines.take()
		check_eq(peer.create_client("ws://127.0.0.1:1"), ERR_INVALID_PARAMETER, "create_client()")
		_says("create_client\\(\\): %s was refused " % wrong[0], "%s" % [wrong])
		check_eq(peer.create_server(0), ERR_INVALID_PARAMETER, "create_server()")
		_says("create_server\\(\\): %s was refused " % wrong[0], "%s" % [wrong])
		check_eq(peer.get_connection_status(), MultiplayerPeer.CONNECTION_DISCONNECTED, "status")
		peer.set(wrong[0], PackedStringArray())
		check_eq(peer.create_server(0), OK, "create_server() without")
		peer.close()


func _server_with_tls() -> WebSocketServer:
	var server := WebSocketServer.new()
	server.private_key = _identity.key
	server.ssl_certificate = _identity.certificate
	return server


func _says(pattern: String, what: String) -> void:
	var lines := _lines.take()
	if _lines.is_available() and check_eq(lines.size(), 1, "lines for %s: %s" % [what, lines]):
		var regex := RegEx.create_from_string(pattern)
		check(regex.search(lines[0]) != null, "%s: %s does not say %s" % [what, lines[0], pattern])
