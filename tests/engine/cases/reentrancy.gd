# A signal handler may close, listen again, poll, send, disconnect, replace the peer or drop the
# last reference to it.
# processes: main
extends "res://lib/case.gd"

const CROWD := 5
## The default of `handshake_timeout` is shorter than what a busy machine may need.
const HANDSHAKE_TIMEOUT := 20.0
const TIMEOUT := 20.0

var server: WebSocketServer
var clients: Array[WebSocketClient] = []
## What the handlers saw, in order.
var events: Array[String] = []
## What a handler does at the first event that begins with `acts_on`.
var action := Callable()
var acts_on := ""

var _url := ""


func run() -> void:
	await _close_in_peer_connected()
	await _listen_again_in_peer_connected()
	await _last_reference_dropped_in_peer_connected()
	await _last_reference_dropped_by_the_api()
	await _nested_poll()
	await _send_and_disconnect_in_peer_connected()
	await _disconnect_others_in_peer_packet()
	await _packet_outlives_close()
	await _connect_again_in_server_disconnected()
	await _connect_again_in_connection_failed()
	await _replace_the_peer_in_a_handler()
	await _raw_mode()
	await _drop_the_server()
	await _connect_to_packets_in_a_handler()
	server = null
	clients.clear()


## Five clients wait; the first handler closes: the other four must not be announced.
func _close_in_peer_connected() -> void:
	await _crowd(true)
	action = _close_server
	server.poll()
	check_eq(events.size(), 1, "announced after close(): %s" % [events])
	check_eq(server.get_connection_status(), MultiplayerPeer.CONNECTION_DISCONNECTED, "status")
	server.poll()
	check_eq(events.size(), 1, "announced by a closed server: %s" % [events])
	await _all_clients_end("close() in a handler")


func _close_server() -> void:
	server.close()


func _listen_again_in_peer_connected() -> void:
	await _crowd(true)
	action = _restart_server
	server.poll()
	check_eq(events.size(), 1, "announced after listen(): %s" % [events])
	check_eq(server.get_connection_status(), MultiplayerPeer.CONNECTION_CONNECTED, "status")
	await _all_clients_end("listen() in a handler")
	events.clear()
	await _join(1)
	await until(
		_polled(func() -> bool: return events.size() == 1), TIMEOUT, "a client of the new server"
	)
	check_eq(events[0], "peer_connected %d" % clients[0].get_unique_id(), "who came")


func _restart_server() -> void:
	var port_before := server.get_local_port()
	server.close()
	check_eq(server.listen(port_before, PackedStringArray(), true), OK, "listen() in a handler")


func _last_reference_dropped_in_peer_connected() -> void:
	await _crowd(true)
	var watch: WeakRef = weakref(server)
	action = func() -> void: server = null
	server.poll()
	check(watch.get_ref() == null, "the server outlives its last reference")
	check_eq(events.size(), 1, "announced by a freed server: %s" % [events])
	await _all_clients_end("last reference dropped")


## The same through `MultiplayerAPI.poll()`, which continues to use its peer.
func _last_reference_dropped_by_the_api() -> void:
	await _crowd(true)
	var api := MultiplayerAPI.create_default_interface()
	api.multiplayer_peer = server
	var watch: WeakRef = weakref(server)
	server = null
	api.peer_connected.connect(func(_id: int) -> void: api.multiplayer_peer = null)
	api.poll()
	check(watch.get_ref() == null, "the server outlives the API's reference")
	api.poll()
	for connection in api.peer_connected.get_connections():
		api.peer_connected.disconnect(connection.callable)
	await _all_clients_end("multiplayer_peer = null")


## A nested poll returns at once; the outer one continues and loses nothing.
func _nested_poll() -> void:
	await _crowd(true)
	var nested := {calls = 0}
	action = func() -> void:
		server.poll()
		nested.calls = events.size()
	server.poll()
	check_eq(nested.calls, 1, "signals of the nested poll")
	check_eq(events.size(), CROWD, "signals of the outer poll: %s" % [events])
	# The flag of the poll is clear again.
	clients[0].close()
	await until(
		_polled(func() -> bool: return events.size() > CROWD), TIMEOUT, "a poll after a nested one"
	)
	check(
		events[CROWD].begins_with("peer_disconnected"), "what the next poll said: " + events[CROWD]
	)


