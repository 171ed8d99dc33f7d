# BufferedWebSocketPeer: the values of all members on both sides during and after a connection, a heartbeat interval for one peer, and a
# close without a Close frame.
# processes: main
# timeout: 60
# expect: ^ERROR: BufferedWebSocketPeer\.heartbeat_interval: -1(\.0)? seconds cannot be used
# expect: ^ERROR: BufferedWebSocketPeer\.heartbeat_interval: heartbeat_timeout \(10 s\) must be greater
# expect: ^ERROR: BufferedWebSocketPeer\.(put_packet|send|send_text)\(\):
# expect: ^ERROR: BufferedWebSocketPeer\.get_packet\(\): in multiplayer mode
# expect: ^ERROR: BufferedWebSocketPeer\.heartbeat_interval: (nan|NaN|inf) seconds cannot be used
extends "res://lib/case.gd"

const TIMEOUT := 10.0
const OPEN := BufferedWebSocketPeer.STATE_OPEN
const CLOSED := BufferedWebSocketPeer.STATE_CLOSED
const REQUEST := (
	"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	+ "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

var server: WebSocketServer
var client: WebSocketClient
## The handles of one connection: the server's and the client's.
var here: BufferedWebSocketPeer
var there: BufferedWebSocketPeer
var _id := 0
var _events: Array = []


func run() -> void:
	await _facts()
	await _messages()
	await _closing_with_a_code()
	await _dropping(true)
	await _dropping(false)
	await _heartbeat()
	await _multiplayer_mode()
	await _extra_headers()


func _facts() -> void:
	await _connect_raw()
	var host := "127.0.0.1:%d" % server.get_local_port()
	for handle: BufferedWebSocketPeer in [here, there]:
		check_eq(handle.get_ready_state(), OPEN, "state")
		check_eq(handle.is_connected_to_host(), true, "connected")
		check_eq(handle.get_connected_host(), "127.0.0.1", "host")
		check_eq(handle.get_selected_protocol(), "go", "protocol")
		check_eq(handle.get_requested_path(), "/lobby?room=7", "path")
		check_eq(handle.get_requested_url(), "ws://%s/lobby?room=7" % host, "URL")
		check_eq(handle.get_close_code(), -1, "close code of an open connection")
		check_eq(handle.get_close_reason(), "", "close reason of an open connection")
		check_eq(handle.get_handshake_meta(), null, "meta without a request handler")
		check_eq(handle.get_current_outbound_buffered_amount(), 0, "nothing waits")
	check_eq(there.get_connected_port(), server.get_local_port(), "the server's port")
	check_eq(here.get_connected_port(), server.get_peer_port(_id), "the client's port")
	var headers := here.get_request_headers()
	check_eq(headers["host"], host, "header host")
	check_eq(headers["x-token"], "one, two", "a header that came twice")
	check_eq(there.get_request_headers(), {}, "a client gets no request")
	check(server.get_peer(_id) == here, "one object for as long as it is connected")
	_end()


func _messages() -> void:
	await _connect_raw()
	for enabled: bool in [false, true]:
		there.set_no_delay(enabled)
		here.set_no_delay(enabled)
		for bytes: PackedByteArray in [PackedByteArray(), PackedByteArray([0, 255, 10])]:
			check_eq(there.send(bytes), OK, "send")
			check_eq(await _next(here), bytes, "binary")
			check_eq(here.was_string_packet(), false, "binary is no text")
		check_eq(here.send_text("grüß dich"), OK, "send_text")
		check_eq((await _next(there)).get_string_from_utf8(), "grüß dich", "text")
		check_eq(there.was_string_packet(), true, "text")
	# The mode belongs to the connection, not to the variable.
	client.get_peer(1).set_write_mode(BufferedWebSocketPeer.WRITE_MODE_TEXT)
	check_eq(there.get_write_mode(), BufferedWebSocketPeer.WRITE_MODE_TEXT, "write mode")
	check_eq(there.put_packet("x".to_utf8_buffer()), OK, "text by put_packet")
	check_eq((await _next(here)).get_string_from_utf8(), "x", "text by put_packet")
	check_eq(here.was_string_packet(), true, "text by put_packet")
	var no_text := PackedByteArray([255, 254])
	check_eq(there.put_packet(no_text), ERR_INVALID_DATA, "no UTF-8")
	check_eq(there.send(no_text, BufferedWebSocketPeer.WRITE_MODE_TEXT), ERR_INVALID_DATA, "too")
	check_eq(there.send(no_text, BufferedWebSocketPeer.WRITE_MODE_BINARY), OK, "as binary data")
	check_eq(await _next(here), no_text, "as binary data")
	check_eq(here.get_available_packet_count(), 0, "nothing else came")
	_end()


func _closing_with_a_code() -> void:
	await _connect_raw()
	here.close(4000, "auf Wiedersehen")
	# The I/O threads may be done with it already.
	check(here.get_ready_state() >= BufferedWebSocketPeer.STATE_CLOSING, "state while closing")
	await _all_told(3)
	var gone := ["gone", _id, true]
	check(gone in _events, "the disconnect on the server: %s" % [_events])
	_events.erase(gone)
	check_eq(
		_events, [["request", 4000, "auf Wiedersehen"], ["closed", true]], "what the client is told"
	)
	for handle: BufferedWebSocketPeer in [here, there]:
		check_eq(handle.get_ready_state(), CLOSED, "state afterwards")
		check_eq(handle.is_connected_to_host(), false, "connected afterwards")
		check_eq(handle.get_close_code(), 4000, "close code")
		check_eq(handle.get_close_reason(), "auf Wiedersehen", "close reason")
		check_eq(handle.get_requested_path(), "/lobby?room=7", "path afterwards")
		check_eq(handle.put_packet(PackedByteArray([1])), FAILED, "sending afterwards")
		check_eq(handle.send_text("x"), FAILED, "sending afterwards")
		handle.close()
		handle.close(-1)
	_end()


## As the engine's own: a negative code ends the connection here and now.
func _dropping(by_server: bool) -> void:
	await _connect_raw()
	var handle := here if by_server else there
	var other := there if by_server else here
	check_eq(handle.send_text("last words"), OK, "send_text")
	handle.close(-1)
	check_eq(handle.get_ready_state(), CLOSED, "state at once")
	check_eq(handle.send_text("too late"), FAILED, "sending afterwards")
	check_eq((await _next(other)).get_string_from_utf8(), "last words", "what was sent before")
	await _all_told(2)
	_events.sort()
	check_eq(_events, [["closed", false], ["gone", _id, false]], "no close request came")
	for one: BufferedWebSocketPeer in [here, there]:
		check_eq(one.get_ready_state(), CLOSED, "state")
		check_eq(one.get_close_code(), -1, "close code")
	check_eq(server.has_peer(_id), false, "peer")
	_end()


func _heartbeat() -> void:
	server = WebSocketServer.new()
	server.heartbeat_interval = 0
	server.heartbeat_timeout = 10
	await _connect_raw()
	check_eq(here.heartbeat_interval, 0.0, "the server's")
	check_eq(there.heartbeat_interval, 20.0, "the client's")
	var statistics := func() -> Dictionary: return server.get_peer_statistics(_id)
	check_eq(statistics.call().rtt_msec, -1.0, "round trip without a ping")
	here.heartbeat_interval = 0.05
	check_eq(here.heartbeat_interval, 0.05, "what was set")
	check_eq(server.heartbeat_interval, 0.0, "the server's own")
	# A pong is 14 bytes.
	var before: int = statistics.call().bytes_in
	await until(
		func() -> bool: return statistics.call().bytes_in >= before + 5 * 14, TIMEOUT, "five pongs"
	)
	check(statistics.call().rtt_msec >= 0, "round trip")
	for bad: float in [-1.0, NAN, INF]:
		here.heartbeat_interval = bad
		check_eq(here.heartbeat_interval, 0.05, "after %s was refused" % bad)
	here.heartbeat_interval = 10
	check_eq(here.heartbeat_interval, 0.05, "as long as heartbeat_timeout")
	server.heartbeat_interval = 5
	check_eq(here.heartbeat_interval, 0.05, "a new one of the server")
	here.heartbeat_interval = 0
	check_eq(here.heartbeat_interval, 0.0, "off")
	_end()


func _multiplayer_mode() -> void:
	var joined := BufferedWebSocketMultiplayerPeer.new()
	server = WebSocketServer.new()
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listen")
	var url := "ws://127.0.0.1:%d" % server.get_local_port()
	joined.handshake_headers = ["X-Token: three"]
	check_eq(joined.create_client(url), OK, "create_client")
	var told: Array = []
	server.peer_disconnected.connect(func(id: int) -> void: told.append(id))
	joined.server_disconnected.connect(func() -> void: told.append("server"))
	var paired := func() -> bool:
		server.poll()
		joined.poll()
		return server.has_peer(joined.get_unique_id())
	await until(paired, TIMEOUT, "a pair")
	_id = joined.get_unique_id()
	check_eq(server.get_peer(_id).get_request_headers()["x-token"], "three", "handshake_headers")
	var handle := joined.get_peer(1)
	handle.heartbeat_interval = 0.5
	check_eq(handle.heartbeat_interval, 0.5, "heartbeat")
	check_eq(handle.get_available_packet_count(), 0, "packets belong to the multiplayer peer")
	check_eq(handle.get_packet(), PackedByteArray(), "packets belong to the multiplayer peer")
	check_eq(handle.get_packet_error(), ERR_UNCONFIGURED, "packets belong to the multiplayer peer")
	check_eq(handle.send_text("x"), ERR_UNCONFIGURED, "and so do those to send")
	server.get_peer(_id).close(-1)
	var over := func() -> bool:
		server.poll()
		joined.poll()
		return told.size() == 2
	await until(over, TIMEOUT, "disconnects on both sides")
	check(_id in told and "server" in told, "disconnects: %s" % [told])
	server.close()


## What a server adds to its answer, byte for byte.
func _extra_headers() -> void:
	server = WebSocketServer.new()
	server.set_extra_headers(["X-Game: chess", "Set-Cookie: a=b"])
	check_eq(server.listen(0), OK, "listen")
	var tcp := StreamPeerTCP.new()
	check_eq(tcp.connect_to_host("127.0.0.1", server.get_local_port()), OK, "TCP")
	var connected := func() -> bool:
		tcp.poll()
		return tcp.get_status() == StreamPeerTCP.STATUS_CONNECTED
	await until(connected, TIMEOUT, "TCP")
	tcp.put_data(REQUEST.to_ascii_buffer())
	var answer: Array[String] = [""]
	var whole := func() -> bool:
		server.poll()
		tcp.poll()
		answer[0] += tcp.get_string(tcp.get_available_bytes())
		return answer[0].contains("\r\n\r\n")
	await until(whole, TIMEOUT, "an answer")
	check(answer[0].begins_with("HTTP/1.1 101 "), answer[0])
	for line: String in ["\r\nX-Game: chess\r\n", "\r\nSet-Cookie: a=b\r\n"]:
		check(answer[0].contains(line), "%s in %s" % [line, answer[0]])
	tcp.disconnect_from_host()
	server.close()


## `server` may be prepared; the handles are those of both sides.
func _connect_raw() -> void:
	if server == null:
		server = WebSocketServer.new()
	client = WebSocketClient.new()
	_events = []
	server.client_connected.connect(func(id: int, _protocol: String) -> void: _id = id)
	server.client_disconnected.connect(
		func(id: int, clean: bool) -> void: _events.append(["gone", id, clean])
	)
	server.client_close_request.connect(
		func(_who: int, code: int, reason: String) -> void:
			_events.append(["request", code, reason])
	)
	client.connection_closed.connect(func(clean: bool) -> void: _events.append(["closed", clean]))
	client.server_close_request.connect(
		func(code: int, reason: String) -> void: _events.append(["request", code, reason])
	)
	check_eq(server.listen(0, ["go"]), OK, "listen")
	var url := "ws://127.0.0.1:%d/lobby?room=7" % server.get_local_port()
	check_eq(
		client.connect_to_url(url, ["chess", "go"], false, ["X-Token: one", "X-Token: two"]),
		OK,
		"connect_to_url"
	)
	_id = 0
	var connected := MultiplayerPeer.CONNECTION_CONNECTED
	var paired := func() -> bool: return _id != 0 and client.get_connection_status() == connected
	process_frame.connect(_poll)
	await until(paired, TIMEOUT, "a pair")
	here = server.get_peer(_id)
	there = client.get_peer(1)


func _poll() -> void:
	server.poll()
	client.poll()


func _next(handle: BufferedWebSocketPeer) -> PackedByteArray:
	var arrived := func() -> bool: return handle.get_available_packet_count() > 0
	await until(arrived, TIMEOUT, "a message")
	return handle.get_packet()


func _all_told(count: int) -> void:
	await until(func() -> bool: return _events.size() >= count, TIMEOUT, "the end")
	await frames(5)


func _end() -> void:
	process_frame.disconnect(_poll)
	server.close()
	client.close()
	server = null
	client = null
	here = null
	there = null
