# The scripts of a web export have the members of the addon's classes, with the same arguments, defaults and types, apart from the named
# differences. One process writes down what the addon has, the other compares.
# processes: addon web
# web: web
extends "res://lib/case.gd"

const Peers := preload("res://lib/peers.gd")
const CLASSES: Array[String] = [
	"WebSocketServer",
	"WebSocketClient",
	"BufferedWebSocketMultiplayerPeer",
	"BufferedWebSocketPeer",
]
const FILE := "surface.json"

## What the scripts have besides.
const MORE := {
	# A hidden tab and a browser's heartbeat exist in a browser only.
	"run_in_background": ["WebSocketClient", "BufferedWebSocketMultiplayerPeer"],
	"set_run_in_background": ["WebSocketClient", "BufferedWebSocketMultiplayerPeer"],
	"offer_alive": ["WebSocketClient", "BufferedWebSocketMultiplayerPeer"],
	# A script cannot extend PacketPeerExtension, so the members of PacketPeer are its own.
	"encode_buffer_max_size": ["BufferedWebSocketPeer"],
	"get_available_packet_count": ["BufferedWebSocketPeer"],
	"get_packet": ["BufferedWebSocketPeer"],
	"get_packet_error": ["BufferedWebSocketPeer"],
	"get_var": ["BufferedWebSocketPeer"],
	"put_var": ["BufferedWebSocketPeer"],
}
## What is not the same, in the addon and in the scripts.
const CHANGED := {
	# In a browser, a session changes the URL that is asked for.
	"resume_enabled: bool = true": "bool = false",
	# MultiplayerPeer has a method of this name whose second argument is a bool.
	'disconnect_peer(id: int, code: int = 1000, reason: String = "")':
	'disconnect_peer(id: int, code: Variant = 1000, reason: String = "")',
}
const BASES := {
	"WebSocketServer": "MultiplayerPeerExtension",
	"WebSocketClient": "MultiplayerPeerExtension",
	"BufferedWebSocketMultiplayerPeer": "MultiplayerPeerExtension",
	"BufferedWebSocketPeer": "RefCounted",
}


func run() -> void:
	var surface := {}
	for type in CLASSES:
		surface[type] = _of_addon(type) if role == "addon" else _of_script(type)
	if role == "addon":
		leave(FILE, JSON.stringify(surface))
		ready_line()
		return
	var addon: Dictionary = JSON.parse_string(FileAccess.get_file_as_string(scratch(FILE)))
	for type in CLASSES:
		check(addon[type]["methods"].size() > 20, "the addon's %s has few methods" % type)
		for kind: String in addon[type]:
			_compare(type, kind, addon[type][kind], surface[type][kind])
		var script := Peers.script_of(type)
		check_eq(script.get_instance_base_type(), StringName(BASES[type]), type + ": base")


func _compare(type: String, kind: String, in_addon: Dictionary, in_scripts: Dictionary) -> void:
	for member: String in in_addon:
		if not check(in_scripts.has(member), "%s: the script has no %s" % [type, member]):
			return
		var expected: String = in_addon[member]
		expected = CHANGED.get(expected, CHANGED.get("%s: %s" % [member, expected], expected))
		check_eq(in_scripts[member], expected, "%s: %s of %s" % [kind, member, type])
	for member: String in in_scripts:
		var known: bool = in_addon.has(member) or type in MORE.get(member, [])
		check(known, "%s: only the script has %s" % [type, member])


func _of_addon(type: String) -> Dictionary:
	var object: Object = ClassDB.instantiate(type)
	var constants := {}
	for name in ClassDB.class_get_integer_constant_list(type, true):
		constants[name] = str(ClassDB.class_get_integer_constant(type, name))
	return _surface(
		ClassDB.class_get_method_list(type, true),
		ClassDB.class_get_signal_list(type, true),
		ClassDB.class_get_property_list(type, true),
		constants,
		object
	)


func _of_script(type: String) -> Dictionary:
	var script := Peers.script_of(type)
	if not check(script != null, "there is no script " + type):
		return {}
	var properties := script.get_script_property_list().filter(
		func(one: Dictionary) -> bool: return one.usage & PROPERTY_USAGE_SCRIPT_VARIABLE
	)
	var constants := {}
	var base: Script = script
	while base != null:
		var map := base.get_script_constant_map()
		for name: String in map:
			if map[name] is int:
				constants[name] = str(map[name])
		base = base.get_base_script()
	return _surface(
		script.get_script_method_list(),
		script.get_script_signal_list(),
		properties,
		constants,
		script.new()
	)


## Names and how they are shown. Members that begin with an underscore are private, or virtual.
func _surface(
	methods: Array, signals: Array, properties: Array, constants: Dictionary, object: Object
) -> Dictionary:
	var surface := {"methods": {}, "signals": {}, "properties": {}, "constants": {}}
	for method: Dictionary in methods:
		if not method.name.begins_with("_"):
			surface.methods[method.name] = _signature(method) + _returned(method)
	for one: Dictionary in signals:
		surface.signals[one.name] = _signature(one)
	for property: Dictionary in properties:
		if not property.name.begins_with("_"):
			surface.properties[property.name] = (
				"%s = %s" % [_type(property), var_to_str(object.get(property.name))]
			)
	for name: String in constants:
		if not name.begins_with("_"):
			surface.constants[name] = constants[name]
	if object.has_method("get_statistics"):
		surface["statistics"] = {"keys": str(object.call("get_statistics").keys())}
	return surface


func _signature(method: Dictionary) -> String:
	var arguments: Array[String] = []
	var first_default: int = method.args.size() - method.default_args.size()
	for index: int in method.args.size():
		var argument: Dictionary = method.args[index]
		# A script names an argument that it does not use with an underscore.
		var shown := "%s: %s" % [argument.name.trim_prefix("_"), _type(argument)]
		if index >= first_default:
			var default: Variant = method.default_args[index - first_default]
			# The description of a script does not have the elements of a default array.
			if default == null and argument.type == TYPE_PACKED_STRING_ARRAY:
				default = PackedStringArray()
			shown += " = " + ('"%s"' % default if default is String else str(default))
		arguments.append(shown)
	return "%s(%s)" % [method.name, ", ".join(arguments)]


func _returned(method: Dictionary) -> String:
	var type := _type(method.return)
	return "" if type.is_empty() else " -> " + type


func _type(info: Dictionary) -> String:
	match info.type:
		TYPE_NIL:
			return "Variant" if info.usage & PROPERTY_USAGE_NIL_IS_VARIANT else ""
		TYPE_OBJECT:
			return info.class_name
	var enumeration: String = info.class_name
	return type_string(info.type) + ("" if enumeration.is_empty() else " " + enumeration)