func _send_and_disconnect_in_peer_connected() -> void:
	await _crowd(true)
	action = func() -> void:
		var id := events[0].get_slice(" ", 1).to_int()
		server.set_target_peer(id)
		check_eq(server.put_packet("welcome".to_utf8_buffer()), OK, "put_packet() in a handler")
		server.disconnect_peer(id, 4000, "and goodbye")
	server.poll()
	check_eq(events.size(), CROWD, "announced: %s" % [events])
	var first := events[0].get_slice(" ", 1).to_int()
	var got := {}
	var read := func() -> bool:
		_poll_all()
		for client in clients:
			while client.get_available_packet_count() > 0:
				got[client.get_unique_id()] = client.get_packet().get_string_from_utf8()
		# The server may get the disconnect before the client was polled again.
		return events.size() > CROWD and not got.is_empty()
	await until(read, TIMEOUT, "the end of the disconnected peer")
	check_eq(got, {first: "welcome"}, "packets received")
	check_eq(events[CROWD], "peer_disconnected %d" % first, "who left")
	check_eq(server.has_peer(first), false, "peer after its end")


## Force: no signal for these peers, and their packets are discarded. The current packet is from another peer.
func _disconnect_others_in_peer_packet() -> void:
	await _crowd(true)
	server.poll()
	server.peer_packet.connect(_on_packet)
	for client in clients:
		client.poll()
		check_eq(client.put_packet(var_to_bytes(client.get_unique_id())), OK, "put_packet()")
	await _packets_are_in()
	events.clear()
	action = func() -> void:
		var keep := events[0].get_slice(" ", 1).to_int()
		for client in clients:
			if client.get_unique_id() != keep:
				server.disconnect_peer(client.get_unique_id(), true)
	server.poll()
	check_eq(events.size(), 1, "signals: %s" % [events])
	check_eq(server.get_available_packet_count(), 1, "packets left")
	var from := server.get_packet_peer()
	check_eq(bytes_to_var(server.get_packet()), from, "the packet left")
	check_eq(events[0], "peer_packet %d" % from, "the packet announced")
	for frame in 20:
		server.poll()
		await process_frame
	check_eq(events.size(), 1, "signals for peers dropped by force: %s" % [events])


## The engine reads from the peer's memory while it runs the handlers of the packet in it.
func _packet_outlives_close() -> void:
	await _crowd(true)
	var api := SceneMultiplayer.new()
	api.root_path = root.get_path()
	api.multiplayer_peer = server
	api.peer_packet.connect(_on_api_packet)
	api.poll()
	var payload := PackedByteArray()
	for index in 30000:
		payload.append(index % 251)
	# As SceneMultiplayer.send_bytes() does: 3 is its command for raw data.
	for copy in 2:
		check_eq(clients[0].put_packet(PackedByteArray([3]) + payload), OK, "put_packet()")
	events.clear()
	action = _close_server
	var seen := func() -> bool:
		api.poll()
		return not events.is_empty()
	await until(seen, TIMEOUT, "a packet through the API")
	check_eq(events, ["api_packet %d" % hash(payload)] as Array[String], "packets through the API")
	api.multiplayer_peer = null
	api.peer_packet.disconnect(_on_api_packet)


func _on_api_packet(_id: int, packet: PackedByteArray) -> void:
	_act("api_packet %d" % hash(packet))


func _connect_again_in_server_disconnected() -> void:
	await _crowd(true)
	server.poll()
	var client := clients[0]
	client.poll()
	var first := client.get_unique_id()
	client.server_disconnected.connect(_act.bind("server_disconnected"))
	client.connection_succeeded.connect(_act.bind("connection_succeeded"))
	events.clear()
	acts_on = "server_disconnected"
	action = func() -> void:
		check_eq(
			clients[0].get_connection_status(),
			MultiplayerPeer.CONNECTION_DISCONNECTED,
			"status in the handler"
		)
		check_eq(
			clients[0].connect_to_url(_url, PackedStringArray(), true),
			OK,
			"connect_to_url() in the handler"
		)
	server.disconnect_peer(first)
	await until(
		_polled(func() -> bool: return events.has("connection_succeeded")),
		TIMEOUT,
		"second connection"
	)
	check(client.get_unique_id() != first, "the id of the second connection is the first's")
	check(
		events.find("server_disconnected") < events.find("connection_succeeded"),
		"order: %s" % [events]
	)


