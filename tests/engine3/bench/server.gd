extends SceneTree
# The 3.6 counterpart of tests/engine/bench/server.gd, for the original WebSocketServer: the same
# arguments, `READY {..}` and `RESULT {..}`; `work` is idle, echo, relay or broadcast.

const SETTLE_USEC = 1000000
# A tight loop ends its frame after this time.
const FRAME_USEC = 50000

enum Phase { FILLING, SETTLING, MEASURING, DONE }

var _server = WebSocketServer.new()
var _work = ""
var _fps = 0
var _wanted = 0
var _seconds = 0.0
var _packet = PoolByteArray()

var _phase = Phase.FILLING
var _connected = 0
var _phase_ends = 0
var _began = 0
var _frames = 0
var _warm_up = 30
var _messages = 0
var _broadcasts = 0
var _busy_usec = 0
var _again_usec = 0
# Microseconds of each frame's work.
var _samples = []


func _initialize():
	var arguments = {}
	for argument in OS.get_cmdline_args():
		var parts = argument.split("=", true, 1)
		if parts.size() == 2:
			arguments[parts[0]] = parts[1]
	_work = arguments.get("work", "idle")
	_fps = int(arguments.get("fps", "60"))
	_wanted = int(arguments.get("peers", "0"))
	_seconds = float(arguments.get("seconds", "5"))
	for _index in int(arguments.get("size", "256")):
		_packet.append(0x5a)
	OS.low_processor_usage_mode_sleep_usec = 1
	Engine.target_fps = 0 if _wanted > 0 else _fps
	_server.connect("peer_connected", self, "_on_connected")
	_server.connect("peer_disconnected", self, "_on_disconnected")
	var error = _server.listen(int(arguments.get("port", "0")), PoolStringArray(), true)
	if error != OK:
		print("does not listen: %d" % error)
		quit(1)


func _idle(_delta):
	var began = OS.get_ticks_usec()
	var handled = 0
	match _work:
		"echo":
			handled = _echo(began)
		"broadcast":
			_broadcast()
		_:
			_server.poll()
	var ended = OS.get_ticks_usec()
	if _phase == Phase.MEASURING:
		_frames += 1
		_messages += handled
		if _work != "echo":
			_samples.append(ended - began)
			_busy_usec += ended - began
			if _work == "idle":
				_server.poll()
				_again_usec += OS.get_ticks_usec() - ended
		elif handled > 0:
			_busy_usec += ended - began
	_advance(ended)
	return false


func _on_connected(_id):
	_connected += 1


func _on_disconnected(_id):
	_connected -= 1


# Sends back what has come; without a frame rate until nothing comes any more.
func _echo(began):
	var handled = 0
	while true:
		_server.poll()
		var count = _server.get_available_packet_count()
		for _index in count:
			_server.set_target_peer(_server.get_packet_peer())
			_server.put_packet(_server.get_packet())
		handled += count
		if count == 0 or _fps > 0 or OS.get_ticks_usec() - began > FRAME_USEC:
			break
	return handled


func _broadcast():
	_server.poll()
	if _phase == Phase.SETTLING or _phase == Phase.MEASURING:
		_broadcasts += 1
		_server.set_target_peer(0)
		_server.put_packet(_packet)


func _advance(now):
	if _warm_up > 0:
		_warm_up -= 1
		if _warm_up == 0:
			print("READY " + to_json({"pid": OS.get_process_id()}))
	elif _phase == Phase.FILLING and _wanted > 0 and _connected >= _wanted:
		_phase = Phase.SETTLING
		_phase_ends = now + SETTLE_USEC
		Engine.target_fps = _fps
	elif _phase == Phase.SETTLING and now >= _phase_ends:
		_phase = Phase.MEASURING
		_began = now
		_phase_ends = now + int(_seconds * 1000000)
	elif _phase == Phase.MEASURING and now >= _phase_ends:
		_phase = Phase.DONE
		_report(now)


func _report(now):
	var seconds = (now - _began) / 1000000.0
	var result = {
		"connected": _connected,
		"frames": _frames,
		"fps": _frames / seconds,
		"messages_per_second": _messages / seconds,
		"busy_usec_per_second": _busy_usec / seconds,
		"broadcast": _broadcasts * _connected,
	}
	if _messages > 0:
		result["usec_per_message"] = float(_busy_usec) / _messages
	if not _samples.empty():
		var sum = 0
		for sample in _samples:
			sum += sample
		_samples.sort()
		if _work == "idle":
			result["again_usec"] = float(_again_usec) / _samples.size()
		result["mean_usec"] = float(sum) / _samples.size()
		result["p99_usec"] = _samples[int((_samples.size() - 1) * 0.99)]
	print("RESULT " + to_json(result))
