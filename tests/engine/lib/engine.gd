extends RefCounted
## Runs engines in projects of their own, for tests of what an engine does before a script runs.

const Case := preload("res://lib/case.gd")
const ADDON := "addons/websocket_multiplayer"
## The errors that an engine may print: none.
const FAULTS: Array[String] = ["ERROR", "FAILED", "leaked", "panicked", "crashed", "still in use"]

var folder := ""

var _case: Case


## Makes a project with the addon: a copy of a folder of this project, or an empty one.
func _init(case: Case, its_name: String, from := "") -> void:
	_case = case
	folder = OS.get_user_data_dir().path_join("%s_%d" % [its_name, case.port])
	remove()
	DirAccess.make_dir_recursive_absolute(folder)
	if not from.is_empty():
		_copy(ProjectSettings.globalize_path(from), folder, [])
	_copy(ProjectSettings.globalize_path("res://" + ADDON), folder.path_join(ADDON), ["icons"])
	DirAccess.make_dir_absolute(folder.path_join(".godot"))
	var list := "res://%s/websocket_multiplayer.gdextension\n" % ADDON
	write(".godot/extension_list.cfg", list)


func write(file: String, text: String) -> void:
	var access := FileAccess.open(folder.path_join(file), FileAccess.WRITE)
	if _case.check(access != null, "%s in %s" % [file, folder]):
		access.store_string(text)
		access.close()


## Runs this process's engine in that project, headless, to its end. Returns the output if it
## contains no error.
func run(arguments: PackedStringArray) -> String:
	var command := program()
	var output := []
	var words: PackedStringArray = command.slice(1)
	words.append_array(["--headless", "--path", folder])
	words.append_array(arguments)
	var code := OS.execute(command[0], words, output, true)
	var text := "".join(output)
	var faults: Array[String] = []
	for line in text.split("\n"):
		if FAULTS.any(func(fault: String) -> bool: return line.contains(fault)):
			faults.append(line.strip_edges())
	if code != 0 or not faults.is_empty():
		# Indented, so that the runner does not count it again.
		print(text.indent("    "))
	_case.check_eq(faults, [] as Array[String], "what the engine printed")
	_case.check_eq(code, 0, "exit code of the engine")
	return text


func remove() -> void:
	_remove(folder)


## The program of this process, and the arguments before the engine's own: if the engine was started
## through a loader, the loader is the program.
static func program() -> PackedStringArray:
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
			_case.check_eq(error, OK, "a copy of %s" % file)
	for inner in DirAccess.get_directories_at(from):
		if inner not in without:
			_copy(from.path_join(inner), to.path_join(inner), without)


func _remove(path: String) -> void:
	var access := DirAccess.open(path)
	if access == null:
		return
	access.include_hidden = true
	for file in access.get_files():
		access.remove(file)
	for inner in access.get_directories():
		_remove(path.path_join(inner))
	DirAccess.remove_absolute(path)
