# The scripts of a web export cause no warning of GDScript, all of them switched on and treated as errors.
# processes: main
# web: main
# timeout: 120
extends "res://lib/case.gd"

const Engines := preload("res://lib/engine.gd")
const SCRIPTS := "addons/websocket_multiplayer/web"
const WARNINGS := "debug/gdscript/warnings/"
## Loads all of them.
const LOADER := """
extends SceneTree

func _initialize() -> void:
	var count: int = 0
	for file: String in DirAccess.get_files_at("res://%s"):
		if file.ends_with(".gd") and load("res://%s".path_join(file)) != null:
			count += 1
	print("LOADED ", count)
	quit()
"""


func run() -> void:
	var engine := Engines.new(self, "web_warnings")
	# There is no library.
	engine.write(".godot/extension_list.cfg", "")
	var lines: Array[String] = ["config_version=5", "[application]", 'config/name="w"', "[debug]"]
	var count := 0
	for property in ProjectSettings.get_property_list():
		var name: String = property.name
		if name.begins_with(WARNINGS) and property.hint_string == "Ignore,Warn,Error":
			lines.append("%s=2" % name.trim_prefix("debug/"))
			count += 1
	check(count > 40, "only %d warnings" % count)
	# By default the scripts of addons are left out.
	lines.append("gdscript/warnings/exclude_addons=false")
	lines.append("gdscript/warnings/directory_rules={}")
	engine.write("project.godot", "\n".join(lines) + "\n")
	engine.write("loader.gd", LOADER % [SCRIPTS, SCRIPTS])
	engine.run(["--import"])
	var scripts := Array(DirAccess.get_files_at("res://" + SCRIPTS)).filter(
		func(file: String) -> bool: return file.ends_with(".gd")
	)
	var output := engine.run(["-s", "res://loader.gd"])
	check(output.contains("LOADED %d\n" % scripts.size()), "not all were loaded: " + output)
	check(scripts.size() > 12, "scripts: %s" % [scripts])
	engine.remove()
