# The access rules of a server without a handler: which clients are accepted, and which status the others get.
# processes: main
# timeout: 90
extends "res://lib/case.gd"

const TIMEOUT := 15.0
const UPGRADE := (
	"GET %s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	+ "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
)

var _server: WebSocketServer
var _kept: Array[StreamPeerTCP] = []
var _ids: Array[int] = []
var _packets := 0
var _polls := true


func run() -> void:
	await _origins()
	await _seats()
	await _seats_of_one_address()
	await _behind_a_proxy()
	await _health()
	await _the_silent_make_room()
	await _a_flood_is_slowed_down()
	await _a_status_arrives_whole()
	await _drained()


func _origins() -> void:
	await _serve({allowed_origins = PackedStringArray(["https://*.example.org"])})
	check_eq(await _status("Origin: https://a.example.org\r\n"), 101, "an allowed page")
	check_eq(await _status(""), 101, "no page")
	check_eq(await _status("Origin: https://evil.example\r\n"), 403, "another page")
	check_eq(await _status("Origin: null\r\n"), 403, "a page without an origin")
	check_eq(_server.get_statistics().refused_origin, 2, "refused_origin")
	_end()
	await _serve({allowed_origins = PackedStringArray(["http://localhost:*", "null", "file://"])})
	for origin: String in ["http://localhost", "http://localhost:8060", "null", "file://"]:
		check_eq(await _status("Origin: %s\r\n" % origin), 101, origin)
	check_eq(await _status("Origin: https://localhost\r\n"), 403, "another scheme")
	_end()


func _seats() -> void:
	await _serve({max_connections = 2})
	check_eq([await _status(""), await _status(""), await _status("")], [101, 101, 503], "seats")
	_server.max_connections = 3
	check_eq([await _status(""), await _status("")], [101, 503], "one more while listening")
	_kept[0].disconnect_from_host()
	await until(func() -> bool: return _server.get_statistics().peers == 2, TIMEOUT, "one leaves")
	check_eq(await _status(""), 101, "its seat")
	check_eq(_server.get_statistics().refused_full, 2, "refused_full")
	_end()


func _seats_of_one_address() -> void:
	await _serve({max_connections_per_address = 2})
	check_eq([await _status(""), await _status(""), await _status("")], [101, 101, 429], "seats")
	check_eq(_server.get_statistics().refused_address, 1, "refused_address")
	_end()


func _behind_a_proxy() -> void:
	await _serve(
		{max_connections_per_address = 1, trusted_proxies = PackedStringArray(["127.0.0.0/8"])}
	)
	check_eq(await _status("X-Forwarded-For: 203.0.113.1\r\n"), 101, "a client")
	check_eq(await _status("X-Forwarded-For: 203.0.113.2\r\n"), 101, "another one")
	check_eq(await _status("X-Forwarded-For: 203.0.113.2\r\n"), 429, "the same again")
	check_eq(await _status("X-Forwarded-For: 203.0.113.2, ,127.0.0.9,\r\n"), 429, "empty elements")
	check_eq(await _status("X-Forwarded-For: nonsense\r\n"), 400, "a proxy that talks nonsense")
	var addresses: Array = []
	await until(func() -> bool: return _server.get_statistics().peers == 2, TIMEOUT, "both are in")
	for id in _ids:
		addresses.append(_server.get_peer_address(id))
	check_eq(addresses, ["203.0.113.1", "203.0.113.2"], "get_peer_address")
	_end()


