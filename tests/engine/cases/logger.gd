# The engine's logger can be a script (since 4.5). It can call the object that prints, use it wrongly, or free it. No thread of the addon
# ever calls it.
# processes: main
# allow: ^ERROR: .*(mbedtls|Error (saving|parsing)|Condition|Method/function failed|Parameter)
# expect: ^ERROR: (WebSocketClient|BufferedWebSocketMultiplayerPeer)\.\w+\(\): .+\.$
# expect: ^ERROR: WebSocketServer\.\w+(\(\))?: .+\.$
extends "res://lib/case.gd"

const Asker := preload("res://lib/asker.gd")
const TIMEOUT := 20.0

var server := WebSocketServer.new()
var _lines: Array[String] = []
var _threads := {}
var _answers: Array = []
var _deeds := 0


func run() -> void:
	var asker := Asker.new(_on_line)
	if not asker.is_available():
		return
	_asks_at_once()
	await _asks_about_news_of_the_io_thread()
	asker.stop()
	_does_something_wrong()
	_lets_go()
	_closes()
	await _closes_at_news()
	_is_asked_while_keys_are_read()


func _on_line(line: String) -> void:
	# Any thread of the engine may print something.
	_threads[OS.get_thread_caller_id()] = line
	if OS.get_thread_caller_id() != OS.get_main_thread_id():
		return
	_lines.append(line)
	if server:
		_answers.append(
			[
				server.get_connection_status(),
				server.get_statistics().size(),
				server.get_available_packet_count()
			]
		)


## The line is printed before the call comes back.
func _asks_at_once() -> void:
	_expect_line(server.listen.bind(0, [], true), "listening on port")
	_expect_line(server.set_target_peer.bind(77), "")
	_expect_line(server.put_packet.bind(PackedByteArray([1])), "put_packet.*77")
	_expect_line(server.disconnect_peer.bind(5), "disconnect_peer.*peer 5")
	_expect_line(server.set.bind("max_connections", -4), "max_connections.*-4")
	var as_engine: MultiplayerPeer = server
	_expect_line(func() -> void: as_engine.disconnect_peer(6), "disconnect_peer.*peer 6")
	_expect_line(func() -> void: as_engine.put_packet(PackedByteArray([1])), "put_packet.*77")
	_expect_line(server.get_peer.bind(9), "get_peer.*peer 9")
	check(_answers.size() >= 7, "the logger asked %d times" % _answers.size())
	for answer: Array in _answers:
		check_eq(answer[0], MultiplayerPeer.CONNECTION_CONNECTED, "status while it prints")
		check(answer[1] > 10 and answer[2] == 0, "answers while it prints: %s" % [answer])


## A stranger's handshake is refused on the I/O thread. Nobody polls: the line comes with a frame.
func _asks_about_news_of_the_io_thread() -> void:
	_lines.clear()
	var stranger := StreamPeerTCP.new()
	stranger.connect_to_host("127.0.0.1", server.get_local_port())
	await until(
		func() -> bool:
			stranger.poll()
			return stranger.get_status() == StreamPeerTCP.STATUS_CONNECTED,
		TIMEOUT,
		"the stranger's connection"
	)
	stranger.put_data("NONSENSE\r\n\r\n".to_ascii_buffer())
	await until(
		func() -> bool: return _heard("no handshake with"), TIMEOUT, "a line about the stranger"
	)
	for thread: int in _threads:
		var ours: bool = _threads[thread].contains("WebSocket")
		check(
			not ours or thread == OS.get_main_thread_id(),
			"printed by another thread: %s" % _threads
		)


## Each line brings about another one, which must neither go round in circles nor hide the first.
func _does_something_wrong() -> void:
	var lines: Array[String] = []
	var asker := Asker.new(
		func(line: String) -> void:
			lines.append(line)
			_deeds += 1
			server.put_packet(PackedByteArray([2]))
	)
	server.disconnect_peer(8)
	asker.stop()
	check(lines.size() in range(1, 10), "%d lines" % lines.size())
	check(lines[0].contains("peer 8"), lines[0])


