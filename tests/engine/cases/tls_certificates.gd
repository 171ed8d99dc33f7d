# All cases in which a certificate is accepted or rejected: chains, names, dates, kinds of keys. Server and client are ours, with the 3.x
# properties and with TLSOptions; the engine's own class is tested with a chain, too.
# processes: main
# timeout: 120
# expect: ^ERROR: WebSocketServer\.listen\(\): the private key (is on the curve P-521|does not belong)
# expect: ^ERROR: BufferedWebSocketMultiplayerPeer\.create_server\(\): the private key (is|does)
# expect: ^ERROR: \w+\.(listen|create_server)\(\): the X509Certificate holds 2 certificates
extends "res://lib/tls_case.gd"

const Identity := preload("res://lib/identity.gd")
const Lines := preload("res://lib/error_lines.gd")
const BUNDLE := "network/tls/certificate_bundle_override"
## As `Crypto` wants its dates.
const LONG_AGO := "20140101000000"
const YESTERYEAR := "20200101000000"
const FAR := "20900101000000"
const FARTHER := "20950101000000"

var _lines := Lines.new()
var _chain := _certificate("intermediate")
var _root := _certificate("root")


func run() -> void:
	await _kinds_of_keys()
	await _chains()
	await _names_and_issuers()
	await _dates()
	_bad_identities()
	await _plain_and_encrypted()
	_lines.stop()


func _kinds_of_keys() -> void:
	for kind: String in ["rsa", "p256", "p384"]:
		for form: String in ["pkcs8", "traditional"]:
			var server := _server_3(_key("%s.%s" % [kind, form]), _certificate(kind), _chain)
			await _accept(server, _client_3(server, _root), "%s key as %s" % [kind, form])
			server.close()


func _chains() -> void:
	var key := _key("p256.pkcs8")
	# By way of ca_chain, and behind the certificate in one file.
	for server: MultiplayerPeer in [
		_server_3(key, _certificate("p256"), _chain),
		_server_3(key, _chained("p256")),
		_server_4(key, _chained("p256")),
	]:
		await _accept(server, _client_3(server, _root), "chain to a 3.x client")
		await _accept(server, _client_4(server, _root), "chain to a 4.x client")
		await _accept(server, _client_of_engine(server), "chain to the engine's own class")
		server.close()
	var engine := WebSocketMultiplayerPeer.new()
	var options := TLSOptions.server(key, _chained("p256"))
	check_eq(engine.create_server(port, "*", options), OK, "the engine listens")
	await _accept(engine, _client_3(engine, _root), "chain from the engine's own class")
	engine.close()
	# The client knows the root, and the server does not say what lies between.
	var server := _server_3(key, _certificate("p256"))
	await _reject(server, _client_3.bind(server, _root), "unknown issuer")
	await _reject(server, _client_4.bind(server, _root), "unknown issuer")
	# Whoever names the authority in between, or the certificate itself, needs no chain.
	await _accept(server, _client_3(server, _chain), "the issuer itself is trusted")
	await _accept(server, _client_3(server, _certificate("p256")), "the certificate is trusted")
	server.close()


func _names_and_issuers() -> void:
	var server := _server_4(_key("p384.traditional"), _chained("p384"))
	await _accept(server, _client_4(server, _root, "localhost", "127.0.0.1"), "the right name")
	await _reject(server, _client_4.bind(server, _root, "game.example"), "for another host name")
	await _reject(server, _client_4.bind(server, _root, "", "127.0.0.1"), "for another host name")
	await _reject(server, _client_3.bind(server, _root, "127.0.0.1"), "for another host name")
	await _reject(server, _client_3.bind(server, null), "unknown issuer")
	await _reject(server, _client_4.bind(server, null), "unknown issuer")
	# The project's own list of roots comes before the platform's.
	ProjectSettings.set_setting(BUNDLE, FOLDER + "root.crt")
	await _accept(server, _client_3(server, null), "certificate_bundle_override")
	await _accept(server, _client_4(server, null), "certificate_bundle_override")
	ProjectSettings.set_setting(BUNDLE, "")
	# For one system only, as any setting of the project can be.
	var override := BUNDLE + "." + OS.get_name().to_lower()
	ProjectSettings.set_setting(override, FOLDER + "root.crt")
	await _accept(server, _client_3(server, null), "certificate_bundle_override of a system")
	ProjectSettings.set_setting(override, null)
	# Nobody is asked for anything.
	await _accept(server, _client_3(server, null, "127.0.0.1", false), "verify_ssl = false")
	await _accept(server, _client_3(server, null, "localhost", false), "verify_ssl = false")
	var reckless := BufferedWebSocketMultiplayerPeer.new()
	check_eq(reckless.create_client(_url(server), TLSOptions.client_unsafe()), OK, "unsafe")
	await _accept(server, reckless, "client_unsafe()")
	# A connection that was made without asking opens no door for one that asks.
	var stranger := Identity.new("localhost").certificate
	await _reject(server, _client_3.bind(server, stranger), "unknown issuer")
	server.close()


