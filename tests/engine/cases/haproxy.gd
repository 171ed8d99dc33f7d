# Behind HAProxy with the configuration of docs/deploying.md: TLS in front with `option httpchk` in its default form, and TLS that is
# passed through behind the PROXY protocol, version 2 and 1.
# processes: server:one server:two client proxy
# haproxy: proxy
# timeout: 150
extends "res://lib/case.gd"

const Doc := preload("res://lib/doc.gd")
const PATIENCE := 20.0
## Longer than a game may not poll, and than HAProxy takes to notice.
const PATIENCE_OF_CHECKS := 40.0
## Where HAProxy connects from: neither the clients nor the servers are there.
const PROXY := "127.0.0.9"


func run() -> void:
	if role == "server":
		await _server()
	else:
		await _client()


func _server() -> void:
	var server := WebSocketServer.new()
	server.bind_ip = "127.0.0.1"
	server.trusted_proxies = [PROXY]
	server.handshake_timeout = PATIENCE
	# Checks are not counted, or there would be no place for anybody.
	server.max_connections_per_address = 3
	if name == "one":
		server.health_path = "/"
	else:
		server.proxy_protocol = true
		var key := Crypto.new().generate_rsa(2048)
		server.private_key = key
		server.ssl_certificate = Crypto.new().generate_self_signed_certificate(
			key, "CN=game.example.org"
		)
	var about: Dictionary = {}
	server.request_handler = func(request: Dictionary) -> Variant:
		about.merge(request, true)
		return {status = 403, reason = "banned"} if "ban" in request.query else true
	server.client_connected.connect(
		func(id: int, _protocol: String) -> void:
			var told := [
				name,
				server.get_peer_address(id),
				"port" if server.get_peer_port(id) > 0 else "no port",
				"same" if about.port == server.get_peer_port(id) else "another",
				about.address,
				"secure" if about.secure else "plain",
			]
			# One that came while the game hung may be gone.
			if server.get_peer(id).is_connected_to_host():
				server.get_peer(id).send_text(" ".join(told))
	)
	check_eq(server.listen(0), OK, "listen")
	process_frame.connect(server.poll)
	leave("port_" + name, str(server.get_local_port()))
	ready_line()
	if name == "one":
		await until(func() -> bool: return is_left("stuck"), 100.0, "the client's sign")
		process_frame.disconnect(server.poll)
		await until(func() -> bool: return is_left("awake"), 100.0, "the client's sign")
		process_frame.connect(server.poll)
	await until(func() -> bool: return is_left("over"), 100.0, "the end")
	process_frame.disconnect(server.poll)
	var statistics := server.get_statistics()
	check_eq(statistics.handshakes_refused, 1 if name == "one" else 2, "refused: %s" % statistics)
	check_eq(statistics.refused_handler, 1, "the one that is banned")
	check_eq(statistics.refused_malformed, 0, "what came through HAProxy is well-formed")
	check_eq(statistics.health_checks > 0, name == "one", "checks: %d" % statistics.health_checks)
	server.stop()


func _client() -> void:
	var both := func() -> bool: return is_left("port_one") and is_left("port_two")
	await until(both, PATIENCE, "both servers")
	_configure()
	await _until_it_serves()

	# An address that the client sends itself does not count: HAProxy appends the real one.
	var forged := ["X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9"]
	var games := "wss://127.0.0.1:%d/one" % port
	var plain := "one 127.0.0.1 no port same 127.0.0.1 plain"
	check_eq(await _greeting(games, forged), plain, "TLS ends in HAProxy")
	for host: String in ["127.0.0.2", "127.0.0.3"]:
		var url := "wss://%s:%d/any" % [host, port]
		var secure := "two 127.0.0.1 port same 127.0.0.1 secure"
		check_eq(await _greeting(url, forged), secure, "TLS ends in the server")
	for url: String in [games + "?ban", "wss://127.0.0.2:%d/?ban" % port]:
		var banned := await _connect(url)
		check_eq(banned.get_last_error(), "server answered 403 banned", "a refusal")
		process_frame.disconnect(banned.poll)
	# An unexpected header, from a client that may not send it.
	var tcp := StreamPeerTCP.new()
	check_eq(tcp.connect_to_host("127.0.0.1", _port_of("two")), OK, "without HAProxy")
	var is_connected_now := func() -> bool:
		tcp.poll()
		return tcp.get_status() == StreamPeerTCP.STATUS_CONNECTED
	await until(is_connected_now, PATIENCE, "connected")
	tcp.put_data("PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n".to_utf8_buffer())
	var is_gone := func() -> bool:
		# The engine sees the end behind what was read.
		tcp.get_partial_data(100)
		return not is_connected_now.call()
	await until(is_gone, PATIENCE, "it is dropped")

	# A game that hangs is taken out, and comes back.
	leave("stuck", "")
	await _until_it_is("503 Service Unavailable", games)
	leave("awake", "")
	await _until_it_is("", games)
	leave("over", "")


