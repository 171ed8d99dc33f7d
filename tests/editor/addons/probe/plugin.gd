@tool
extends EditorPlugin
## Opens the help page of each class of the addon, as F1 does, and looks for members without a
## description; then looks at icons and project settings. The last line it prints is the verdict.

const Watch := preload("watch.gd")
const MANIFEST := "res://addons/websocket_multiplayer/websocket_multiplayer.gdextension"
const CLASSES: Array[String] = [
	"WebSocketServer",
	"WebSocketClient",
	"BufferedWebSocketMultiplayerPeer",
	"BufferedWebSocketPeer",
]
## What the editor writes where there is nothing.
const EMPTY := "There is currently no description"
const TIMEOUT_MSEC := 60_000

var _faults: Array[String] = []
var _members := 0


func _enter_tree() -> void:
	# An import starts the plugin, too.
	var words := OS.get_cmdline_user_args()
	if "look" in words:
		_look.call_deferred()
	elif "watch" in words:
		_watch.call_deferred(words)


func _look() -> void:
	await _frames(10)
	for type in CLASSES:
		var page := await _page(type)
		_faults.append_array(_undescribed(type, page))
	await _know_a_bad_page()
	_icons()
	_settings()
	for fault in _faults:
		print("EDITOR FAULT: ", fault)
	if _members < 150:
		print("EDITOR FAULT: only %d members were seen" % _members)
	elif _faults.is_empty():
		print("EDITOR OK: %d members" % _members)
	get_tree().quit()


## `watch PORT [PICTURE SECONDS]`
func _watch(words: PackedStringArray) -> void:
	await _frames(10)
	var watch := Watch.new(self)
	if words.size() > 3:
		await watch.run(words[1].to_int(), words[2], words[3].to_float())
	else:
		await watch.run(words[1].to_int(), "", 3.0)
	for fault in watch.faults:
		print("EDITOR FAULT: ", fault)
	if watch.faults.is_empty():
		print("EDITOR OK: ", watch.seen)
	get_tree().quit()


## The text of a help page.
func _page(type: String) -> String:
	var editor := EditorInterface.get_script_editor()
	editor.goto_help("class_name:" + type)
	var end := Time.get_ticks_msec() + TIMEOUT_MSEC
	while Time.get_ticks_msec() < end:
		await _frames(2)
		for label: RichTextLabel in editor.find_children("*", "RichTextLabel", true, false):
			var help := label.get_parent()
			if help.get_class() == "EditorHelp" and help.name == type:
				var text := label.get_parsed_text()
				if text.contains("Property Descriptions") or text.contains("Method Descriptions"):
					return text
	return ""


func _undescribed(type: String, page: String) -> Array[String]:
	var faults: Array[String] = []
	if page.is_empty():
		return [type + " has no help page"]
	var lines := page.split("\n")
	if not page.contains("Description\n") or page.contains(EMPTY + " for this class"):
		faults.append(type + " has no description")
	if page.contains("```"):
		faults.append("%s: an example is not shown as code" % type)
	for signal_info in ClassDB.class_get_signal_list(type, true):
		_expect(faults, lines, type, signal_info.name, "^\\s*● %s\\(" % signal_info.name)
	for constant in ClassDB.class_get_integer_constant_list(type, true):
		_expect(faults, lines, type, constant, "^\\s*● %s\\W" % constant)
	var accessors: Array[String] = []
	for property in ClassDB.class_get_property_list(type, true):
		if property.usage & PROPERTY_USAGE_CATEGORY:
			continue
		# The help runs type, name and accessors together.
		var pattern := "^\\s*● \\w*?%s(set_\\w+|is_\\w+)\\(value\\) setter" % property.name
		_expect(faults, lines, type, property.name, pattern)
		for prefix in ["get_", "set_", "is_"]:
			accessors.append(prefix + property.name)
			accessors.append(prefix + property.name + "_enabled")
	for method in ClassDB.class_get_method_list(type, true):
		if not method.name in accessors and not method.flags & METHOD_FLAG_VIRTUAL:
			_expect(faults, lines, type, method.name, "^\\s*● \\w+ ?%s\\(" % method.name)
	if page.contains(EMPTY):
		faults.append('%s: the page says "%s"' % [type, EMPTY])
	return faults


## A line of the page begins the member, and words follow it.
func _expect(
	faults: Array[String], lines: PackedStringArray, type: String, member: String, pattern: String
) -> void:
	_members += 1
	var regex := RegEx.create_from_string(pattern)
	for index in lines.size():
		if regex.search(lines[index]) == null:
			continue
		for next in range(index + 1, mini(index + 6, lines.size())):
			var text := lines[next].strip_edges()
			if text.is_empty():
				continue
			if text.begins_with("●") or text.contains(EMPTY):
				break
			return
		faults.append("%s.%s has no description" % [type, member])
		return
	faults.append("%s.%s is not in the help" % [type, member])


## This test must be able to fail.
func _know_a_bad_page() -> void:
	var good := await _page("WebSocketServer")
	var seen := _members
	var signal_text := "Emitted in raw mode when get_peer(id) has one more packet."
	var signal_gone := good.replace(signal_text, "")
	var method_gone := good.replace(
		"Returns true if the server listens.", EMPTY + " for this method."
	)
	var one_gone := good.replace("● peer_drained(", "● somebody_else(")
	for page: String in [signal_gone, method_gone, one_gone]:
		if page == good:
			_faults.append("the help no longer has the text that this test takes out")
		elif _undescribed("WebSocketServer", page).is_empty():
			_faults.append("a page that lacks something passes")
	_members = seen


func _icons() -> void:
	var manifest := ConfigFile.new()
	if manifest.load(MANIFEST) != OK:
		_faults.append("the manifest cannot be read")
		return
	for type in CLASSES:
		var path: String = manifest.get_value("icons", type, "")
		var icon := load(MANIFEST.get_base_dir().path_join(path)) as Texture2D
		if icon == null or icon.get_size() != Vector2(16, 16):
			_faults.append("the icon of %s, %s, is no picture of 16 x 16" % [type, path])


func _settings() -> void:
	var hinted := 0
	for property in ProjectSettings.get_property_list():
		var name: String = property.name
		if name.begins_with("network/limits/websocket") or name.begins_with("network/websocket/"):
			if property.hint in [PROPERTY_HINT_RANGE, PROPERTY_HINT_ENUM]:
				hinted += 1
			else:
				_faults.append("the project setting %s has no hint" % name)
	if hinted < 12:
		_faults.append("only %d project settings are shown" % hinted)


func _frames(count: int) -> void:
	for frame in count:
		await get_tree().process_frame
