# The project setting decides whether there are monitors, all monitors are removed when the engine ends, and an invalid setting causes
# a warning at the start, even if no script creates an object.
# processes: main
# timeout: 120
extends "res://lib/case.gd"

const OtherEngine := preload("res://lib/engine.gd")
const PROJECT := "config_version=5\n\n[network]\n\n%s\n"
## Says how many there are, and what one of them shows while a server is open.
const SCRIPT := """extends SceneTree

func _init() -> void:
	var server: Object = ClassDB.instantiate(&"WebSocketServer")
	server.listen(0)
	var count := 0
	for id in Performance.get_custom_monitor_names():
		count += int(str(id).begins_with("WebSocket/"))
	print("MONITORS ", count)
	quit()
"""

## They go with the library, and come back with it.
const UNLOAD := """extends SceneTree

func _init() -> void:
	var library := "res://addons/websocket_multiplayer/websocket_multiplayer.gdextension"
	print("UNLOADED ", GDExtensionManager.unload_extension(library))
	print("LEFT ", Performance.get_custom_monitor_names().size())
	print("LOADED ", GDExtensionManager.load_extension(library))
	print("SHOWN ", Performance.get_custom_monitor(&"WebSocket/peers"))
	quit()
"""


func run() -> void:
	# A debug build of the engine; 1 is the default.
	for wanted: Array in [["", 15], ["websocket/monitors=0", 0], ["websocket/monitors=2", 15]]:
		var engine := OtherEngine.new(self, "monitors")
		engine.write("project.godot", PROJECT % wanted[0])
		engine.write("count.gd", SCRIPT)
		var text := engine.run(["-s", "res://count.gd"])
		check(
			text.contains("MONITORS %d\n" % wanted[1]),
			"%d monitors with %s: %s" % [wanted[1], wanted[0], text]
		)
		engine.remove()
	var engine := OtherEngine.new(self, "monitors")
	engine.write("project.godot", PROJECT % "")
	engine.write("unload.gd", UNLOAD)
	var text := engine.run(["-s", "res://unload.gd"])
	for line: String in ["UNLOADED 0", "LEFT 0", "LOADED 0", "SHOWN 0.0"]:
		check(text.contains(line + "\n"), "%s: %s" % [line, text])
	engine.remove()
	_bad_values()


func _bad_values() -> void:
	var engine := OtherEngine.new(self, "monitors")
	var lines := "websocket/monitors=3\nlimits/websocket_client/max_in_buffer_kb=0"
	engine.write("project.godot", PROJECT % lines)
	engine.write("nothing.gd", "extends SceneTree\n\nfunc _init() -> void:\n\tquit()\n")
	var text := engine.run(["-s", "res://nothing.gd"])
	for setting: String in [
		"network/websocket/monitors is 3", "network/limits/websocket_client/max_in_buffer_kb is 0"
	]:
		check_eq(text.count(setting), 1, "warnings at the start, %s: %s" % [setting, text])
	check_eq(text.count("WARNING: WebSocket"), 2, "warnings at the start: %s" % text)
	engine.remove()