func _configure() -> void:
	var site := Doc.block("deploying.md", "haproxy")
	check(site.contains("option httpchk\n"), "the configuration in the documentation")
	for change: Array in [
		["bind :443 ssl", "bind 127.0.0.1:%d ssl" % port],
		["/etc/haproxy/game.pem", scratch("game.pem")],
		["bind :8443", "bind 127.0.0.2:%d" % port],
		["127.0.0.1:9081", "127.0.0.1:%d" % _port_of("one")],
		["127.0.0.1:9082", "127.0.0.1:%d" % _port_of("two")],
		["defaults\n", "global\n    maxconn 100\n\ndefaults\n    source %s\n" % PROXY],
	]:
		check(site.contains(change[0]), "%s is in the documentation" % change[0])
		site = site.replace(change[0], change[1])
	# The first version of the protocol is one word away.
	var start := site.find("frontend duels")
	var older := site.substr(start).replace("frontend duels", "frontend older")
	older = older.replace("backend two", "backend three").replace(
		"default_backend two", "default_backend three"
	)
	older = older.replace("127.0.0.2", "127.0.0.3").replace("send-proxy-v2", "send-proxy")
	var key := Crypto.new().generate_rsa(2048)
	var certificate := Crypto.new().generate_self_signed_certificate(key, "CN=game.example.org")
	check_eq(key.save(scratch("game.key")), OK, "the key")
	check_eq(certificate.save(scratch("game.crt")), OK, "the certificate")
	var parts := ["game.crt", "game.key"].map(
		func(file: String) -> String: return FileAccess.get_file_as_string(scratch(file))
	)
	leave("game.pem", "".join(parts))
	leave("haproxy.cfg", site + "\n" + older)
	leave("ready", "")


func _port_of(server: String) -> int:
	return FileAccess.get_file_as_string(scratch("port_" + server)).to_int()


func _until_it_serves() -> void:
	var serves := func() -> bool:
		var tcp := StreamPeerTCP.new()
		if tcp.connect_to_host("127.0.0.3", port) != OK:
			return false
		OS.delay_msec(50)
		tcp.poll()
		return tcp.get_status() == StreamPeerTCP.STATUS_CONNECTED
	await until(serves, PATIENCE, "HAProxy")


## Connects again and again, until what comes of it is this.
func _until_it_is(wanted: String, url: String) -> void:
	var end := Time.get_ticks_msec() + int(PATIENCE_OF_CHECKS * 1000)
	while true:
		var client := await _connect(url)
		var error := client.get_last_error()
		process_frame.disconnect(client.poll)
		client.close()
		if error == wanted or wanted and error.trim_prefix("server answered ").begins_with(wanted):
			return
		check(Time.get_ticks_msec() < end, "%s: %s, not %s" % [url, error, wanted])
		await seconds(0.5)


func _connect(url: String, headers: PackedStringArray = []) -> WebSocketClient:
	var client := WebSocketClient.new()
	# Its certificate is for another name; how certificates are checked is the subject of other cases.
	client.verify_ssl = false
	client.handshake_timeout = PATIENCE
	check_eq(client.connect_to_url(url, PackedStringArray(), false, headers), OK, url)
	process_frame.connect(client.poll)
	var decided := func() -> bool:
		return client.get_connection_status() != MultiplayerPeer.CONNECTION_CONNECTING
	await until(decided, PATIENCE * 2, url)
	return client


func _greeting(url: String, headers: PackedStringArray) -> String:
	var client := await _connect(url, headers)
	check_eq(client.get_last_error(), "", url)
	var peer := client.get_peer(1)
	await until(func() -> bool: return peer.get_available_packet_count() > 0, PATIENCE, url)
	var greeting := peer.get_packet().get_string_from_utf8()
	process_frame.disconnect(client.poll)
	client.close()
	return greeting
