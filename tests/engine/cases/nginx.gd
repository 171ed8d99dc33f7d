# Behind nginx with the configuration of docs/deploying.md: two servers by path, TLS in front, the client's address, health
# checks, rejections, and an idle game that stays connected beyond the proxy's timeout because of heartbeats.
# processes: server:one server:two client proxy
# nginx: proxy
# timeout: 120
extends "res://lib/case.gd"

const Doc := preload("res://lib/doc.gd")
const PATIENCE := 20.0
## The proxy's timeout, in place of 75 s.
const QUIET := 6
## The time without any packet.
const IDLE := 30.0


func run() -> void:
	if role == "server":
		await _server()
	else:
		await _client()


func _server() -> void:
	var server := WebSocketServer.new()
	server.bind_ip = "127.0.0.1"
	server.trusted_proxies = ["127.0.0.1"]
	server.health_path = "/%s/health" % name
	# Two has no heartbeats: its quiet client shows that the proxy really cuts.
	server.heartbeat_timeout = 60.0
	server.heartbeat_interval = 2.0 if name == "one" else 0.0
	server.request_handler = func(request: Dictionary) -> Variant:
		return {status = 403, reason = "banned"} if "ban" in request.query else true
	server.client_connected.connect(
		func(id: int, _protocol: String) -> void:
			var path := server.get_peer(id).get_requested_path()
			server.get_peer(id).send_text("%s %s %s" % [name, server.get_peer_address(id), path])
	)
	check_eq(server.listen(0), OK, "listen")
	process_frame.connect(server.poll)
	leave("port_" + name, str(server.get_local_port()))
	ready_line()
	await until(func() -> bool: return is_left("over"), 100.0, "the end")
	process_frame.disconnect(server.poll)
	server.stop()


func _client() -> void:
	var both := func() -> bool: return is_left("port_one") and is_left("port_two")
	await until(both, PATIENCE, "both servers")
	var has_ipv6 := TCPServer.new().listen(0, "::1") == OK
	_configure(has_ipv6)
	var base := "wss://127.0.0.1:%d" % port
	await _until_it_serves()

	# The client's word is kept in front of what the proxy adds; here both are trusted.
	var forwarded := ["X-Forwarded-For: 203.0.113.9"]
	check_eq(await _greeting(base + "/one", forwarded), "one 203.0.113.9 /one", "the first server")
	check_eq(await _greeting(base + "/two?x=1", forwarded), "two 203.0.113.9 /two?x=1", "the other")
	if has_ipv6:
		check_eq(await _greeting("wss://[::1]:%d/one" % port, []), "one ::1 /one", "its address")
	for refusal: Array in [
		["/one?ban", "server answered 403 banned"],
		["/nowhere", "server answered 404 Not Found: nginx"],
	]:
		var client := await _connect(base + refusal[0], [])
		var words: String = client.get_last_error()
		check(words.begins_with(refusal[1]), "%s: %s" % [refusal[0], words])
		process_frame.disconnect(client.poll)
	for one: String in ["one", "two"]:
		var path := "/%s/health" % one
		check_eq((await _fetch(path, port, true))[0], 404, "health is not for everybody")
		var itself := FileAccess.get_file_as_string(scratch("port_" + one)).to_int()
		var health := await _fetch(path, itself, false)
		check_eq(health[0], 200, "health")
		var state: Variant = JSON.parse_string(health[1])
		check(state is Dictionary and state.peers is float, "health: %s" % health[1])

	var lively := await _connect(base + "/one", [])
	var quiet := await _connect(base + "/two", [])
	await until(func() -> bool: return _is_out(quiet), QUIET * 4, "the proxy cuts who is quiet")
	await seconds(IDLE - QUIET)
	check(not _is_out(lively), "heartbeats keep a quiet game")
	for client: WebSocketClient in [lively, quiet]:
		process_frame.disconnect(client.poll)
		client.close()
	leave("over", "")


