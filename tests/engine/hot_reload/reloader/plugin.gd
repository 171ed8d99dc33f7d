@tool
extends EditorPlugin
## Reloads the addon twice with a server and a client connected, then ends the editor with the code 0.

const MANIFEST := "res://addons/websocket_multiplayer/websocket_multiplayer.gdextension"
const RELOADS := 2
const TIMEOUT_MSEC := 20_000
const REST_MSEC := 2000

var server: Object
var client: Object


func _enter_tree() -> void:
	_run.call_deferred()


func _run() -> void:
	while EditorInterface.get_resource_filesystem().is_scanning():
		await get_tree().process_frame
	# The editor starts and ends threads of its own until it is at rest.
	var threads := await _threads_at_rest()
	for time in RELOADS:
		_make()
		if not await _connect():
			return
		if not _holds(
			threads < 0 or _threads() >= threads + 2, "two I/O threads run: %d" % _threads()
		):
			return
		var error := GDExtensionManager.reload_extension(MANIFEST)
		if not _holds(error == GDExtensionManager.LOAD_STATUS_OK, "reload %d: %d" % [time, error]):
			return
		if not _holds(
			await _settles(threads),
			"threads after reload %d: %d of %d" % [time, _threads(), threads]
		):
			return
		# The objects live on, with what they had open gone.
		if not _holds(is_instance_valid(server) and not server.is_listening(), "a closed server"):
			return
		if not _holds(
			client.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED,
			"a closed client"
		):
			return
		# And can be used again, as well as new ones.
		if not await _connect():
			return
		client.close()
		server.close()
	_make()
	if not await _connect():
		return
	# Ends with both connected.
	print("RELOADED %d times" % RELOADS)
	get_tree().quit(0)


func _make() -> void:
	server = ClassDB.instantiate(&"WebSocketServer")
	client = ClassDB.instantiate(&"WebSocketClient")


func _connect() -> bool:
	var error: Error = server.listen(0, PackedStringArray(), true)
	if not _holds(error == OK, "listen(): %s" % error_string(error)):
		return false
	error = client.connect_to_url(
		"ws://127.0.0.1:%d" % server.get_local_port(), PackedStringArray(), true
	)
	if not _holds(error == OK, "connect_to_url(): %s" % error_string(error)):
		return false
	var end := Time.get_ticks_msec() + TIMEOUT_MSEC
	while Time.get_ticks_msec() < end:
		server.poll()
		client.poll()
		if client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED:
			if server.has_peer(client.get_unique_id()):
				return true
		await get_tree().process_frame
	return _holds(false, "the client never got in")


func _settles(threads: int) -> bool:
	var end := Time.get_ticks_msec() + TIMEOUT_MSEC
	while _threads() > threads:
		if Time.get_ticks_msec() > end:
			return false
		await get_tree().process_frame
	return true


## How many there are once that has not changed for a while.
func _threads_at_rest() -> int:
	var threads := _threads()
	var since := Time.get_ticks_msec()
	while Time.get_ticks_msec() - since < REST_MSEC:
		await get_tree().process_frame
		if _threads() != threads:
			threads = _threads()
			since = Time.get_ticks_msec()
	return threads


func _holds(condition: bool, what: String) -> bool:
	if not condition:
		print("FAILED: %s" % what)
		get_tree().quit(1)
	return condition


## Of this process; -1 if the system does not provide it.
func _threads() -> int:
	var file := FileAccess.open("/proc/self/status", FileAccess.READ)
	while file != null and not file.eof_reached():
		var line := file.get_line()
		if line.begins_with("Threads:"):
			return line.trim_prefix("Threads:").strip_edges().to_int()
	return -1
