# The service of docs/deploying.md is stopped: no more clients are accepted, connected clients can finish, and then the server quits.
# processes: server client:player client:stop
# timeout: 60
extends "res://lib/case.gd"

const Doc := preload("res://lib/doc.gd")
const TIMEOUT := 20.0


func run() -> void:
	match name:
		"server":
			await _server()
		"player":
			await _player()
		"stop":
			await _stop()


func _server() -> void:
	OS.set_environment("RUNTIME_DIRECTORY", args["scratch"])
	var script := GDScript.new()
	# The case ends this process in its own way.
	var source := Doc.block("deploying.md", "drain").replace(
		"get_tree().quit()", 'set_meta(&"over", true)'
	)
	check(source.contains("set_meta"), "the script in the documentation")
	script.source_code = source
	check_eq(script.reload(), OK, "it parses")
	var node: Node = script.new()
	var server: WebSocketServer = node.get("server")
	check_eq(server.listen(port, PackedStringArray(), true), OK, "listen")
	process_frame.connect(server.poll)
	root.add_child(node)
	leave("pid", str(OS.get_process_id()))
	ready_line()
	await until(func() -> bool: return server.refuse_new_connections, TIMEOUT, "the file")
	check_eq(server.get_statistics().peers, 1, "the player is still there")
	leave("refusing", "")
	await until(func() -> bool: return node.has_meta(&"over"), TIMEOUT, "drained")
	check(not server.is_listening(), "closed")
	process_frame.disconnect(server.poll)


func _player() -> void:
	var client := await _connect()
	leave("playing", "")
	await until(func() -> bool: return is_left("refusing"), TIMEOUT, "the server drains")
	var late := WebSocketClient.new()
	var url := "ws://127.0.0.1:%d" % port
	check_eq(late.connect_to_url(url, PackedStringArray(), true), OK, "a late one")
	var refused := func() -> bool:
		late.poll()
		return late.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED
	await until(refused, TIMEOUT, "an answer")
	check(late.get_last_error().contains("503"), late.get_last_error())
	await seconds(1.5)
	check_eq(
		client.get_connection_status(), MultiplayerPeer.CONNECTION_CONNECTED, "who is in may finish"
	)
	process_frame.disconnect(client.poll)
	client.close()


## What systemd does.
func _stop() -> void:
	await until(func() -> bool: return is_left("playing"), TIMEOUT, "a player is connected")
	var command := Doc.line("deploying.md", "ExecStop")
	check(command.begins_with("/bin/sh -c '"), command)
	OS.set_environment("RUNTIME_DIRECTORY", args["scratch"])
	OS.set_environment("MAINPID", FileAccess.get_file_as_string(scratch("pid")))
	var shell := command.trim_prefix("/bin/sh -c '").trim_suffix("'")
	check_eq(OS.execute("/bin/sh", ["-c", shell]), 0, "it ends when the server has ended")


func _connect() -> WebSocketClient:
	var client := WebSocketClient.new()
	var url := "ws://127.0.0.1:%d" % port
	check_eq(client.connect_to_url(url, PackedStringArray(), true), OK, "connect_to_url")
	process_frame.connect(client.poll)
	var is_in := func() -> bool:
		return client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED
	await until(is_in, TIMEOUT, "connected")
	return client
