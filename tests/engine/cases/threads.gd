# An object can be created and freed on any thread, and kept until the process ends. A call on another thread than the main thread does
# nothing, returns an error, and prints one line per object.
# processes: main
# expect: ^ERROR: \w+\.\w+\(\) was not called on the main thread
extends "res://lib/case.gd"

const ErrorLines := preload("res://lib/error_lines.gd")
const CLASSES: Array[StringName] = [
	&"WebSocketServer",
	&"WebSocketClient",
	&"BufferedWebSocketMultiplayerPeer",
	&"BufferedWebSocketPeer"
]
const TIMEOUT := 20.0
const CALLS := 5000

var _lines := ErrorLines.new()
var _kept: Object


func run() -> void:
	for kind in CLASSES:
		await _created_and_freed(kind)
	await _scene_of_a_loading_thread()
	await _static_variable()
	await _worker_pool()
	await _every_call()
	await _answers()
	await _both_threads_at_once()
	await _handle_freed()
	await _listening_server_freed()
	_lines.stop()
	# These are freed after the library was unloaded; the process must end as if they did not exist.
	for kind in CLASSES:
		Engine.set_meta("kept_" + kind, ClassDB.instantiate(kind))
	var open := WebSocketServer.new()
	check_eq(open.listen(0, PackedStringArray(), true), OK, "listen")
	Engine.set_meta("kept_open", open)
	var api := SceneMultiplayer.new()
	api.multiplayer_peer = open
	Engine.set_meta("kept_api", api)


func _created_and_freed(kind: StringName) -> void:
	var made: Object = await _on_thread(func() -> Object: return ClassDB.instantiate(kind))
	check(made != null and made.is_class(kind), "%s is made on a thread: %s" % [kind, made])
	# The main thread has called nothing of it yet.
	var box := [made]
	made = null
	await _on_thread(func() -> void: box.clear())
	await _on_thread(
		func() -> void:
			var short: Object = ClassDB.instantiate(kind)
			short = null
	)
	box = [ClassDB.instantiate(kind)]
	await _on_thread(func() -> void: box.clear())
	box = [await _on_thread(func() -> Object: return ClassDB.instantiate(kind))]
	check_eq(box[0].call(&"get_available_packet_count"), 0, "%s is used on the main thread" % kind)
	await _on_thread(func() -> void: box.clear())


## As loading screens do.
func _scene_of_a_loading_thread() -> void:
	var script := GDScript.new()
	script.source_code = (
		"extends Node\n"
		+ "var server := WebSocketServer.new()\n"
		+ "var client := WebSocketClient.new()\n"
	)
	check_eq(script.reload(), OK, "the script of the scene")
	var node := Node.new()
	node.set_script(script)
	var scene := PackedScene.new()
	scene.pack(node)
	node.free()
	var made: Node = await _on_thread(func() -> Node: return scene.instantiate())
	root.add_child(made)
	var server: WebSocketServer = made.get("server")
	var client: WebSocketClient = made.get("client")
	await _connect(server, client)
	made.free()


## Its script is loaded on a thread. Not with load_threaded_request(), which can leak an object of the engine's before 4.7:
## https://github.com/godotengine/godot/pull/118824
func _static_variable() -> void:
	var script: GDScript = await _on_thread(func() -> Variant: return load("res://lib/holder.gd"))
	var server: WebSocketServer = script.get("server")
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listen() of a static variable")
	check(server.get_local_port() > 0, "port")
	server.stop()


func _worker_pool() -> void:
	var task := WorkerThreadPool.add_task(
		func() -> void: _kept = ClassDB.instantiate(&"WebSocketServer")
	)
	await until(
		WorkerThreadPool.is_task_completed.bind(task), TIMEOUT, "the task of the worker pool"
	)
	WorkerThreadPool.wait_for_task_completion(task)
	check_eq(_kept.call(&"listen", 0, PackedStringArray(), true), OK, "listen")
	_kept = null


## All methods of all classes, without arguments that mean anything.
func _every_call() -> void:
	_lines.take()
	for kind in CLASSES:
		var object: Object = ClassDB.instantiate(kind)
		var methods := ClassDB.class_get_method_list(kind, true)
		methods.append_array(ClassDB.class_get_method_list(ClassDB.get_parent_class(kind), true))
		var count: int = await _on_thread(_call_all.bind(object, methods))
		check(count > 10, "%s: only %d methods were called" % [kind, count])
		if _lines.is_available():
			var said := _lines.take()
			check_eq(said.size(), 1, "%s: lines about threads: %s" % [kind, said])
			check(said[0].begins_with(kind + "."), "%s: %s" % [kind, said[0]])
		# It is as good as new.
		check_eq(object.call(&"get_available_packet_count"), 0, "%s afterwards" % kind)


