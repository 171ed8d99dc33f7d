# Behind HAProxy with the configuration of docs/deploying.md: TLS in front with `option httpchk` in its default form, and TLS that is
# passed through behind the PROXY protocol, version 2 and 1.
# processes: server:one server:two client proxy
# haproxy: proxy
# timeout: 150
extends "res://lib/proxy_case.gd"

## Longer than a game may go without polling, and than HAProxy takes to notice.
const CHECKS_TIMEOUT := 40.0
## The address from which HAProxy connects, and nothing else.
const PROXY := "127.0.0.9"


func _server() -> void:
	var server := WebSocketServer.new()
	server.bind_ip = "127.0.0.1"
	server.trusted_proxies = [PROXY]
	server.handshake_timeout = TIMEOUT
	# Health checks do not count, or they would take all places.
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
			# A client that connected while the game hung may be gone.
			if server.get_peer(id).is_connected_to_host():
				server.get_peer(id).send_text(" ".join(told))
	)
	_listen(server)
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
	await _until_both_listen()
	_configure()
	await _until_it_serves("127.0.0.3")

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
	await until(is_connected_now, TIMEOUT, "connected")
	tcp.put_data("PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n".to_utf8_buffer())
	var is_gone := func() -> bool:
		# The engine sees the end only after a read.
		tcp.get_partial_data(100)
		return not is_connected_now.call()
	await until(is_gone, TIMEOUT, "it is dropped")

	# A game that hangs is taken out, and comes back.
	leave("stuck", "")
	await _until_it_is("503 Service Unavailable", games)
	leave("awake", "")
	await _until_it_is("", games)
	leave("over", "")


func _configure() -> void:
	var changes := [
		["bind :443 ssl", "bind 127.0.0.1:%d ssl" % port],
		["/etc/haproxy/game.pem", scratch("game.pem")],
		["bind :8443", "bind 127.0.0.2:%d" % port],
		["127.0.0.1:9081", "127.0.0.1:%d" % _port_of("one")],
		["127.0.0.1:9082", "127.0.0.1:%d" % _port_of("two")],
		["defaults\n", "global\n    maxconn 100\n\ndefaults\n    source %s\n" % PROXY],
	]
	var site := _configuration("haproxy", changes)
	check(site.contains("option httpchk\n"), "the health check in the documentation")
	# The first version of the protocol is one word away.
	var start := site.find("frontend duels")
	var older := site.substr(start).replace("frontend duels", "frontend older")
	older = older.replace("backend two", "backend three").replace(
		"default_backend two", "default_backend three"
	)
	older = older.replace("127.0.0.2", "127.0.0.3").replace("send-proxy-v2", "send-proxy")
	_save_identity("game.key", "game.crt")
	var parts := ["game.crt", "game.key"].map(
		func(file: String) -> String: return FileAccess.get_file_as_string(scratch(file))
	)
	leave("game.pem", "".join(parts))
	leave("haproxy.cfg", site + "\n" + older)
	leave("ready", "")


## Connects repeatedly, until the result is `wanted`.
func _until_it_is(wanted: String, url: String) -> void:
	var end := Time.get_ticks_msec() + int(CHECKS_TIMEOUT * 1000)
	while true:
		var client := await _connect(url)
		var error := client.get_last_error()
		process_frame.disconnect(client.poll)
		client.close()
		if error == wanted or wanted and error.trim_prefix("server answered ").begins_with(wanted):
			return
		check(Time.get_ticks_msec() < end, "%s: %s, not %s" % [url, error, wanted])
		await seconds(0.5)
