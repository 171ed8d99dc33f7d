extends SceneTree
## Base of every case: arguments, checks, waits with a deadline, and an end that the runner
## recognizes.
##
## A case overrides `run()`. When that returns without a failure the process prints `CASE OK`; the
## first failed check prints `CASE FAILED: why` and ends the process with code 1.

## From the command line: `role=`, `name=`, `port=`, `peers=`, `slower=`.
var role := ""
var name := ""
var port := 0
## Number of the other processes of this case.
var peers := 0
## All arguments, those of the case's variant included.
var args := {}
## How many times longer each wait may take, on a machine that an emulator plays.
var slower := 1.0
## A case that measures frames sets this to false in `_init`.
var runs_unthrottled := true

var _ended := false


func _initialize() -> void:
	for argument in OS.get_cmdline_user_args():
		var key := argument.get_slice("=", 0)
		args[key] = argument.substr(key.length() + 1)
	role = args.get("role", "main")
	name = args.get("name", role)
	port = int(args.get("port", "0"))
	peers = int(args.get("peers", "0"))
	slower = float(args.get("slower", "1"))
	if runs_unthrottled:
		# A headless engine otherwise sleeps 6.9 ms in each frame.
		OS.low_processor_usage_mode_sleep_usec = 1
	_main()


## The case itself.
func run() -> void:
	fail("this case has no run()")


## Returns true if `condition` is true; otherwise the case fails.
func check(condition: bool, message: String) -> bool:
	if not condition:
		fail(message)
	return condition


func check_eq(actual: Variant, expected: Variant, message: String) -> bool:
	# Comparing values of different types is an error in GDScript, not a difference.
	var same: bool = typeof(actual) == typeof(expected) and actual == expected
	if not same:
		fail("%s: got %s, expected %s" % [message, _shown(actual), _shown(expected)])
	return same


func frames(count: int) -> void:
	for frame in count:
		await process_frame


func seconds(time: float) -> void:
	var end := Time.get_ticks_usec() + int(time * 1e6)
	while Time.get_ticks_usec() < end:
		await process_frame


## Waits until `condition` returns true. If that takes too long, the case fails and this never
## returns.
func until(condition: Callable, within: float, message: String) -> void:
	var end := Time.get_ticks_usec() + int(within * slower * 1e6)
	while not condition.call():
		if Time.get_ticks_usec() > end:
			fail("%s: not within %.1f s" % [message, within * slower])
		await process_frame
		if _ended:
			# The next steps would need the condition that was not met.
			while true:
				await process_frame


## A client may know what the server's poll does not yet: the I/O thread first writes what a round
## brought and then hands it over, and may lose the processor in between. When its next round has
## begun it has handed over; setting the limit, to what it is, wakes it for one. A weak reference,
## because what runs after this is called by it: it would keep the server alive meanwhile.
func until_handed_over(server: WeakRef, within: float) -> void:
	var rounds: int = server.get_ref().get_statistics().io_wakeups
	server.get_ref().max_connections = 0
	var has_begun := func() -> bool: return server.get_ref().get_statistics().io_wakeups > rounds
	await until(has_begun, within, "the next round of the I/O thread")


## Tells the runner that the other processes may start.
func ready_line() -> void:
	print("READY %d" % port)


## A file in the folder that the processes of a case share.
func scratch(file: String) -> String:
	return args["scratch"].path_join(file)


## Returns true if a process has written this file.
func is_left(file: String) -> bool:
	return FileAccess.file_exists(scratch(file))


## Writes a file for the other processes, at once and completely, because they check for it.
func leave(file: String, text: String) -> void:
	var part := scratch(file + ".part")
	FileAccess.open(part, FileAccess.WRITE).store_string(text)
	check_eq(DirAccess.rename_absolute(part, scratch(file)), OK, "a file for the other processes")


func fail(message: String) -> void:
	if _ended:
		return
	_ended = true
	print("CASE FAILED: %s: %s" % [name, message])
	quit(1)


## Ends the process with success. Not needed at the end of `run()`.
func done() -> void:
	if _ended:
		return
	_ended = true
	get_multiplayer().multiplayer_peer = null
	for child in root.get_children():
		child.queue_free()
	# Nodes and peers are freed at the end of a frame.
	await frames(3)
	print("CASE OK")
	quit(0)


func has_ended() -> bool:
	return _ended


func _main() -> void:
	# The root is not in the tree yet during `_initialize`.
	await process_frame
	await run()
	await done()


func _shown(value: Variant) -> String:
	var text := var_to_str(value)
	return text if text.length() <= 200 else text.left(200) + "..."
