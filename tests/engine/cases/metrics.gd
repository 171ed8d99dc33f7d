# The metrics of a loaded server, read by Prometheus with the configuration and the alerts of the documentation.
# processes: server client prometheus
# prometheus: prometheus
# timeout: 120
extends "res://lib/case.gd"

const TIMEOUT := 100.0
const CLIENTS := 20


func run() -> void:
	if role == "server":
		await _server()
	else:
		await _client()


func _server() -> void:
	var server := WebSocketServer.new()
	server.metrics_path = "/metrics"
	server.max_connections = 100
	check_eq(server.listen(port), OK, "listen")
	server.data_received.connect(_echo.bind(weakref(server)))
	process_frame.connect(server.poll)
	ready_line()
	await until(func() -> bool: return is_left("stuck"), TIMEOUT, "Prometheus has seen the load")
	process_frame.disconnect(server.poll)
	await until(func() -> bool: return is_left("over"), TIMEOUT, "the alert")
	var totals := server.get_statistics()
	check(totals.health_checks > 5, "answered: %d" % totals.health_checks)
	check_eq(totals.handshakes_refused, 0, "a page is no handshake")
	server.stop()


func _echo(id: int, server: WeakRef) -> void:
	var peer: BufferedWebSocketPeer = server.get_ref().get_peer(id)
	while peer.get_available_packet_count() > 0:
		peer.put_packet(peer.get_packet())


func _client() -> void:
	# Closed at once, for Prometheus.
	var free := TCPServer.new()
	check_eq(free.listen(0, "127.0.0.1"), OK, "a free port")
	leave("prometheus_port", str(free.get_local_port()))
	free.stop()
	var clients: Array[WebSocketClient] = []
	for number in CLIENTS:
		var client := WebSocketClient.new()
		check_eq(client.connect_to_url("ws://127.0.0.1:%d" % port), OK, "connect_to_url")
		clients.append(client)
	var play := func() -> void:
		for client: WebSocketClient in clients:
			client.poll()
			if client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED:
				var peer := client.get_peer(1)
				while peer.get_available_packet_count() > 0:
					peer.get_packet()
				if not is_left("stuck"):
					peer.put_packet(PackedByteArray([1, 2, 3]))
	var timer := Timer.new()
	timer.timeout.connect(play)
	root.add_child(timer)
	timer.start(0.05)
	await seconds(1.0)
	leave("page", await _fetch())
	await until(func() -> bool: return is_left("over"), TIMEOUT, "the alert")
	timer.stop()
	for client: WebSocketClient in clients:
		client.disconnect_from_host()


func _fetch() -> String:
	var http := HTTPClient.new()
	check_eq(http.connect_to_host("127.0.0.1", port), OK, "connect")
	var polled := func(status: int) -> bool:
		http.poll()
		return http.get_status() == status
	await until(polled.bind(HTTPClient.STATUS_CONNECTED), TIMEOUT, "connected")
	check_eq(http.request(HTTPClient.METHOD_GET, "/metrics", []), OK, "request")
	await until(polled.bind(HTTPClient.STATUS_BODY), TIMEOUT, "a page")
	check_eq(http.get_response_code(), 200, "the status")
	var body := PackedByteArray()
	while http.get_status() == HTTPClient.STATUS_BODY:
		http.poll()
		body.append_array(http.read_response_body_chunk())
		await process_frame
	check(body.get_string_from_utf8().contains("\nwebsocket_peers %d\n" % CLIENTS), "the players")
	return body.get_string_from_utf8()
