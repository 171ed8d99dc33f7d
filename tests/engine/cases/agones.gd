# The server of docs/fleet/README.md in the hands of Agones: ready when the SDK server is there, signs of life, an allocation, a failing SDK
# server, and the end of the match. The SDK server starts later than the game.
# processes: game sdk
# python: sdk
# timeout: 60
extends "res://lib/case.gd"

const Doc := preload("res://lib/doc.gd")
const SDK := "../../docs/fleet/agones.gd"
const TIMEOUT := 15.0

var _node: Node
var _agones: Node
var _http := HTTPRequest.new()


func run() -> void:
	root.add_child(_http)
	OS.set_environment("AGONES_SDK_HTTP_PORT", "")
	await _alone()
	OS.set_environment("AGONES_SDK_HTTP_PORT", str(port))
	_start()
	var server: WebSocketServer = _node.get("server")
	check_eq(server.is_listening(), true, "the server listens before Agones knows it")
	ready_line()
	await until(func() -> bool: return _agones.state == "Ready", TIMEOUT, "ready")
	var game_server: Dictionary = await _agones.get_game_server()
	check_eq(int(game_server.status.ports[0].port), 7123, "the port for the players")

	await _send("/test/fail")
	await until(func() -> bool: return _agones.get("_is_lost"), TIMEOUT, "a lost SDK server")
	await _send("/test/mend")
	await until(func() -> bool: return not _agones.get("_is_lost"), TIMEOUT, "it is back")

	await _send("/test/allocate")
	await until(func() -> bool: return _agones.state == "Allocated", TIMEOUT, "allocated")
	check_eq(await _agones.set_allocated(), true, "a server that takes itself")
	await _play(server)
	await until(func() -> bool: return _node.has_meta(&"over"), TIMEOUT, "the end")
	check_eq(server.is_listening(), false, "the server is closed")
	await _check_calls()
	await _send("/test/over")
	_node.queue_free()
	await frames(2)


## Without Agones nothing is sent, nothing fails, and the server listens.
func _alone() -> void:
	_start()
	await frames(5)
	var server: WebSocketServer = _node.get("server")
	check_eq(server.is_listening(), true, "a server without Agones")
	check_eq(_agones.is_available(), false, "Agones")
	for call in [_agones.set_ready, _agones.set_allocated, _agones.shut_down]:
		check_eq(await call.call(), false, "a call without Agones")
	check_eq(await _agones.get_game_server(), {}, "a game server without Agones")
	server.close()
	root.multiplayer.multiplayer_peer = null
	_node.free()


func _start() -> void:
	var sdk := "user://agones_%d.gd" % port
	var path := ProjectSettings.globalize_path("res://").path_join(SDK)
	check_eq(DirAccess.copy_absolute(path, sdk), OK, "a copy of the SDK")
	var source := Doc.block("fleet/README.md", "agones")
	check(source.contains("listen(9080,"), "the script in the documentation")
	# The case ends this process in its own way.
	source = source.replace("get_tree().quit()", 'set_meta(&"over", true)')
	source = source.replace("listen(9080,", "listen(0,").replace("res://agones.gd", sdk)
	var script := GDScript.new()
	script.source_code = source
	check_eq(script.reload(), OK, "the script in the documentation")
	_node = script.new()
	root.add_child(_node)
	_agones = _node.get("agones")
	DirAccess.remove_absolute(sdk)


## A match of one player.
func _play(server: WebSocketServer) -> void:
	var client := WebSocketClient.new()
	var url := "ws://127.0.0.1:%d" % server.get_local_port()
	check_eq(client.connect_to_url(url, [], true), OK, "connect_to_url")
	process_frame.connect(client.poll)
	var has_come := func() -> bool: return server.get_statistics().peers == 1
	await until(has_come, TIMEOUT, "a player")
	await seconds(0.2)
	check_eq(_node.has_meta(&"over"), false, "the match is not over while its player is here")
	client.disconnect_from_host()
	await until(func() -> bool: return server.refuse_new_connections, TIMEOUT, "the player left")
	process_frame.disconnect(client.poll)


func _check_calls() -> void:
	var seen: Dictionary = await _send("/test/calls", HTTPClient.METHOD_GET)
	check_eq(seen.faults, [], "what the SDK server did not understand")
	check_eq(seen.state, "Shutdown", "the state")
	var moves := []
	var health := []
	for call: Array in seen.calls:
		if call[0] == "/health":
			health.append(call[1])
		else:
			moves.append(call[0])
	check_eq(moves, ["/ready", "/allocate", "/shutdown"], "the moves")
	check(health.size() >= 2, "signs of life: %s" % [health])
	for index in health.size() - 1:
		# The SDK server failed once in between.
		var pause: float = health[index + 1] - health[index]
		check(pause > 1.5 and pause < 9.0, "a pause of %.1f s" % pause)


func _send(path: String, method := HTTPClient.METHOD_POST) -> Dictionary:
	var body := "{}" if method == HTTPClient.METHOD_POST else ""
	var url := "http://127.0.0.1:%d%s" % [port, path]
	check_eq(_http.request(url, [], method, body), OK, "request")
	var answer: Array = await _http.request_completed
	check_eq(answer[1], 200, path)
	return JSON.parse_string(answer[3].get_string_from_utf8())