func _dates() -> void:
	var key := _key("p256.traditional")
	for row: Array in [
		[key, _certificate("expired"), _root, "has expired"],
		[key, _certificate("future"), _root, "not valid yet"],
		_self_signed(LONG_AGO, YESTERYEAR) + ["has expired"],
		_self_signed(FAR, FARTHER) + ["not valid yet"],
	]:
		var server := _server_3(row[0], row[1], _chain)
		await _reject(server, _client_3.bind(server, row[2]), row[3])
		await _reject(server, _client_4.bind(server, row[2]), row[3])
		await _accept(server, _client_3(server, null, "localhost", false), "nobody looks at dates")
		server.close()


## Refused where they are given, not when the first client comes.
func _bad_identities() -> void:
	_no_server("p384.pkcs8", "p256", "the private key does not belong to the certificate")
	_no_server("rsa.pkcs8", "p256", "the private key does not belong to the certificate")
	# The engine does not hand out the second one, and does not say where it came from.
	_no_server("p256.pkcs8", "p256.chain", "holds 2 certificates, and this engine hands out only")
	_no_server("p521.pkcs8", "p521", "P-521; use RSA, P-256 or P-384")
	_no_server("p521.traditional", "p521", "P-521; use RSA, P-256 or P-384")


func _plain_and_encrypted() -> void:
	var encrypted := _server_3(_key("rsa.pkcs8"), _certificate("rsa"), _chain)
	await _reject(encrypted, _plain_client.bind(encrypted), "want TLS \\(wss://\\)")
	encrypted.close()
	var plain := WebSocketServer.new()
	check_eq(plain.listen(0, PackedStringArray(), true), OK, "listening")
	await _reject(plain, _client_3.bind(plain, _root), "does not speak TLS")
	await _reject(plain, _client_4.bind(plain, _root), "does not speak TLS")
	plain.close()


func _no_server(key_file: String, certificate_file: String, words: String) -> void:
	var key := _key(key_file)
	var certificate := _certificate(certificate_file)
	var server := WebSocketServer.new()
	server.private_key = key
	server.ssl_certificate = certificate
	var peer := BufferedWebSocketMultiplayerPeer.new()
	var options := TLSOptions.server(key, certificate)
	_lines.take()
	check_eq(server.listen(0), ERR_INVALID_DATA, "listen(): " + words)
	check_eq(peer.create_server(0, "*", options), ERR_INVALID_DATA, "create_server(): " + words)
	check_eq(server.is_listening(), false, "listening with what cannot be used")
	if _lines.is_available():
		var said := _lines.take()
		var right := said.filter(func(line: String) -> bool: return words in line)
		check_eq([said.size(), right.size()], [2, 2], "lines with %s: %s" % [words, said])


func _accept(server: MultiplayerPeer, client: MultiplayerPeer, what: String) -> void:
	await _settle(server, client, what)
	if client.get_connection_status() == OFFLINE and client.has_method("get_last_error"):
		fail("%s: %s" % [what, client.call("get_last_error")])
	check(client.get_connection_status() != OFFLINE, what)
	client.set_target_peer(1)
	check_eq(client.put_packet(what.to_utf8_buffer()), OK, "sending: " + what)
	var arrived := func() -> bool:
		server.poll()
		client.poll()
		return server.get_available_packet_count() > 0
	await until(arrived, TIMEOUT, "a packet: " + what)
	check_eq(server.get_packet().get_string_from_utf8(), what, "the packet")
	client.close()


