# Behind nginx with the configuration of docs/deploying.md: two servers by path, TLS in front, the client's address, health
# checks, rejections, and an idle game that stays connected beyond the proxy's timeout because of heartbeats.
# processes: server:one server:two client proxy
# nginx: proxy
# timeout: 120
extends "res://lib/proxy_case.gd"

## The proxy's timeout, in place of 75 s.
const QUIET := 6
## The time without any packet.
const IDLE := 30.0


func _server() -> void:
	var server := WebSocketServer.new()
	server.bind_ip = "127.0.0.1"
	server.trusted_proxies = ["127.0.0.1"]
	server.health_path = "/%s/health" % name
	# Without heartbeats, the client of the server "two" shows that the proxy cuts idle connections.
	server.heartbeat_timeout = 60.0
	server.heartbeat_interval = 2.0 if name == "one" else 0.0
	server.request_handler = func(request: Dictionary) -> Variant:
		return {status = 403, reason = "banned"} if "ban" in request.query else true
	server.client_connected.connect(
		func(id: int, _protocol: String) -> void:
			var path := server.get_peer(id).get_requested_path()
			server.get_peer(id).send_text("%s %s %s" % [name, server.get_peer_address(id), path])
	)
	_listen(server)
	await until(func() -> bool: return is_left("over"), 100.0, "the end")
	process_frame.disconnect(server.poll)
	server.stop()


func _client() -> void:
	await _until_both_listen()
	var has_ipv6 := TCPServer.new().listen(0, "::1") == OK
	_configure(has_ipv6)
	var base := "wss://127.0.0.1:%d" % port
	await _until_it_serves("127.0.0.1")

	# The client's own header comes before the address that the proxy adds; here both are trusted.
	var forwarded := ["X-Forwarded-For: 203.0.113.9"]
	check_eq(await _greeting(base + "/one", forwarded), "one 203.0.113.9 /one", "the first server")
	check_eq(await _greeting(base + "/two?x=1", forwarded), "two 203.0.113.9 /two?x=1", "the other")
	if has_ipv6:
		check_eq(await _greeting("wss://[::1]:%d/one" % port), "one ::1 /one", "its address")
	for refusal: Array in [
		["/one?ban", "server answered 403 banned"],
		["/nowhere", "server answered 404 Not Found: nginx"],
	]:
		var client := await _connect(base + refusal[0])
		var words: String = client.get_last_error()
		check(words.begins_with(refusal[1]), "%s: %s" % [refusal[0], words])
		process_frame.disconnect(client.poll)
	for one: String in ["one", "two"]:
		var path := "/%s/health" % one
		check_eq((await _fetch(path, port, true))[0], 404, "health is not for everybody")
		var health := await _fetch(path, _port_of(one), false)
		check_eq(health[0], 200, "health")
		var state: Variant = JSON.parse_string(health[1])
		check(state is Dictionary and state.peers is float, "health: %s" % health[1])

	var lively := await _connect(base + "/one")
	var quiet := await _connect(base + "/two")
	await until(func() -> bool: return _is_out(quiet), QUIET * 4, "the proxy cuts who is quiet")
	await seconds(IDLE - QUIET)
	check(not _is_out(lively), "heartbeats keep a quiet game")
	for client: WebSocketClient in [lively, quiet]:
		process_frame.disconnect(client.poll)
		client.close()
	leave("over", "")


func _configure(has_ipv6: bool) -> void:
	var changes := [
		["443 ssl", "%d ssl" % port],
		["/etc/letsencrypt/live/game.example.org/fullchain.pem", scratch("certificate.crt")],
		["/etc/letsencrypt/live/game.example.org/privkey.pem", scratch("key.key")],
		["127.0.0.1:9081", "127.0.0.1:%d" % _port_of("one")],
		["127.0.0.1:9082", "127.0.0.1:%d" % _port_of("two")],
		["75s", "%ds" % QUIET],
	]
	if not has_ipv6:
		changes.push_front(["listen [::]:443 ssl;", ""])
	var site := _configuration("nginx", changes)
	check(site.contains("proxy_read_timeout %ds;" % QUIET), "the timeout in the documentation")
	_save_identity("key.key", "certificate.crt")
	# The parts of a package's own nginx.conf.
	var main := "daemon off;\npid nginx.pid;\nworker_processes 1;\nevents { worker_connections 256; }\n"
	main += "http {\naccess_log off;\n"
	for folder: String in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]:
		main += "%s_temp_path %s_temp;\n" % [folder, folder]
	leave("nginx.conf", main + site + "}\n")
	leave("ready", "")


func _fetch(path: String, from: int, secure: bool) -> Array:
	var http := HTTPClient.new()
	var tls := TLSOptions.client_unsafe() if secure else null
	check_eq(http.connect_to_host("127.0.0.1", from, tls), OK, path)
	var polled := func(status: int) -> bool:
		http.poll()
		return http.get_status() == status
	await until(polled.bind(HTTPClient.STATUS_CONNECTED), TIMEOUT, path)
	check_eq(http.request(HTTPClient.METHOD_GET, path, []), OK, path)
	await until(polled.bind(HTTPClient.STATUS_BODY), TIMEOUT, path)
	var body := PackedByteArray()
	while http.get_status() == HTTPClient.STATUS_BODY:
		http.poll()
		body.append_array(http.read_response_body_chunk())
		await process_frame
	return [http.get_response_code(), body.get_string_from_utf8()]


func _is_out(client: WebSocketClient) -> bool:
	return client.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED
