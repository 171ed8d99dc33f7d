# Opening and closing a thousand times leaves no thread, file descriptor or object behind, and close() never blocks.
# processes: main
# timeout: 120
extends "res://lib/case.gd"

const TIMES := 1000
const PAIRS := 100
## A closed server may keep a connection until the other side has answered, for `close_timeout`
## at most.
const TIMEOUT := 15.0
## Half of `close_timeout`, for which it would wait.
const AT_ONCE := 1.5
## The default of `handshake_timeout` is shorter than what a busy machine may need.
const HANDSHAKE_TIMEOUT := 20.0
## Each function that waits is an object of the engine. Fewer than any of the parts below opens.
const COROUTINES := 8

var server: WebSocketServer
var client: WebSocketClient
var _before := {}


func run() -> void:
	# Each line about listening would be printed a thousand times.
	ProjectSettings.set_setting("network/websocket/log_level", 2)
	_open_and_close()
	await seconds(0.5)
	_before = _held()
	if OS.get_name() == "Linux":
		check(
			_before.threads > 0 and _before.files > 0,
			"cannot count threads and files: %s" % [_before]
		)
	await _servers()
	await _clients()
	await _pairs()
	await _silent_connections_do_not_delay_close()
	await _the_port_is_free_at_once()
	await _objects_that_are_dropped_while_open()


func _open_and_close() -> void:
	var once := WebSocketServer.new()
	check_eq(once.listen(0, PackedStringArray(), true), OK, "listen()")
	once.close()


func _servers() -> void:
	var one := WebSocketServer.new()
	for time in TIMES:
		if not check_eq(
			one.listen(0, PackedStringArray(), time % 2 == 0), OK, "listen() number %d" % time
		):
			return
		if time % 3 == 0:
			one.poll()
		one.close()
		if time % 50 == 0:
			await process_frame
	one = null
	await _nothing_is_left("%d servers" % TIMES)


func _clients() -> void:
	var one := WebSocketClient.new()
	for time in TIMES:
		# Nobody listens there.
		var url := "ws://127.0.0.1:%d" % port
		if not check_eq(
			one.connect_to_url(url, PackedStringArray(), true),
			OK,
			"connect_to_url() number %d" % time
		):
			return
		if time % 3 == 0:
			one.poll()
		one.close()
		if time % 50 == 0:
			await process_frame
	one = null
	await _nothing_is_left("%d clients" % TIMES)


func _pairs() -> void:
	server = _new_server()
	client = _new_client()
	for time in PAIRS:
		await _connect_pair()
		check_eq(client.put_packet(PackedByteArray([1, 2, 3])), OK, "put_packet()")
		# Client and server take turns in closing first.
		if time % 2 == 0:
			client.close()
			server.close()
		else:
			server.close()
			client.close()
	server = null
	client = null
	await _nothing_is_left("%d connected pairs" % PAIRS)


## Connections that never say anything, and one that has joined and never answers.
func _silent_connections_do_not_delay_close() -> void:
	server = _new_server()
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listen()")
	var silent: Array[StreamPeerTCP] = []
	for index in 10:
		var tcp := StreamPeerTCP.new()
		check_eq(
			tcp.connect_to_host("127.0.0.1", server.get_local_port()), OK, "a silent connection"
		)
		silent.append(tcp)
	var joined := StreamPeerTCP.new()
	joined.connect_to_host("127.0.0.1", server.get_local_port())
	silent.append(joined)
	var connected := func() -> bool:
		joined.poll()
		return joined.get_status() == StreamPeerTCP.STATUS_CONNECTED
	await until(connected, TIMEOUT, "TCP")
	var request := (
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		+ "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	)
	joined.put_data(request.to_ascii_buffer())
	var arrived := func() -> bool:
		server.poll()
		return server.get_statistics().peers == 1 and server.get_statistics().pending == 10
	await until(arrived, TIMEOUT, "ten handshakes and one peer")
	var begun := Time.get_ticks_usec()
	server.close()
	var took := (Time.get_ticks_usec() - begun) / 1e6
	check(took < AT_ONCE, "close() took %.3f s" % took)
	check_eq(server.get_connection_status(), MultiplayerPeer.CONNECTION_DISCONNECTED, "status")
	begun = Time.get_ticks_usec()
	server = null
	took = (Time.get_ticks_usec() - begun) / 1e6
	check(took < AT_ONCE, "dropping took %.3f s" % took)
	silent.clear()
	joined = null
	connected = Callable()
	await _nothing_is_left("silent connections")


func _the_port_is_free_at_once() -> void:
	server = _new_server()
	client = _new_client()
	await _connect_pair()
	var at := server.get_local_port()
	for time in 50:
		server.close()
		check_eq(server.get_local_port(), 0, "port of a closed server")
		if not check_eq(
			server.listen(at, PackedStringArray(), true), OK, "listen() again, number %d" % time
		):
			return
	check_eq(server.get_local_port(), at, "port")
	# Another object, while the first connection still lingers.
	server.close()
	var other := _new_server()
	check_eq(other.listen(at, PackedStringArray(), true), OK, "listen() of another object")
	client.close()
	check_eq(
		client.connect_to_url("ws://127.0.0.1:%d" % at, PackedStringArray(), true),
		OK,
		"connect_to_url() again"
	)
	server = other
	await until(_is_paired, TIMEOUT, "a client of the other object")
	server.close()
	client.close()
	other = null
	server = null
	client = null
	await _nothing_is_left("the same port")


func _objects_that_are_dropped_while_open() -> void:
	var handles: Array[BufferedWebSocketPeer] = []
	for time in 20:
		server = _new_server()
		client = _new_client()
		await _connect_pair()
		var handle := client.get_peer(1)
		handles.append(handle)
		check_eq(handle.get_ready_state(), BufferedWebSocketPeer.STATE_OPEN, "state")
		if time % 2 == 0:
			client = null
			server = null
		else:
			server = null
			client = null
		# A handle outlives its connection.
		check_eq(handle.get_ready_state(), BufferedWebSocketPeer.STATE_CLOSED, "state of an orphan")
		check_eq(handle.is_connected_to_host(), false, "connection of an orphan")
		check_eq(handle.get_connected_host(), "127.0.0.1", "host of an orphan")
		handle.set_no_delay(true)
	await _nothing_is_left("dropped objects", handles.size())


func _new_server() -> WebSocketServer:
	var one := WebSocketServer.new()
	one.handshake_timeout = HANDSHAKE_TIMEOUT
	return one


func _new_client() -> WebSocketClient:
	var one := WebSocketClient.new()
	one.handshake_timeout = HANDSHAKE_TIMEOUT
	return one


func _connect_pair() -> void:
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listen()")
	var url := "ws://127.0.0.1:%d" % server.get_local_port()
	check_eq(client.connect_to_url(url, PackedStringArray(), true), OK, "connect_to_url()")
	await until(_is_paired, TIMEOUT, "a pair")


func _is_paired() -> bool:
	server.poll()
	client.poll()
	return (
		client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED
		and server.has_peer(client.get_unique_id())
	)


func _nothing_is_left(what: String, kept := 0) -> void:
	var clean := func() -> bool:
		var held := _held()
		return (
			held.threads <= _before.threads
			and held.files <= _before.files
			and held.objects <= _before.objects + COROUTINES + kept
		)
	var end := Time.get_ticks_msec() + int(TIMEOUT * 1000)
	while not clean.call() and Time.get_ticks_msec() < end:
		await process_frame
	check(clean.call(), "%s left something behind: %s, was %s" % [what, _held(), _before])


## What this process holds; the counts of the system are -1 where there is no /proc.
func _held() -> Dictionary:
	var threads := -1
	var status := FileAccess.open("/proc/self/status", FileAccess.READ)
	while status != null and not status.eof_reached():
		var line := status.get_line()
		if line.begins_with("Threads:"):
			threads = line.trim_prefix("Threads:").strip_edges().to_int()
	status = null
	var files := -1
	var folder := DirAccess.open("/proc/self/fd")
	if folder != null:
		files = folder.get_files().size() + folder.get_directories().size()
	return {
		threads = threads,
		files = files,
		objects = int(Performance.get_monitor(Performance.OBJECT_COUNT))
	}