## `join` makes the client: the server may have counted it before the next line is reached.
func _reject(server: MultiplayerPeer, join: Callable, words: String) -> void:
	var refused: int = server.call("get_statistics").handshakes_refused
	var client: MultiplayerPeer = join.call()
	var failures := [0]
	client.connect("connection_failed", func() -> void: failures[0] += 1)
	await _settle(server, client, words)
	check_eq(client.get_connection_status(), OFFLINE, "accepted instead of: " + words)
	check_eq(failures[0], 1, "connection_failed: " + words)
	var reason: String = client.call("get_last_error")
	var regex := RegEx.create_from_string(words)
	check(regex.search(reason) != null, "the reason should say %s: %s" % [words, reason])
	var counted := func() -> bool:
		server.poll()
		return server.call("get_statistics").handshakes_refused > refused
	await until(counted, TIMEOUT, "the server counts: " + words)
	check_eq(server.call("get_statistics").pending, 0, "no pending connection: " + words)


func _server_3(
	key: CryptoKey, certificate: X509Certificate, chain: X509Certificate = null
) -> WebSocketServer:
	var server := WebSocketServer.new()
	server.private_key = key
	server.ssl_certificate = certificate
	server.ca_chain = chain
	server.handshake_timeout = TIMEOUT
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listening")
	return server


## On the port of the case: like the engine's class, this class does not return the port that it chose.
func _server_4(key: CryptoKey, certificate: X509Certificate) -> BufferedWebSocketMultiplayerPeer:
	var server := BufferedWebSocketMultiplayerPeer.new()
	server.handshake_timeout = TIMEOUT
	check_eq(server.create_server(port, "*", TLSOptions.server(key, certificate)), OK, "listening")
	return server


func _client_3(
	server: MultiplayerPeer, trusted: X509Certificate, host := "localhost", verify := true
) -> WebSocketClient:
	var client := WebSocketClient.new()
	client.handshake_timeout = TIMEOUT
	client.verify_ssl = verify
	client.trusted_ssl_certificate = trusted
	var error := client.connect_to_url(_url(server, host), PackedStringArray(), true)
	check_eq(error, OK, "connecting")
	return client


func _plain_client(server: MultiplayerPeer) -> WebSocketClient:
	var client := WebSocketClient.new()
	var url := _url(server).replace("wss:", "ws:")
	check_eq(client.connect_to_url(url, PackedStringArray(), true), OK, "connecting")
	return client


func _client_4(
	server: MultiplayerPeer, trusted: X509Certificate, common_name := "", host := "localhost"
) -> BufferedWebSocketMultiplayerPeer:
	var client := BufferedWebSocketMultiplayerPeer.new()
	client.handshake_timeout = TIMEOUT
	var options := TLSOptions.client(trusted, common_name)
	check_eq(client.create_client(_url(server, host), options), OK, "connecting")
	return client


func _client_of_engine(server: MultiplayerPeer) -> WebSocketMultiplayerPeer:
	var client := WebSocketMultiplayerPeer.new()
	client.handshake_timeout = TIMEOUT
	check_eq(client.create_client(_url(server), TLSOptions.client(_root)), OK, "connecting")
	return client


func _url(server: MultiplayerPeer, host := "localhost") -> String:
	var where: int = server.call("get_local_port") if server is WebSocketServer else port
	return "wss://%s:%d" % [host, where]


## A key, its certificate, and the certificate to trust for it.
func _self_signed(from: String, until_then: String) -> Array:
	var crypto := Crypto.new()
	var key := crypto.generate_rsa(2048)
	var subject := "CN=localhost,O=Tests,C=XX"
	var made := crypto.generate_self_signed_certificate(key, subject, from, until_then)
	return [key, made, made]


## With its issuer behind it. As a resource it knows its file, where the issuer can be read.
func _chained(file: String) -> X509Certificate:
	return load(FOLDER + file + ".chain.crt")
