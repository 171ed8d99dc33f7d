# Mistakes that cause no error, but by which nothing works, cause one warning that says what to change.
# processes: main
# timeout: 120
# expect: ^WARNING: WebSocketServer \(port \d+\): poll\(\) was not called for \d+ s, .* multiplayer_peer .*_process\(\)\.
# expect: ^WARNING: WebSocketServer\.peer_connected has a handler, but is never emitted in raw mode\. Pass gd_mp_api = true
# expect: ^WARNING: WebSocket: project setting network/tls/certificate_bundle_override is res://lib/case\.gd, in which
extends "res://lib/case.gd"

const ErrorLines := preload("res://lib/error_lines.gd")
const TIMEOUT := 20.0
const BUNDLE := "network/tls/certificate_bundle_override"

var _lines := ErrorLines.new()
var _polled: Array[MultiplayerPeer] = []


func run() -> void:
	process_frame.connect(_poll)
	_bundle_without_certificates()
	await _signals_of_both_modes()
	await _signals_of_the_other_mode()
	await _nobody_polls()
	_lines.stop()


func _bundle_without_certificates() -> void:
	var before: String = ProjectSettings.get_setting(BUNDLE)
	ProjectSettings.set_setting(BUNDLE, "res://lib/case.gd")
	for time in 2:
		var client := WebSocketClient.new()
		check_eq(client.connect_to_url("wss://127.0.0.1:1"), OK, "a client")
		client.close()
	ProjectSettings.set_setting(BUNDLE, before)
	_check_count(1, "a list of roots without roots")


func _signals_of_the_other_mode() -> void:
	var server := WebSocketServer.new()
	server.peer_connected.connect(func(_id: int) -> void: pass)
	check_eq(server.listen(0), OK, "listen() in raw mode")
	var clients: Array[WebSocketClient] = []
	for number in 2:
		clients.append(WebSocketClient.new())
		clients[number].connect_to_url("ws://127.0.0.1:%d" % server.get_local_port())
		_polled.append(clients[number])
	_polled.append(server)
	var connected := func() -> bool: return server.get_statistics().peers == 2
	await until(connected, TIMEOUT, "two clients")
	_polled.clear()
	_check_count(1, "a handler that is never called")


## Code of 3.x that serves both modes gets the signals of one mode, and no warning. Only the first sixteen peers of a process are
## checked, and none after a warning.
func _signals_of_both_modes() -> void:
	for multiplayer_mode: bool in [false, true]:
		var server := WebSocketServer.new()
		server.peer_connected.connect(func(_id: int) -> void: pass)
		server.client_connected.connect(func(_id: int, _protocol: String) -> void: pass)
		check_eq(server.listen(0, [], multiplayer_mode), OK, "listen()")
		var client := WebSocketClient.new()
		client.peer_connected.connect(func(_id: int) -> void: pass)
		client.connection_established.connect(func(_protocol: String) -> void: pass)
		client.connect_to_url("ws://127.0.0.1:%d" % server.get_local_port(), [], multiplayer_mode)
		_polled.assign([server, client])
		var connected := func() -> bool: return server.get_statistics().peers == 1
		await until(connected, TIMEOUT, "a client of both modes")
		_polled.clear()
	_check_count(0, "handlers of both modes")


func _nobody_polls() -> void:
	# One that nothing waits for, one that is polled, and one that is forgotten.
	var idle := WebSocketServer.new()
	var polled := WebSocketServer.new()
	var forgotten := WebSocketServer.new()
	for server: WebSocketServer in [idle, polled, forgotten]:
		check_eq(server.listen(0, [], true), OK, "listen()")
	var clients: Array[WebSocketClient] = []
	for server: WebSocketServer in [polled, forgotten]:
		var client := WebSocketClient.new()
		client.connect_to_url("ws://127.0.0.1:%d" % server.get_local_port(), [], true)
		clients.append(client)
		_polled.append(client)
	_polled.append(polled)
	var connected := func() -> bool:
		return clients.all(func(client: WebSocketClient) -> bool: return client.get_unique_id() > 1)
	await until(connected, TIMEOUT, "two clients")
	# A game that loads for a while has not forgotten anything: what waited is taken in the next frame.
	clients[0].put_packet("hello".to_ascii_buffer())
	OS.delay_msec(12000)
	await seconds(25.0)
	if _lines.is_available():
		var lines := _lines.take()
		check_eq(lines.size(), 1, "warnings about a missing poll(): %s" % [lines])
		check(lines[0].contains("port %d" % forgotten.get_local_port()), "%s" % [lines])
	forgotten.poll()
	check_eq(forgotten.get_statistics().peers, 1, "nothing was lost")


func _poll() -> void:
	for peer in _polled:
		peer.poll()
		while peer.get_available_packet_count() > 0:
			peer.get_packet()


func _check_count(count: int, what: String) -> void:
	if _lines.is_available():
		var lines := _lines.take()
		check_eq(lines.size(), count, "warnings about %s: %s" % [what, lines])
