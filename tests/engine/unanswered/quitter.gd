extends SceneTree
## Connects to a host name without an answer, and quits during the look-up.

const TIMEOUT_MSEC := 30_000

## Kept to the end of the process on purpose.
var client := ClassDB.instantiate(&"WebSocketClient") as MultiplayerPeer


func _initialize() -> void:
	_run.call_deferred()


func _run() -> void:
	var url := "ws://nobody.unanswered.test"
	var error: Error = client.connect_to_url(url, PackedStringArray(), true)
	if error != OK:
		print("FAILED: connect_to_url(): %s" % error_string(error))
		quit(1)
		return
	var asked := OS.get_environment("RESOLVER_FOLDER").path_join("asked")
	var end := Time.get_ticks_msec() + TIMEOUT_MSEC
	while not FileAccess.file_exists(asked):
		client.poll()
		if Time.get_ticks_msec() > end:
			print("FAILED: the system was never asked")
			quit(1)
			return
		await process_frame
	if client.get_connection_status() != MultiplayerPeer.CONNECTION_CONNECTING:
		print("FAILED: it does not wait for the answer")
	print("QUITS")
	quit(0)