func _connect_again_in_connection_failed() -> void:
	await _crowd(true)
	var client := WebSocketClient.new()
	client.handshake_timeout = HANDSHAKE_TIMEOUT
	client.connection_failed.connect(_act.bind("connection_failed"))
	client.connection_succeeded.connect(_act.bind("connection_succeeded"))
	events.clear()
	acts_on = "connection_failed"
	action = func() -> void:
		check_eq(
			clients[0].connect_to_url(_url, PackedStringArray(), true),
			OK,
			"connect_to_url() in the handler"
		)
	clients[0].close()
	clients[0] = client
	# Nobody listens on the case's own port.
	check_eq(
		client.connect_to_url("ws://127.0.0.1:%d" % port, PackedStringArray(), true),
		OK,
		"first try"
	)
	await until(
		_polled(func() -> bool: return events.has("connection_succeeded")), TIMEOUT, "second try"
	)
	check(events.has("connection_failed"), "the first try did not fail: %s" % [events])


func _replace_the_peer_in_a_handler() -> void:
	await _crowd(true)
	var api := MultiplayerAPI.create_default_interface()
	var other := WebSocketServer.new()
	check_eq(other.listen(0, PackedStringArray(), true), OK, "the other server")
	api.multiplayer_peer = server
	var watch: WeakRef = weakref(server)
	server = null
	var swap := func(_id: int) -> void: api.multiplayer_peer = other
	api.peer_connected.connect(swap)
	api.poll()
	api.peer_connected.disconnect(swap)
	check(watch.get_ref() == null, "the replaced server is still there")
	check(api.multiplayer_peer == other, "the other server is not in place")
	api.poll()
	check_eq(
		other.get_connection_status(),
		MultiplayerPeer.CONNECTION_CONNECTED,
		"status of the other server"
	)
	api.multiplayer_peer = null
	await _all_clients_end("replaced peer")


func _raw_mode() -> void:
	await _crowd(false)
	server.client_connected.connect(_on_client_connected)
	server.client_disconnected.connect(_on_client_disconnected)
	server.data_received.connect(_on_data)
	server.poll()
	check_eq(events.size(), CROWD, "connected: %s" % [events])
	for client in clients:
		client.poll()
		client.get_peer(1).set_write_mode(BufferedWebSocketPeer.WRITE_MODE_TEXT)
		check_eq(client.get_peer(1).put_packet("hello".to_utf8_buffer()), OK, "a text message")
		check_eq(client.get_peer(1).put_packet(PackedByteArray()), OK, "an empty message")
	events.clear()
	await until(
		_polled(func() -> bool: return events.size() >= 3 * CROWD), TIMEOUT, "messages and ends"
	)
	var expected: Array[String] = []
	for client in clients:
		expected.append_array(["hello true", "empty true", "gone true"])
	events.sort()
	expected.sort()
	check_eq(events, expected, "what the handlers of raw mode saw")
	# The first data_received of the next round drops the server.
	await _crowd(false)
	server.data_received.connect(_on_data_drop)
	server.poll()
	var watch: WeakRef = weakref(server)
	for client in clients:
		client.poll()
		client.get_peer(1).put_packet("x".to_utf8_buffer())
	await _packets_are_in()
	server.poll()
	check(watch.get_ref() == null, "the raw server outlives its last reference")
	await _all_clients_end("raw server dropped")


## On the 3.x wire a client knows the others through the server. When it has dropped the server itself, it is told that they are gone.
func _drop_the_server() -> void:
	server = WebSocketServer.new()
	server.wire_format = WebSocketServer.WIRE_FORMAT_GODOT3
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listen()")
	_url = "ws://127.0.0.1:%d" % server.get_local_port()
	clients = [WebSocketClient.new(), WebSocketClient.new()]
	var client := clients[0]
	var known := {}
	client.peer_connected.connect(func(id: int) -> void: known[id] = true)
	client.peer_disconnected.connect(func(id: int) -> void: known.erase(id))
	for one in clients:
		one.wire_format = WebSocketServer.WIRE_FORMAT_GODOT3
		check_eq(one.connect_to_url(_url, PackedStringArray(), true), OK, "connect_to_url()")
	var all_are_known := func() -> bool: return known.size() == 2
	await until(_polled(all_are_known), TIMEOUT, "the server and the other client")
	var other := clients[1].get_unique_id()
	var peer: MultiplayerPeer = client
	peer.disconnect_peer(1, true)
	check_eq(client.get_connection_status(), MultiplayerPeer.CONNECTION_DISCONNECTED, "dropped")
	await until(
		_polled(func() -> bool: return not known.has(other)), TIMEOUT, "the other one is gone"
	)