func _call_all(object: Object, methods: Array[Dictionary]) -> int:
	var count := 0
	for method in methods:
		if method.flags & (METHOD_FLAG_VIRTUAL | METHOD_FLAG_STATIC):
			continue
		var arguments: Array = method.args.map(
			func(argument: Dictionary) -> Variant: return type_convert(null, argument.type)
		)
		object.callv(method.name, arguments)
		count += 1
	return count


## With types and without, which are different ways into the library.
func _answers() -> void:
	var server := WebSocketServer.new()
	var untyped: Variant = server
	var as_engine: MultiplayerPeer = server
	var peer := BufferedWebSocketPeer.new()
	var packet := PackedByteArray([1])
	var answers: Dictionary = await _on_thread(
		func() -> Dictionary:
			server.poll()
			untyped.poll()
			as_engine.poll()
			server.max_connections = 7
			return {
				listen = server.listen(0),
				untyped_listen = untyped.listen(0),
				put = server.put_packet(packet),
				engine_put = as_engine.put_packet(packet),
				send = peer.send(packet),
				status = as_engine.get_connection_status(),
				mode = as_engine.transfer_mode,
				statistics = server.get_statistics(),
				untyped_statistics = untyped.get_statistics(),
				error = server.get_last_error(),
				no_handle = server.get_peer(1) == null,
				interval = server.heartbeat_interval,
				listening = untyped.is_listening(),
				meta = peer.get_handshake_meta(),
			}
	)
	var expected := {
		listen = ERR_UNAVAILABLE,
		untyped_listen = ERR_UNAVAILABLE,
		put = ERR_UNAVAILABLE,
		engine_put = ERR_UNAVAILABLE,
		send = ERR_UNAVAILABLE,
		status = MultiplayerPeer.CONNECTION_DISCONNECTED,
		mode = MultiplayerPeer.TRANSFER_MODE_RELIABLE,
		statistics = {},
		untyped_statistics = {},
		error = "",
		no_handle = true,
		interval = 0.0,
		listening = false,
		meta = null,
	}
	for key: String in expected:
		check_eq(answers[key], expected[key], "%s on a thread" % key)
	check_eq(server.max_connections, 0, "a property that was set on a thread")
	check_eq(server.listen(0), OK, "listen() on the main thread")


func _both_threads_at_once() -> void:
	var server := WebSocketServer.new()
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listen")
	var thread := Thread.new()
	thread.start(
		func() -> void:
			for turn in CALLS:
				server.poll()
				server.get_statistics()
	)
	for turn in CALLS:
		server.poll()
		server.get_statistics()
	await until(func() -> bool: return not thread.is_alive(), TIMEOUT, "the thread")
	thread.wait_to_finish()
	check(server.is_listening(), "the server listens")


func _handle_freed() -> void:
	var server := WebSocketServer.new()
	var client := WebSocketClient.new()
	await _connect(server, client)
	var box := [client.get_peer(1)]
	client.close()
	await _on_thread(func() -> void: box.clear())


## Its port is free soon, although no method of it is called.
func _listening_server_freed() -> void:
	var box := [WebSocketServer.new()]
	check_eq(box[0].listen(0, PackedStringArray(), true), OK, "listen")
	var its_port: int = box[0].get_local_port()
	await _on_thread(func() -> void: box.clear())
	var probe := TCPServer.new()
	await until(
		func() -> bool: return probe.listen(its_port, "127.0.0.1") == OK,
		TIMEOUT,
		"the port is free"
	)


func _connect(server: WebSocketServer, client: WebSocketClient) -> void:
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listen")
	var url := "ws://127.0.0.1:%d" % server.get_local_port()
	check_eq(client.connect_to_url(url, PackedStringArray(), true), OK, "connect")
	await until(
		func() -> bool:
			server.poll()
			client.poll()
			return client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED,
		TIMEOUT,
		"connected"
	)


func _on_thread(work: Callable) -> Variant:
	var thread := Thread.new()
	check_eq(thread.start(work), OK, "a thread")
	await until(func() -> bool: return not thread.is_alive(), TIMEOUT, "the thread ends")
	return thread.wait_to_finish()