## The last reference is dropped while the object prints.
func _lets_go() -> void:
	for turn in 2:
		var box := [WebSocketServer.new()]
		var asker := Asker.new(func(_line: String) -> void: box.clear())
		if turn == 0:
			box[0].disconnect_peer(8)
		else:
			box[0].listen(0)
		asker.stop()
		check(box.is_empty(), "the logger was called")


## The object that prints is closed by the logger, while it opens too, and opens again afterwards.
func _closes() -> void:
	var other := WebSocketServer.new()
	var asker := Asker.new(func(_line: String) -> void: other.close())
	for turn in 2:
		check_eq(other.listen(0, [], true), OK, "listen")
		check(not other.is_listening(), "closed by the logger while it opened")
		other.disconnect_peer(8)
	asker.stop()
	check_eq(other.listen(0, [], true), OK, "listen")
	check(other.is_listening(), "it listens without that logger")
	other.close()


## The line about a new client is printed when `poll()` ends, and the logger polls, closes, opens again and drops the object.
func _closes_at_news() -> void:
	var box := [WebSocketServer.new()]
	var client := WebSocketClient.new()
	check_eq(box[0].listen(0, [], true), OK, "listen")
	var asker := Asker.new(
		func(line: String) -> void:
			if line.contains("connected") and not box.is_empty():
				box[0].poll()
				box[0].close()
				box[0].listen(0, [], true)
				box[0].poll()
				box.clear()
	)
	var url := "ws://127.0.0.1:%d" % box[0].get_local_port()
	check_eq(client.connect_to_url(url, [], true), OK, "connect")
	await until(
		func() -> bool:
			if not box.is_empty():
				box[0].poll()
			client.poll()
			# Gets the errors and the disconnects of the others.
			if not box.is_empty() and client.get_unique_id() > 1:
				box[0].disconnect_peer(client.get_unique_id(), 1)
			return box.is_empty(),
		TIMEOUT,
		"the logger let go"
	)
	asker.stop()
	client.close()


## The engine itself complains inside of these calls: about keys and certificates that are empty.
func _is_asked_while_keys_are_read() -> void:
	var seen: Array[int] = []
	var other := WebSocketServer.new()
	other.private_key = CryptoKey.new()
	other.ssl_certificate = X509Certificate.new()
	var peer := BufferedWebSocketMultiplayerPeer.new()
	var client := WebSocketClient.new()
	client.trusted_ssl_certificate = X509Certificate.new()
	var asker := Asker.new(
		func(_line: String) -> void:
			for one: MultiplayerPeer in [other, peer, client]:
				seen.append(one.get_connection_status())
	)
	var options := TLSOptions.server(CryptoKey.new(), X509Certificate.new())
	var empty := TLSOptions.client(X509Certificate.new())
	var url := "wss://127.0.0.1:9"
	check_eq(other.listen(0), ERR_INVALID_DATA, "listen")
	check_eq(peer.create_server(0, "*", options), ERR_INVALID_DATA, "create_server")
	check_eq(peer.create_client(url, empty), ERR_INVALID_DATA, "create_client")
	check_eq(client.connect_to_url(url), ERR_INVALID_DATA, "connect_to_url")
	var code := other.set_certificate(CryptoKey.new(), X509Certificate.new())
	check_eq(code, ERR_INVALID_DATA, "set_certificate")
	asker.stop()
	check(seen.size() >= 15, "asked %d times" % seen.size())
	check_eq(seen.max(), MultiplayerPeer.CONNECTION_DISCONNECTED, "status while keys are read")


func _expect_line(call: Callable, pattern: String) -> void:
	_lines.clear()
	call.call()
	if not pattern.is_empty():
		check(_heard(pattern), "a line %s: %s" % [pattern, _lines])


func _heard(pattern: String) -> bool:
	var expression := RegEx.create_from_string(pattern)
	return _lines.any(func(line: String) -> bool: return expression.search(line) != null)