func _configure(has_ipv6: bool) -> void:
	var site := Doc.block("deploying.md", "nginx")
	check(site.contains("proxy_read_timeout 75s;"), "the configuration in the documentation")
	if not has_ipv6:
		site = site.replace("listen [::]:443 ssl;", "")
	for change: Array in [
		["443 ssl", "%d ssl" % port],
		["/etc/letsencrypt/live/game.example.org/fullchain.pem", scratch("certificate.crt")],
		["/etc/letsencrypt/live/game.example.org/privkey.pem", scratch("key.key")],
		["127.0.0.1:9081", "127.0.0.1:" + FileAccess.get_file_as_string(scratch("port_one"))],
		["127.0.0.1:9082", "127.0.0.1:" + FileAccess.get_file_as_string(scratch("port_two"))],
		["75s", "%ds" % QUIET],
	]:
		check(site.contains(change[0]), "%s is in the documentation" % change[0])
		site = site.replace(change[0], change[1])
	var key := Crypto.new().generate_rsa(2048)
	var certificate := Crypto.new().generate_self_signed_certificate(key, "CN=game.example.org")
	check_eq(key.save(scratch("key.key")), OK, "the key")
	check_eq(certificate.save(scratch("certificate.crt")), OK, "the certificate")
	# What a package's own nginx.conf brings.
	var main := "daemon off;\npid nginx.pid;\nworker_processes 1;\nevents { worker_connections 256; }\n"
	main += "http {\naccess_log off;\n"
	for folder: String in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]:
		main += "%s_temp_path %s_temp;\n" % [folder, folder]
	leave("nginx.conf", main + site + "}\n")
	leave("ready", "")


func _until_it_serves() -> void:
	var serves := func() -> bool:
		var tcp := StreamPeerTCP.new()
		if tcp.connect_to_host("127.0.0.1", port) != OK:
			return false
		OS.delay_msec(50)
		tcp.poll()
		return tcp.get_status() == StreamPeerTCP.STATUS_CONNECTED
	await until(serves, PATIENCE, "nginx")


func _connect(url: String, headers: PackedStringArray) -> WebSocketClient:
	var client := WebSocketClient.new()
	# Its certificate is for another name; how certificates are checked is the subject of other cases.
	client.verify_ssl = false
	client.heartbeat_interval = 0.0
	client.handshake_timeout = 10.0
	check_eq(client.connect_to_url(url, PackedStringArray(), false, headers), OK, url)
	process_frame.connect(client.poll)
	var decided := func() -> bool:
		return client.get_connection_status() != MultiplayerPeer.CONNECTION_CONNECTING
	await until(decided, PATIENCE, url)
	return client


func _greeting(url: String, headers: PackedStringArray) -> String:
	var client := await _connect(url, headers)
	check(not _is_out(client), "%s: %s" % [url, client.get_last_error()])
	var peer := client.get_peer(1)
	await until(func() -> bool: return peer.get_available_packet_count() > 0, PATIENCE, url)
	var greeting := peer.get_packet().get_string_from_utf8()
	process_frame.disconnect(client.poll)
	client.close()
	return greeting


func _fetch(path: String, from: int, secure: bool) -> Array:
	var http := HTTPClient.new()
	var tls := TLSOptions.client_unsafe() if secure else null
	check_eq(http.connect_to_host("127.0.0.1", from, tls), OK, path)
	var polled := func(status: int) -> bool:
		http.poll()
		return http.get_status() == status
	await until(polled.bind(HTTPClient.STATUS_CONNECTED), PATIENCE, path)
	check_eq(http.request(HTTPClient.METHOD_GET, path, []), OK, path)
	await until(polled.bind(HTTPClient.STATUS_BODY), PATIENCE, path)
	var body := PackedByteArray()
	while http.get_status() == HTTPClient.STATUS_BODY:
		http.poll()
		body.append_array(http.read_response_body_chunk())
		await process_frame
	return [http.get_response_code(), body.get_string_from_utf8()]


func _is_out(client: WebSocketClient) -> bool:
	return client.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED
