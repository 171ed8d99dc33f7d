# The editor reloads the addon twice while a server and a client of it are connected: no crash, no thread left, and it works again.
# processes: main
# timeout: 120
# serial
extends "res://lib/case.gd"

## What an editor may print as an error on its way: nothing.
const FAULTS: Array[String] = ["ERROR", "FAILED", "leaked", "panicked", "crashed", "still in use"]

var _project := ""


func run() -> void:
	_project = OS.get_user_data_dir().path_join("hot_reload_%d" % port)
	_remove(_project)
	# A project of its own: the editor would write into the one of all the cases.
	_copy(ProjectSettings.globalize_path("res://hot_reload"), _project, [])
	DirAccess.make_dir_absolute(_project.path_join("addons"))
	DirAccess.rename_absolute(_project.path_join("reloader"), _project.path_join("addons/reloader"))
	var addon := "addons/websocket_multiplayer"
	_copy(ProjectSettings.globalize_path("res://" + addon), _project.path_join(addon), ["icons"])
	DirAccess.make_dir_absolute(_project.path_join(".godot"))
	var list := FileAccess.open(_project.path_join(".godot/extension_list.cfg"), FileAccess.WRITE)
	if not check(list != null, "a project in %s" % _project):
		return
	list.store_line("res://%s/websocket_multiplayer.gdextension" % addon)
	list.close()
	var command := _engine()
	var output := []
	var arguments: PackedStringArray = command.slice(1)
	arguments.append_array(["--headless", "--editor", "--path", _project])
	var started := Time.get_ticks_usec()
	var code := OS.execute(command[0], arguments, output, true)
	print("the editor ended after %.1f s" % ((Time.get_ticks_usec() - started) / 1e6))
	var text := "".join(output)
	var faults: Array[String] = []
	for line in text.split("\n"):
		if FAULTS.any(func(fault: String) -> bool: return line.contains(fault)):
			faults.append(line.strip_edges())
	if code != 0 or not faults.is_empty() or not text.contains("RELOADED"):
		# Indented, so that it counts once.
		print(text.indent("    "))
	check_eq(faults, [] as Array[String], "what the editor printed")
	check_eq(code, 0, "exit code of the editor")
	check(text.contains("RELOADED"), "the editor ended without having reloaded")
	_remove(_project)


## The program of this process, with what belongs before the engine's own arguments: an engine may
## have been started through a loader, which then is the program.
func _engine() -> PackedStringArray:
	var program := OS.get_executable_path()
	var file := FileAccess.open("/proc/self/cmdline", FileAccess.READ)
	if not program.get_file().begins_with("ld-") or file == null:
		return [program]
	var words := PackedStringArray()
	var word := PackedByteArray()
	while true:
		var byte := file.get_8()
		if file.eof_reached():
			break
		if byte != 0:
			word.append(byte)
			continue
		var text := word.get_string_from_utf8()
		word.clear()
		if text == "--path":
			break
		words.append(text)
	return words


func _copy(from: String, to: String, without: Array) -> void:
	DirAccess.make_dir_recursive_absolute(to)
	for file in DirAccess.get_files_at(from):
		if file.get_extension() not in ["uid", "import"]:
			var error := DirAccess.copy_absolute(from.path_join(file), to.path_join(file))
			check_eq(error, OK, "a copy of %s" % file)
	for folder in DirAccess.get_directories_at(from):
		if folder not in without:
			_copy(from.path_join(folder), to.path_join(folder), without)


func _remove(folder: String) -> void:
	var access := DirAccess.open(folder)
	if access == null:
		return
	access.include_hidden = true
	for file in access.get_files():
		access.remove(file)
	for inner in access.get_directories():
		_remove(folder.path_join(inner))
	DirAccess.remove_absolute(folder)
