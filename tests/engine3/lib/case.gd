extends SceneTree
# The 3.6 counterpart of tests/engine/lib/case.gd: arguments, checks with a deadline, and an end
# that the runner understands. A script overrides `run()`, which must wait at least once.

# From the command line: `role=`, `name=`, `port=`, `peers=`.
var role = ""
var name = ""
var port = 0
# Number of the other processes of this case.
var peers = 0
var args = {}

var _ended = false


func _initialize():
	for argument in OS.get_cmdline_args():
		var parts = argument.split("=", true, 1)
		if parts.size() == 2:
			args[parts[0]] = parts[1]
	role = args.get("role", "main")
	name = args.get("name", role)
	port = int(args.get("port", "0"))
	peers = int(args.get("peers", "0"))
	OS.low_processor_usage_mode_sleep_usec = 1
	_main()


# The case itself.
func run():
	yield(self, "idle_frame")
	fail("this case has no run()")


func check(condition, message):
	if not condition:
		fail(message)
	return condition


func check_eq(actual, expected, message):
	var same = typeof(actual) == typeof(expected) and actual == expected
	if not same:
		fail("%s: got %s, expected %s" % [message, _shown(actual), _shown(expected)])
	return same


func seconds(time):
	var end = OS.get_ticks_usec() + int(time * 1000000)
	while OS.get_ticks_usec() < end:
		yield(self, "idle_frame")


# Waits until `object.method(arguments)` returns true. If that takes too long, this never returns.
func until(object, method, arguments, within, message):
	var end = OS.get_ticks_usec() + int(within * 1000000)
	yield(self, "idle_frame")
	while not object.callv(method, arguments):
		if OS.get_ticks_usec() > end:
			fail("%s: not within %.1f s" % [message, within])
		yield(self, "idle_frame")
		while _ended:
			yield(self, "idle_frame")


func ready_line():
	print("READY %d" % port)


func fail(message):
	if _ended:
		return
	_ended = true
	print("CASE FAILED: %s (3.6): %s" % [name, message])
	quit(1)


func has_ended():
	return _ended


func _main():
	yield(self, "idle_frame")
	yield(run(), "completed")
	if _ended:
		return
	_ended = true
	# Nodes are freed at the end of a frame.
	for frame in 3:
		yield(self, "idle_frame")
	print("CASE OK")
	quit(0)


func _shown(value):
	var text = var2str(value)
	return text if text.length() <= 200 else text.left(200) + "..."
