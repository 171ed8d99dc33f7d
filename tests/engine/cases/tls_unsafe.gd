# Clients without verification: client_unsafe() accepts any certificate, of any version and kind of key; client_unsafe(chain) accepts only
# certificates of the chain, with any host name. The servers use the engine's own class, and its client is compared with ours.
# processes: main
# timeout: 180
# expect: ^ERROR: WebSocketServer\.listen\(\): the private key is RSA with \d+ bits
# expect: ^ERROR: TLS handshake error
extends "res://lib/tls_case.gd"


func run() -> void:
	await _any_certificate()
	await _any_name()
	_odd_keys_of_a_server()


func _any_certificate() -> void:
	for row: Array in [
		["odd/rsa1024", "odd/rsa1024"],
		["odd/rsa2056", "odd/rsa2056"],
		["odd/rsa8192", "odd/rsa8192"],
		["odd/version1", "odd/version1"],
		["p521.pkcs8", "p521"],
		["p256.pkcs8", "expired"],
	]:
		var server := _server(row[0], row[1])
		var options := TLSOptions.client_unsafe()
		# The engine's client and server do not agree on TLS 1.3 with a key as small as that.
		if row[1] != "odd/rsa1024":
			await _judged(server, _engines(options), true, "engine's client: %s" % [row])
		await _judged(server, _ours(options), true, "client_unsafe(): %s" % [row])
		await _judged(server, _client_3(false, null), true, "verify_ssl = false: %s" % [row])
		# A certificate to trust is of no use to who does not verify, as in 3.x.
		var other := _certificate("rsa")
		await _judged(server, _client_3(false, other), true, "verify_ssl = false: %s" % [row])
		server.close()
	# With verification on, what cannot be checked is named.
	var small := _server("odd/rsa1024", "odd/rsa1024")
	var strict := _ours(TLSOptions.client(_certificate("odd/rsa1024"), "localhost"))
	var why := await _judged(small, strict, false, "RSA 1024, verified")
	check("RSA key of 1024 bits" in why, "the reason names the size: " + why)
	small.close()


func _any_name() -> void:
	# Behind an authority, and a certificate that stands alone; neither is for 127.0.0.1.
	for row: Array in [
		["p256.pkcs8", "p256.chain", "root", true],
		["p256.pkcs8", "p256.chain", "intermediate", true],
		["p256.pkcs8", "p256.chain", "p256", true],
		["p256.pkcs8", "p256.chain", "p384", false],
		["p256.pkcs8", "p256.chain", "odd/version1", false],
		["odd/rsa2056", "odd/rsa2056", "odd/rsa2056", true],
		["odd/rsa2056", "odd/rsa2056", "root", false],
		["odd/version1", "odd/version1", "root", false],
		["p256.pkcs8", "expired", "intermediate", false],
	]:
		var server := _server(row[0], row[1])
		var trusted := _certificate(row[2])
		var options := TLSOptions.client_unsafe(trusted)
		# mbedTLS knows an authority by the flag in its certificate, so it may be stricter with a leaf that is named.
		if row[2] != "p256":
			await _judged(server, _engines(options), row[3], "engine's client: %s" % [row])
		await _judged(server, _ours(options), row[3], "client_unsafe(chain): %s" % [row])
		# The name still counts for who verifies.
		var named := await _judged(server, _ours(TLSOptions.client(trusted)), false, "%s" % [row])
		if row[3]:
			check("another host name" in named, "%s: %s" % [row, named])
		server.close()


func _odd_keys_of_a_server() -> void:
	for bits: int in [1024, 2056, 8192]:
		var server := WebSocketServer.new()
		server.private_key = _key("odd/rsa%d" % bits)
		server.ssl_certificate = _certificate("odd/rsa%d" % bits)
		check_eq(server.listen(0), ERR_INVALID_DATA, "a key that cannot sign: %d bits" % bits)


## Whether a client can connect, and its error if not.
func _judged(
	server: MultiplayerPeer, client: MultiplayerPeer, welcome: bool, what: String
) -> String:
	await _settle(server, client, what)
	var why := ""
	if client.has_method("get_last_error"):
		why = client.call("get_last_error")
	var is_in := client.get_connection_status() != OFFLINE
	check_eq(is_in, welcome, "%s is accepted (%s)" % [what, why])
	client.close()
	return why


func _server(key: String, certificate: String) -> WebSocketMultiplayerPeer:
	var server := WebSocketMultiplayerPeer.new()
	server.handshake_timeout = TIMEOUT
	var loaded: X509Certificate = load(FOLDER + certificate + ".crt")
	var options := TLSOptions.server(_key(key), loaded)
	check_eq(server.create_server(port, "127.0.0.1", options), OK, "the engine listens")
	return server


func _engines(options: TLSOptions) -> WebSocketMultiplayerPeer:
	var client := WebSocketMultiplayerPeer.new()
	client.handshake_timeout = TIMEOUT
	check_eq(client.create_client("wss://127.0.0.1:%d" % port, options), OK, "connecting")
	return client


func _ours(options: TLSOptions) -> BufferedWebSocketMultiplayerPeer:
	var client := BufferedWebSocketMultiplayerPeer.new()
	client.handshake_timeout = TIMEOUT
	check_eq(client.create_client("wss://127.0.0.1:%d" % port, options), OK, "connecting")
	return client


func _client_3(verify: bool, trusted: X509Certificate) -> WebSocketClient:
	var client := WebSocketClient.new()
	client.handshake_timeout = TIMEOUT
	client.verify_ssl = verify
	client.trusted_ssl_certificate = trusted
	var url := "wss://127.0.0.1:%d" % port
	check_eq(client.connect_to_url(url, PackedStringArray(), true), OK, "connecting")
	return client