func _health() -> void:
	await _serve({health_path = "/health"})
	check_eq(await _status(""), 101, "a client")
	await until(
		func() -> bool: return _server.get_statistics().peers == 1, TIMEOUT, "it is connected"
	)
	var answer := await _exchange("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
	check(answer.begins_with("HTTP/1.1 200 OK\r\n"), answer)
	var state: Dictionary = JSON.parse_string(answer.get_slice("\r\n\r\n", 1))
	check_eq(state.peers, 1.0, "peers")
	check_eq(state.refusing, false, "refusing")
	check(state.main_thread_idle_msec < 5000, "idle: %s" % state.main_thread_idle_msec)
	answer = await _exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	check(answer.begins_with("HTTP/1.1 426 "), answer)
	# The game hangs: the I/O thread answers all the same.
	_polls = false
	await seconds(10.5)
	answer = await _exchange("GET /health HTTP/1.0\r\n\r\n")
	check(answer.begins_with("HTTP/1.1 503 "), answer)
	_polls = true
	await frames(2)
	answer = await _exchange("GET /health HTTP/1.0\r\n\r\n")
	check(answer.begins_with("HTTP/1.1 200 "), answer)
	check_eq(_server.get_statistics().health_checks, 3, "health_checks")
	_end()


func _the_silent_make_room() -> void:
	await _serve({max_pending_connections = 2, handshake_timeout = 30.0})
	for silent in 2:
		_kept.append(await _connect())
	var started := Time.get_ticks_msec()
	check_eq(await _status(""), 101, "one that speaks")
	check(Time.get_ticks_msec() - started < 10_000, "long before handshake_timeout")
	check_eq(_server.get_statistics().pending_evicted, 1, "pending_evicted")
	_end()


func _a_flood_is_slowed_down() -> void:
	await _serve({max_inbound_kb_per_second = 20})
	check_eq(await _status(""), 101, "a client")
	var tcp := _kept[0]
	# A binary frame of 1000 bytes with a mask of zeros.
	var frame := PackedByteArray([0x82, 0xFE, 1000 >> 8, 1000 & 255, 0, 0, 0, 0])
	frame.resize(1008)
	var flood := PackedByteArray()
	for number in 80:
		flood.append_array(frame)
	var started := Time.get_ticks_msec()
	tcp.put_partial_data(flood)
	await until(func() -> bool: return _packets >= 80, 30.0, "all of it")
	# 79 KiB, of which the first 20 pass at once.
	check(
		Time.get_ticks_msec() - started > 2000, "it took %d ms" % (Time.get_ticks_msec() - started)
	)
	_end()


func _a_status_arrives_whole() -> void:
	await _serve({handshake_timeout = 30.0})
	# What the server does not want is read all the same, or a reset would eat the answer.
	for number in 20:
		var answer := await _exchange("POST / HTTP/1.1\r\nHost: h\r\n\r\n" + "x".repeat(60_000))
		check(answer.begins_with("HTTP/1.1 405 "), answer)
		check(answer.ends_with("\r\n\r\nonly GET is supported\n"), answer)
	var started := Time.get_ticks_msec()
	var bare := await _exchange("GET / HTTP/1.1\nHost: h\n\n")
	check(bare.begins_with("HTTP/1.1 400 ") and bare.contains("CR LF"), bare)
	check(Time.get_ticks_msec() - started < 10_000, "at once, not at the deadline")
	_end()


func _drained() -> void:
	await _serve({})
	var drained: Array = []
	_server.drained.connect(func() -> void: drained.append(_server.get_statistics().peers))
	check_eq(await _status(""), 101, "a client")
	await until(func() -> bool: return _ids.size() == 1, TIMEOUT, "it is connected")
	_server.refuse_new_connections = true
	check_eq(await _status(""), 503, "another one")
	await frames(5)
	check_eq(drained, [], "drained while a client is connected")
	_kept[0].disconnect_from_host()
	await until(func() -> bool: return drained.size() == 1, TIMEOUT, "drained")
	await frames(5)
	check_eq(drained, [0], "once")
	_server.refuse_new_connections = false
	_server.refuse_new_connections = true
	await until(func() -> bool: return drained.size() == 2, TIMEOUT, "drained without a client")
	_server.refuse_new_connections = false
	check_eq(await _status(""), 101, "a client again")
	await frames(5)
	check_eq(drained.size(), 2, "drained while admitting")
	_end()


func _serve(properties: Dictionary) -> void:
	_ids = []
	_packets = 0
	_server = WebSocketServer.new()
	for property: String in properties:
		_server.set(property, properties[property])
	_server.client_connected.connect(func(id: int, _protocol: String) -> void: _ids.append(id))
	_server.client_disconnected.connect(func(id: int, _clean: bool) -> void: _ids.erase(id))
	_server.data_received.connect(_take)
	check_eq(_server.listen(0), OK, "listen")
	process_frame.connect(_poll)
	await frames(1)


func _take(id: int) -> void:
	_server.get_peer(id).get_packet()
	_packets += 1


func _poll() -> void:
	if _polls:
		_server.poll()


func _end() -> void:
	process_frame.disconnect(_poll)
	_server.stop()
	for tcp in _kept:
		tcp.disconnect_from_host()
	_kept.clear()


func _connect() -> StreamPeerTCP:
	var tcp := StreamPeerTCP.new()
	check_eq(tcp.connect_to_host("127.0.0.1", _server.get_local_port()), OK, "connect_to_host")
	var connected := func() -> bool:
		tcp.poll()
		return tcp.get_status() == StreamPeerTCP.STATUS_CONNECTED
	await until(connected, TIMEOUT, "a TCP connection")
	return tcp


## What an upgrade with further header lines is answered; one that is let in stays.
func _status(lines: String) -> int:
	var tcp := await _connect()
	tcp.put_data((UPGRADE % ["/", lines]).to_utf8_buffer())
	var answer := [""]
	var answered := func() -> bool:
		answer[0] += _read(tcp)
		return answer[0].contains("\r\n\r\n")
	await until(answered, TIMEOUT, "an answer")
	var status := int(answer[0].get_slice(" ", 1))
	if status == 101:
		_kept.append(tcp)
	return status


## Everything that comes until the server ends the connection.
func _exchange(request: String) -> String:
	var tcp := await _connect()
	tcp.put_data(request.to_utf8_buffer())
	var answer := [""]
	var ended := func() -> bool:
		answer[0] += _read(tcp)
		return tcp.get_status() != StreamPeerTCP.STATUS_CONNECTED
	await until(ended, TIMEOUT, "the end")
	return answer[0]


func _read(tcp: StreamPeerTCP) -> String:
	tcp.poll()
	if tcp.get_status() != StreamPeerTCP.STATUS_CONNECTED:
		return ""
	var count := tcp.get_available_bytes()
	return tcp.get_string(count) if count > 0 else ""