## A handler connects to the signal for packets between two packets of one poll.
func _connect_to_packets_in_a_handler() -> void:
	await _crowd(true)
	server.poll()
	var first := clients[0]
	first.poll()
	check_eq(first.put_packet("1".to_utf8_buffer()), OK, "put_packet()")
	await _packets_are_in(1)
	var rest := clients.duplicate()
	await _join(1)
	clients.append_array(rest)
	check_eq(first.put_packet("2".to_utf8_buffer()), OK, "put_packet()")
	await _packets_are_in(2)
	acts_on = "peer_connected"
	action = func() -> void: server.peer_packet.connect(_on_packet)
	events.clear()
	server.poll()
	var told := events.map(func(event: String) -> String: return event.get_slice(" ", 0))
	check_eq(told, ["peer_connected", "peer_packet"], "packets before and after the handler")
	check_eq(server.get_available_packet_count(), 2, "packets of that poll")


func _on_client_connected(id: int, _protocol: String) -> void:
	events.append("client_connected %d" % id)


func _on_client_disconnected(_id: int, was_clean_close: bool) -> void:
	events.append("gone %s" % was_clean_close)


func _on_data(id: int) -> void:
	var peer := server.get_peer(id)
	var message := peer.get_packet().get_string_from_utf8()
	events.append("%s %s" % ["empty" if message.is_empty() else message, peer.was_string_packet()])
	if message.is_empty():
		peer.close()


func _on_data_drop(id: int) -> void:
	check_eq(server.get_peer(id).get_packet().get_string_from_utf8(), "x", "message in the handler")
	server = null


## A new server for which five clients have arrived that no poll has announced yet.
func _crowd(multiplayer_mode: bool) -> void:
	for client in clients:
		client.close()
	server = WebSocketServer.new()
	server.bind_ip = "127.0.0.1"
	server.handshake_timeout = HANDSHAKE_TIMEOUT
	check_eq(server.listen(0, PackedStringArray(), multiplayer_mode), OK, "listen()")
	server.peer_connected.connect(_on_peer.bind("peer_connected"))
	server.peer_disconnected.connect(_on_peer.bind("peer_disconnected"))
	_url = "ws://127.0.0.1:%d" % server.get_local_port()
	events.clear()
	action = Callable()
	acts_on = ""
	await _join(CROWD, multiplayer_mode)
	await until_handed_over(weakref(server), TIMEOUT)


## So many packets, by default one of each client, are in what the next poll reads.
func _packets_are_in(packets := CROWD) -> void:
	var are_read := func() -> bool: return server.get_statistics().packets_in >= packets
	await until(are_read, TIMEOUT, "the clients' packets")
	await until_handed_over(weakref(server), TIMEOUT)


func _join(count: int, multiplayer_mode := true) -> void:
	clients.clear()
	for index in count:
		var client := WebSocketClient.new()
		client.handshake_timeout = HANDSHAKE_TIMEOUT
		check_eq(
			client.connect_to_url(_url, PackedStringArray(), multiplayer_mode),
			OK,
			"connect_to_url()"
		)
		clients.append(client)
	var joined := func() -> bool: return clients.all(_has_joined)
	await until(joined, TIMEOUT, "%d clients join" % count)


func _has_joined(client: WebSocketClient) -> bool:
	client.poll()
	return client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED


func _all_clients_end(what: String) -> void:
	var ended := func() -> bool: return clients.all(_has_ended)
	await until(ended, TIMEOUT, what + ": clients get the disconnect")


func _has_ended(client: WebSocketClient) -> bool:
	client.poll()
	return client.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED


func _on_peer(id: int, what: String) -> void:
	_act("%s %d" % [what, id])


func _on_packet(id: int) -> void:
	_act("peer_packet %d" % id)


func _act(event: String) -> void:
	events.append(event)
	if action.is_valid() and event.begins_with(acts_on):
		var act := action
		action = Callable()
		act.call()


func _polled(condition: Callable) -> Callable:
	return func() -> bool:
		_poll_all()
		return condition.call()


func _poll_all() -> void:
	if server != null:
		server.poll()
	for client in clients:
		client.poll()
