# wss:// with certificates that the engine makes: between ours, the engine's own class and a real 3.6, as server and as client. The client
# tries all trust settings; the server echoes.
# processes: server client
# timeout: 60
# variant: ours server=ours client=ours
# variant: ours4 server=ours4 client=ours4
# variant: server_engine server=engine client=ours
# variant: server_engine_client_ours4 server=engine client=ours4
# variant: client_engine server=ours client=engine
# variant: client_engine_server_ours4 server=ours4 client=engine
# variant: server_3 engine3=server server=3 client=ours wire=3
# variant: server_3_client_ours4 engine3=server server=3 client=ours4 wire=3
# variant: client_3 engine3=client server=ours client=3 wire=3
# variant: client_3_server_ours4 engine3=client server=ours4 client=3 wire=3
# The errors of the engines, where one side rejects the other:
# expect@client_3: ^ERROR: TLS handshake error: -9984$
# expect@client_3_server_ours4: ^ERROR: TLS handshake error: -9984$
# expect@client_engine: ^ERROR: TLS handshake error: -9984$
# expect@client_engine_server_ours4: ^ERROR: TLS handshake error: -9984$
# allow@server_engine: ^ERROR: TLS handshake error: -30592$
# allow@server_engine_client_ours4: ^ERROR: TLS handshake error: -30592$
# A 3.6 server prints both if our alert reaches it during its handshake, and neither if it arrives later.
# allow@server_3: ^ERROR: TLS handshake error: -30592$
# allow@server_3: ^ERROR: Condition "status != STATUS_CONNECTED && status != STATUS_HANDSHAKING" is true\.
# allow@server_3_client_ours4: ^ERROR: TLS handshake error: -30592$
# allow@server_3_client_ours4: ^ERROR: Condition "status != STATUS_CONNECTED && status != STATUS_HANDSHAKING" is true\.
extends "res://lib/case.gd"

const Bare := preload("res://lib/bare_peer.gd")
const Identity := preload("res://lib/identity.gd")
const Pattern := preload("res://lib/pattern.gd")
const OFFLINE := MultiplayerPeer.CONNECTION_DISCONNECTED
## Around the size of a TLS record.
const SIZES: Array[int] = [1, 1000, 16383, 16384, 16385, 60000]
const TIMEOUT := 10.0

var _second: Identity


func run() -> void:
	if role == "server":
		await _serve()
	else:
		await _try_everything()


func _serve() -> void:
	var identity := Identity.new("localhost")
	_second = Identity.new("localhost")
	var stranger := Identity.new("localhost")
	identity.certificate.save(Identity.place(args.scratch, "server"))
	_second.certificate.save(Identity.place(args.scratch, "second"))
	stranger.certificate.save(Identity.place(args.scratch, "stranger"))
	var peer := _make_server(identity)
	if peer == null:
		return
	var bare := Bare.new(self, peer)
	var ended := [-1]
	bare.on_packet = func(sender: int, packet: PackedByteArray) -> void:
		var text := packet.get_string_from_ascii() if packet.size() < 20 else ""
		if text == "replace":
			var error: Error = peer.call("set_certificate", _second.key, _second.certificate)
			check_eq(error, OK, "set_certificate")
		elif text.begins_with("end "):
			ended[0] = text.trim_prefix("end ").to_int()
		check_eq(bare.send(sender, packet), OK, "echo of %d bytes" % packet.size())
	ready_line()
	await until(func() -> bool: return ended[0] >= 0, 40, "the client's end")
	await until(
		func() -> bool: return bare.count("peer_disconnected") == ended[0], TIMEOUT, "all gone"
	)
	check_eq(bare.count("peer_connected"), ended[0], "connected clients")
	if peer.has_method("get_statistics"):
		var statistics: Dictionary = peer.call("get_statistics")
		check_eq(statistics.peers, 0, "peers that are left")
		check_eq(statistics.pending, 0, "no handshake is left")
		print(
			"handshakes_refused ",
			statistics.handshakes_refused,
			", last error: ",
			peer.call("get_last_error")
		)
	peer.close()
	# The function holds what holds the function.
	bare.on_packet = Callable()


func _make_server(identity: Identity) -> MultiplayerPeer:
	var error: Error
	var peer: Variant
	if args.server == "ours":
		peer = WebSocketServer.new()
		peer.private_key = identity.key
		peer.ssl_certificate = identity.certificate
		peer.wire_format = _wire()
		error = peer.listen(port, PackedStringArray(), true)
	else:
		peer = _instance(args.server)
		error = peer.create_server(port, "*", TLSOptions.server(identity.key, identity.certificate))
	check_eq(error, OK, "listening")
	return peer


