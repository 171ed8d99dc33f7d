# The script of a pod, as docs/fleet/README.md puts it together from docs/deploying.md: while it drains, the players of a room come back, and new
# rooms are refused; when the last room is empty, it ends.
# processes: pod
extends "res://lib/case.gd"

const Doc := preload("res://lib/doc.gd")
const TIMEOUT := 10.0
const OWN := "/game-0/room/4711"
const OTHER := "/game-0/room/4712"

var _clients: Array[WebSocketClient] = []


func run() -> void:
	var folder := OS.get_user_data_dir().path_join("pod_%d" % port)
	DirAccess.make_dir_recursive_absolute(folder)
	OS.set_environment("RUNTIME_DIRECTORY", folder)
	var node := _script().new() as Node
	root.add_child(node)
	var server: WebSocketServer = node.get("server")
	check_eq(server.trusted_proxies, PackedStringArray(["10.244.0.0/16"]), "the proxies")
	check_eq(server.proxy_protocol, false, "an ingress controller speaks HTTP")
	check_eq(server.listen(port, [], true), OK, "listen")
	process_frame.connect(server.poll)
	process_frame.connect(
		func() -> void: _clients.map(func(one: WebSocketClient) -> void: one.poll())
	)

	var first := _join(OWN)
	await until(_is_in.bind(first), TIMEOUT, "the first player")
	FileAccess.open(folder.path_join("drain"), FileAccess.WRITE).close()
	await until(func() -> bool: return node.get("draining"), TIMEOUT, "the file was seen")
	var stranger := _join(OTHER)
	var is_refused := func() -> bool: return stranger.get_last_error().contains("503")
	await until(is_refused, TIMEOUT, "no new room")
	var second := _join(OWN)
	await until(_is_in.bind(second), TIMEOUT, "a player of the running match")
	first.disconnect_from_host()
	await seconds(1.5)
	check_eq(node.has_meta(&"over"), false, "one player is still in the room")
	second.disconnect_from_host()
	await until(func() -> bool: return node.has_meta(&"over"), TIMEOUT, "the end")
	check_eq(server.is_listening(), false, "the server is closed")
	process_frame.disconnect(server.poll)
	DirAccess.remove_absolute(folder.path_join("drain"))
	DirAccess.remove_absolute(folder)


func _script() -> GDScript:
	var source := Doc.block("deploying.md", "fleet")
	var own := Doc.block("fleet/README.md", "kubernetes")
	var begin := source.find("\tserver.bind_ip")
	var end := source.find("\tserver.peer_connected")
	check_eq(source.substr(begin, end - begin).count("\n"), 4, "the lines that a reader replaces")
	# The case ends this process in its own way.
	source = source.left(begin) + own + source.substr(end)
	source = source.replace("get_tree().quit()", 'set_meta(&"over", true)')
	var script := GDScript.new()
	script.source_code = source
	check_eq(script.reload(), OK, "the script in the documentation")
	return script


func _join(path: String) -> WebSocketClient:
	var client := WebSocketClient.new()
	check_eq(client.connect_to_url("ws://127.0.0.1:%d%s" % [port, path], [], true), OK, path)
	_clients.append(client)
	return client


func _is_in(client: WebSocketClient) -> bool:
	return client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED
