extends SceneTree
## The server of `cargo xtask bench`: the same script for every class under test.
##
## Arguments: `kind` (as in lib/peers.gd, or `null` with `extension=` and `batch=`), `port`, `work`
## (idle, echo, relay, broadcast, rpc, scene), `peers` (as soon as so many are connected the
## measurement begins; 0: never), `fps` (0: no limit), `seconds`, `size` (bytes of a
## broadcast), `stall` (milliseconds that the main thread hangs, once), `wire` (3: that of 3.x),
## `resume` (seconds of `resume_timeout`), `tls` (a folder with key.pem and certificate.pem),
## `relay=main` (not on the I/O thread), `enet` (the engine's class for UDP). It prints `READY {..}`,
## later `RESULT {..}`, and runs until it is killed.

enum Phase { FILLING, SETTLING, MEASURING, DONE }

const Peers := preload("res://lib/peers.gd")
const Blast := preload("res://bench/blast.gd")
## Between the last peer and the measurement.
const SETTLE_USEC := 1_000_000
## A tight loop ends its frame after this time.
const FRAME_USEC := 50_000
## From the beginning of the measurement to the stall.
const STALL_AFTER_USEC := 1_500_000

var _peer: MultiplayerPeer
var _arguments := {}
var _work := ""
var _fps := 0
var _wanted := 0
var _packet := PackedByteArray()
var _blast: Node
var _stall_msec := 0

var _phase := Phase.FILLING
var _connected := 0
var _phase_ends := 0
var _began := 0
var _frames := 0
var _warm_up := 30
var _messages := 0
var _broadcasts := 0
var _busy_usec := 0
## Processor time of the process when the measurement began.
var _processor_usec := 0
## Microseconds of each frame's work.
var _samples := PackedInt32Array()
## Of a second poll right after the first, while that is in the processor's caches.
var _again_usec := 0


func _initialize() -> void:
	for argument in OS.get_cmdline_user_args():
		var key := argument.get_slice("=", 0)
		_arguments[key] = argument.substr(key.length() + 1)
	_work = _arguments.get("work", "idle")
	_fps = int(_arguments.get("fps", "60"))
	_wanted = int(_arguments.get("peers", "0"))
	_stall_msec = int(_arguments.get("stall", "0"))
	_packet.resize(int(_arguments.get("size", "256")))
	_packet.fill(0x5a)
	# A headless engine otherwise sleeps 6.9 ms in each frame.
	OS.low_processor_usage_mode_sleep_usec = 1
	# Filling up is not what is measured, and the engine's class takes a client per frame.
	Engine.max_fps = 0 if _wanted > 0 else _fps
	multiplayer_poll = false
	_peer = _make()
	if _peer == null:
		quit(1)
		return
	_peer.peer_connected.connect(func(_id: int) -> void: _connected += 1)
	_peer.peer_disconnected.connect(func(_id: int) -> void: _connected -= 1)
	if _is_scene():
		var api: SceneMultiplayer = get_multiplayer()
		# With the relay each new peer gets a packet about each other: a million packets for a thousand players.
		api.server_relay = _work == "relay"
		api.multiplayer_peer = _peer
		_blast = Blast.new()
		_blast.name = "Blast"
		root.add_child(_blast)


func _process(_delta: float) -> bool:
	if _peer == null:
		return false
	var began := Time.get_ticks_usec()
	var handled := 0
	match _work:
		"echo":
			handled = _echo(began)
		"broadcast", "rpc":
			_broadcast()
		_:
			_poll()
	var ended := Time.get_ticks_usec()
	if _phase == Phase.MEASURING:
		_frames += 1
		_messages += handled
		if _work != "echo":
			_samples.append(ended - began)
			_busy_usec += ended - began
			if _work == "idle":
				_peer.poll()
				_again_usec += Time.get_ticks_usec() - ended
		elif handled > 0:
			_busy_usec += ended - began
	_advance(ended)
	return false


func _make() -> MultiplayerPeer:
	var kind: String = _arguments.get("kind", "")
	if kind == "null":
		var status := GDExtensionManager.load_extension(_arguments.get("extension", ""))
		if status != GDExtensionManager.LOAD_STATUS_OK:
			return null
		var floor_peer: MultiplayerPeer = ClassDB.instantiate(&"NullMultiplayerPeer")
		floor_peer.set("batch", int(_arguments.get("batch", "160")))
		floor_peer.set("size", _packet.size())
		# Nobody connects to it.
		_connected = _wanted
		return floor_peer
	if _arguments.has("enet"):
		var enet := ENetMultiplayerPeer.new()
		# By default it takes 32 clients.
		var error := enet.create_server(int(_arguments.get("port", "0")), 4095)
		return enet if error == OK else null
	var properties := {}
	if _arguments.get("wire", "4") == "3":
		properties["wire_format"] = 1
	if _arguments.has("resume"):
		properties["resume_timeout"] = float(_arguments["resume"])
	if _arguments.get("relay", "") == "main":
		properties["relay_on_io_thread"] = false
	var folder: String = _arguments.get("tls", "")
	return Peers.make_server(kind, int(_arguments.get("port", "0")), properties, folder)


## Whether a SceneMultiplayer stands between the peer and the script.
func _is_scene() -> bool:
	return (
		_work == "rpc"
		or _work == "scene"
		or (_work == "relay" and _arguments.get("wire", "4") == "4")
	)


func _poll() -> void:
	if _blast != null:
		get_multiplayer().poll()
	else:
		_peer.poll()


## Sends back what has come; without a frame rate until nothing comes any more.
func _echo(began: int) -> int:
	var handled := 0
	while true:
		_peer.poll()
		var count := _peer.get_available_packet_count()
		for index in count:
			_peer.set_target_peer(_peer.get_packet_peer())
			_peer.put_packet(_peer.get_packet())
		handled += count
		if count == 0 or _fps > 0 or Time.get_ticks_usec() - began > FRAME_USEC:
			break
	return handled


func _broadcast() -> void:
	_poll()
	if _phase == Phase.SETTLING or _phase == Phase.MEASURING:
		_broadcasts += 1
		if _work == "rpc":
			_blast.rpc(&"take", _packet)
		else:
			_peer.set_target_peer(0)
			_peer.put_packet(_packet)


func _advance(now: int) -> void:
	if _warm_up > 0:
		_warm_up -= 1
		if _warm_up == 0:
			var about := {
				"pid": OS.get_process_id(),
				"editor": OS.has_feature("editor"),
				"debug": OS.is_debug_build(),
			}
			print("READY " + JSON.stringify(about))
	elif _phase == Phase.FILLING and _wanted > 0 and _connected >= _wanted:
		_phase = Phase.SETTLING
		_phase_ends = now + SETTLE_USEC
		Engine.max_fps = _fps
	elif _phase == Phase.SETTLING and now >= _phase_ends:
		_phase = Phase.MEASURING
		_began = now
		_processor_usec = _processor_time()
		_phase_ends = now + int(float(_arguments.get("seconds", "5")) * 1e6)
	elif _phase == Phase.MEASURING and _stall_msec > 0 and now >= _began + STALL_AFTER_USEC:
		OS.delay_msec(_stall_msec)
		_stall_msec = 0
	elif _phase == Phase.MEASURING and now >= _phase_ends:
		_phase = Phase.DONE
		_report(now)


func _report(now: int) -> void:
	var seconds := (now - _began) / 1e6
	var result := {
		"connected": _connected,
		"frames": _frames,
		"fps": _frames / seconds,
		"messages_per_second": _messages / seconds,
		"busy_usec_per_second": _busy_usec / seconds,
		"broadcast": _broadcasts * _connected,
	}
	var processor := _processor_time() - _processor_usec
	if processor > 0:
		result["processor_usec_per_second"] = processor / seconds
	if _messages > 0:
		result["usec_per_message"] = float(_busy_usec) / _messages
	if not _samples.is_empty():
		var sum := 0
		for sample in _samples:
			sum += sample
		_samples.sort()
		if _work == "idle":
			result["again_usec"] = float(_again_usec) / _samples.size()
		result["mean_usec"] = float(sum) / _samples.size()
		result["p99_usec"] = _samples[int((_samples.size() - 1) * 0.99)]
	print("RESULT " + JSON.stringify(result))


## Microseconds that all threads have used, in steps of a hundredth of a second; 0 on systems other than Linux.
func _processor_time() -> int:
	var file := FileAccess.open("/proc/self/stat", FileAccess.READ)
	if file == null:
		return 0
	# The name of the program may contain spaces.
	var fields := file.get_line().get_slice(") ", 1).split(" ")
	return (int(fields[11]) + int(fields[12])) * 10_000