## `trusted` names a certificate, or is "anybody", or "" for the certificates that the platform trusts.
func _connect(host: String, trusted: String, common_name := "") -> MultiplayerPeer:
	var url := "wss://%s:%d" % [host, port]
	var certificate: X509Certificate
	if not trusted.is_empty() and trusted != "anybody":
		certificate = Identity.load_certificate(args.scratch, trusted)
		check(certificate != null, "the certificate of %s" % trusted)
	var error: Error
	var peer: Variant
	if args.client == "ours":
		peer = WebSocketClient.new()
		peer.wire_format = _wire()
		peer.verify_ssl = trusted != "anybody"
		peer.trusted_ssl_certificate = certificate
		error = peer.connect_to_url(url, PackedStringArray(), true)
	else:
		peer = _instance(args.client)
		var options := TLSOptions.client(certificate, common_name)
		if trusted == "anybody":
			options = TLSOptions.client_unsafe()
		error = peer.create_client(url, options)
	check_eq(error, OK, "connecting to %s" % url)
	return peer


func _instance(kind: String) -> Variant:
	if kind == "engine":
		return WebSocketMultiplayerPeer.new()
	var peer := BufferedWebSocketMultiplayerPeer.new()
	peer.wire_format = _wire()
	return peer


func _wire() -> int:
	return WebSocketServer.WIRE_FORMAT_GODOT3 if args.has("wire") else 0


func _try_everything() -> void:
	var successes := 0
	await _works(_connect("localhost", "server"), "trusted certificate")
	await _works(_connect("localhost", "anybody"), "anybody")
	successes += 2
	if args.client != "ours":
		await _works(_connect("127.0.0.1", "server", "localhost"), "the name given")
		successes += 1
	await _is_refused(_connect("localhost", "stranger"), "unknown issuer")
	await _is_refused(_connect("localhost", ""), "unknown issuer")
	await _is_refused(_connect("127.0.0.1", "server"), "for another host name")
	if args.server == "ours":
		var before := Bare.new(self, _connect("localhost", "server"))
		await _echoes(before, "replace".to_utf8_buffer(), "before the replacement")
		await _works(_connect("localhost", "second"), "the new certificate")
		await _is_refused(_connect("localhost", "server"), "unknown issuer")
		await _echoes(before, "still here".to_utf8_buffer(), "an open connection")
		before.peer.close()
		successes += 2
	var trusted := "second" if args.server == "ours" else "server"
	var bare := Bare.new(self, _connect("localhost", trusted))
	successes += 1
	await _echoes(bare, ("end %d" % successes).to_utf8_buffer(), "the end")
	bare.peer.close()


func _works(peer: MultiplayerPeer, what: String) -> void:
	var bare := Bare.new(self, peer)
	for size in SIZES:
		await _echoes(bare, Pattern.bytes(size, size), "%s, %d bytes" % [what, size])
	peer.close()


func _echoes(bare: Bare, packet: PackedByteArray, what: String) -> void:
	await until(func() -> bool: return bare.is_connected_now() or bare.is_closed(), TIMEOUT, what)
	if bare.is_closed() and bare.peer.has_method("get_last_error"):
		fail("%s: %s" % [what, bare.peer.call("get_last_error")])
	check(bare.is_connected_now(), "%s: connected" % what)
	check_eq(bare.send(1, packet), OK, "%s: sending" % what)
	await until(func() -> bool: return bare.packets.has(1), TIMEOUT, "%s: echo" % what)
	check(bare.packets[1] == [packet], "%s: the echo is what was sent" % what)
	bare.packets.clear()


## `words` is what ours say about it.
func _is_refused(peer: MultiplayerPeer, words: String) -> void:
	var bare := Bare.new(self, peer)
	await until(func() -> bool: return bare.is_connected_now() or bare.is_closed(), TIMEOUT, words)
	check(not bare.is_connected_now(), "this must not work: %s" % words)
	if not peer.has_method("get_last_error"):
		return
	check(bare.has("connection_failed"), "connection_failed: %s" % words)
	var reason: String = peer.call("get_last_error")
	print("refused: ", reason)
	var regex := RegEx.create_from_string(words)
	check(regex.search(reason) != null, "%s: the reason is %s" % [words, reason])
