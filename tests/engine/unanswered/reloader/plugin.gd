@tool
extends EditorPlugin
## Reloads the addon while the system looks for a host name of a client, lets the answer come afterwards, and ends the editor.

const MANIFEST := "res://addons/websocket_multiplayer/websocket_multiplayer.gdextension"
const TIMEOUT_MSEC := 30_000
## What a thread needs to go on with an answer, many times over.
const REST_MSEC := 1000


func _enter_tree() -> void:
	_run.call_deferred()


func _run() -> void:
	while EditorInterface.get_resource_filesystem().is_scanning():
		await get_tree().process_frame
	var client: Object = ClassDB.instantiate(&"WebSocketClient")
	client.connect_to_url("ws://nobody.unanswered.test", PackedStringArray(), true)
	if not await _comes(_file.bind("asked"), "the system was never asked"):
		return
	var error := GDExtensionManager.reload_extension(MANIFEST)
	if not _holds(error == GDExtensionManager.LOAD_STATUS_OK, "reload: %d" % error):
		return
	# Whatever asked has to be there when the answer comes.
	FileAccess.open(_place("answer"), FileAccess.WRITE).close()
	if not await _comes(_file.bind("answered"), "the answer never came"):
		return
	var rested := Time.get_ticks_msec() + REST_MSEC
	while Time.get_ticks_msec() < rested:
		await get_tree().process_frame
	# And what was loaded works.
	var server: Object = ClassDB.instantiate(&"WebSocketServer")
	client = ClassDB.instantiate(&"WebSocketClient")
	error = server.listen(0, PackedStringArray(), true)
	if not _holds(error == OK, "listen(): %s" % error_string(error)):
		return
	var url := "ws://127.0.0.1:%d" % server.get_local_port()
	client.connect_to_url(url, PackedStringArray(), true)
	var connected := func() -> bool:
		server.poll()
		client.poll()
		return client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED
	if not await _comes(connected, "the client never got in"):
		return
	print("RELOADED")
	get_tree().quit(0)


func _comes(condition: Callable, otherwise: String) -> bool:
	var end := Time.get_ticks_msec() + TIMEOUT_MSEC
	while not condition.call():
		if not _holds(Time.get_ticks_msec() < end, otherwise):
			return false
		await get_tree().process_frame
	return true


func _file(file: String) -> bool:
	return FileAccess.file_exists(_place(file))


func _place(file: String) -> String:
	return OS.get_environment("RESOLVER_FOLDER").path_join(file)


func _holds(condition: bool, what: String) -> bool:
	if not condition:
		print("FAILED: %s" % what)
		get_tree().quit(1)
	return condition
