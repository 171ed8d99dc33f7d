# The project settings exist with their defaults and hints, are read when an object is created, and an invalid value causes a warning
# with its name.
# processes: main
# expect: ^WARNING: .+ setting network/limits/\w+server/max_in_buffer_kb is 0; .+ 64\.$
# expect: ^WARNING: .+ setting network/limits/\w+client/max_out_packets is -5; .+ 1024\.$
# expect: ^WARNING: .+ setting network/limits/\w+server/max_out_buffer_kb is many;
# expect: ^WARNING: .+ setting network/limits/\w+server/max_out_buffer_kb is 64\.5;
# expect: ^WARNING: .+ setting network/limits/\w+server/max_connections is -1;
# expect: ^WARNING: .+ setting network/limits/\w+/max_pending_connections is 0;
# expect: ^WARNING: .+ setting network/limits/websocket_total_queue_mb is 0;
# expect: ^WARNING: .+ setting network/websocket/log_level is 6;
# expect: ^WARNING: .+ setting network/websocket/compression_mode is 3;
# expect: ^WARNING: .+ setting network/websocket/compression_threshold is -1;
# expect: ^ERROR: WebSocketServer\.put_packet\(\): packet of .+ raise network/limits/
extends "res://lib/case.gd"

const ErrorLines := preload("res://lib/error_lines.gd")
const LIMITS := "network/limits/websocket_"
const LOG_LEVEL := "network/websocket/log_level"
const COMPRESSION := "network/websocket/compression_"
const MONITORS := "network/websocket/monitors"
const SAVED := "user://saved_settings.godot"

var _lines := ErrorLines.new()


func run() -> void:
	_exist()
	_are_saved_only_when_changed()
	_are_read_when_an_object_is_made()
	_compression()
	_feature_overrides_count()
	_bad_values()
	_log_level()
	_lines.stop()


func _exist() -> void:
	for role in ["server/", "client/"]:
		for direction in ["in", "out"]:
			_exists(LIMITS + role + "max_%s_buffer_kb" % direction, 64, "2,4096,1,or_greater")
			_exists(LIMITS + role + "max_%s_packets" % direction, 1024, "2,16384,1,or_greater")
	_exists(LIMITS + "server/max_connections", 0)
	_exists(LIMITS + "server/max_pending_connections", 1024)
	_exists(LIMITS + "total_queue_mb", 512)
	_exists("network/websocket/simulate_in_release", 0, "No,Yes", PROPERTY_HINT_ENUM)
	_exists(LOG_LEVEL, 3, "Off,Error,Warn,Info,Debug,Trace", PROPERTY_HINT_ENUM)
	_exists(COMPRESSION + "mode", 0, "Off,Shared,Dedicated", PROPERTY_HINT_ENUM)
	_exists(COMPRESSION + "threshold", 1024, "0,65536,1,or_greater,suffix:B")
	_exists(MONITORS, 1, "Off,Debug Builds,Always", PROPERTY_HINT_ENUM)


func _exists(setting: String, default: int, hint_string := "", hint := PROPERTY_HINT_RANGE) -> void:
	if not check(ProjectSettings.has_setting(setting), "there is no " + setting):
		return
	check_eq(ProjectSettings.get_setting(setting), default, setting)
	check_eq(ProjectSettings.property_get_revert(setting), default, setting + ": initial value")
	check(ProjectSettings.get_order(setting) < 65536, setting + " would count as the user's own")
	for property in ProjectSettings.get_property_list():
		if property.name == setting:
			check_eq(property.type, TYPE_INT, setting + ": type")
			check_eq(property.hint, hint, setting + ": hint")
			if not hint_string.is_empty():
				check_eq(property.hint_string, hint_string, setting + ": hint string")
			return
	fail(setting + " is not listed")


func _are_saved_only_when_changed() -> void:
	ProjectSettings.set_setting(LIMITS + "client/max_in_packets", 4096)
	check_eq(ProjectSettings.save_custom(SAVED), OK, "save_custom()")
	var saved := FileAccess.get_file_as_string(SAVED)
	check(
		saved.contains("limits/websocket_client/max_in_packets=4096"),
		"the changed setting is not saved"
	)
	check(not saved.contains("websocket_server"), "an unchanged setting is saved")
	ProjectSettings.set_setting(LIMITS + "client/max_in_packets", 1024)
	DirAccess.remove_absolute(ProjectSettings.globalize_path(SAVED))


func _are_read_when_an_object_is_made() -> void:
	var before := WebSocketServer.new()
	ProjectSettings.set_setting(LIMITS + "server/max_in_buffer_kb", 200)
	ProjectSettings.set_setting(LIMITS + "server/max_out_buffer_kb", 2)
	ProjectSettings.set_setting(LIMITS + "server/max_connections", 7)
	ProjectSettings.set_setting(LIMITS + "server/max_pending_connections", 9)
	ProjectSettings.set_setting(LIMITS + "client/max_in_buffer_kb", 3.0)
	check_eq(before.max_message_size_kb, 64, "an object made before")
	var server := WebSocketServer.new()
	check_eq(server.max_message_size_kb, 256, "200 KiB rounded up")
	check_eq(server.max_connections, 7, "max_connections")
	check_eq(server.max_pending_connections, 9, "max_pending_connections")
	check_eq(WebSocketClient.new().max_message_size_kb, 4, "client, and a float without a fraction")
	var engines_class := BufferedWebSocketMultiplayerPeer.new()
	check_eq(engines_class.inbound_buffer_size, 65535, "the 4.x class has no project settings")
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listen()")
	var packet := PackedByteArray()
	packet.resize(2048)
	check_eq(server.put_packet(packet), OK, "a packet of max_out_buffer_kb")
	packet.resize(2049)
	check_eq(server.put_packet(packet), ERR_OUT_OF_MEMORY, "one byte more")
	server.stop()
	for setting in [
		"server/max_in_buffer_kb", "server/max_out_buffer_kb", "client/max_in_buffer_kb"
	]:
		ProjectSettings.set_setting(LIMITS + setting, 64)
	ProjectSettings.set_setting(LIMITS + "server/max_connections", 0)
	ProjectSettings.set_setting(LIMITS + "server/max_pending_connections", 1024)
	_lines.take()


func _compression() -> void:
	ProjectSettings.set_setting(COMPRESSION + "mode", 2)
	ProjectSettings.set_setting(COMPRESSION + "threshold", 64)
	for peer: MultiplayerPeer in [
		WebSocketServer.new(), WebSocketClient.new(), BufferedWebSocketMultiplayerPeer.new()
	]:
		check_eq(peer.get("compression_mode"), 2, "%s: compression_mode" % peer)
		check_eq(peer.get("compression_threshold"), 64, "%s: compression_threshold" % peer)
	ProjectSettings.set_setting(COMPRESSION + "mode", 0)
	ProjectSettings.set_setting(COMPRESSION + "threshold", 1024)


func _feature_overrides_count() -> void:
	var feature := OS.get_name().to_lower()
	check(OS.has_feature(feature), "the platform is no feature")
	var setting := LIMITS + "server/max_connections." + feature
	ProjectSettings.set_setting(setting, 3)
	check_eq(WebSocketServer.new().max_connections, 3, setting)
	ProjectSettings.set_setting(setting, null)
	check_eq(WebSocketServer.new().max_connections, 0, setting + " removed")


func _bad_values() -> void:
	_bad(LIMITS + "server/max_in_buffer_kb", 0, 64, _server_input)
	_bad(LIMITS + "client/max_out_packets", -5, 1024, WebSocketClient.new)
	_bad(LIMITS + "server/max_out_buffer_kb", "many", 64, WebSocketServer.new)
	_bad(LIMITS + "server/max_out_buffer_kb", 64.5, 64, WebSocketServer.new)
	_bad(LIMITS + "server/max_connections", -1, 0, WebSocketServer.new)
	_bad(LIMITS + "server/max_pending_connections", 0, 1024, WebSocketServer.new)
	_bad(LIMITS + "total_queue_mb", 0, 512, WebSocketClient.new)
	_bad(COMPRESSION + "mode", 3, 0, WebSocketClient.new)
	_bad(COMPRESSION + "threshold", -1, 1024, WebSocketClient.new)
	_bad(LOG_LEVEL, 6, 3, WebSocketClient.new)


func _server_input() -> void:
	check_eq(WebSocketServer.new().max_message_size_kb, 64, "the default in place of a bad value")


## One warning, however many objects are made, until the value was right again.
func _bad(setting: String, value: Variant, good: int, make: Callable) -> void:
	for time in 2:
		ProjectSettings.set_setting(setting, value)
		make.call()
		make.call()
		if _lines.is_available():
			var lines := _lines.take()
			check_eq(lines.size(), 1, "warnings about %s = %s: %s" % [setting, value, lines])
			check(lines[0].contains(setting), "%s does not name %s" % [lines[0], setting])
		ProjectSettings.set_setting(setting, good)
		make.call()
		check_eq(_lines.take(), [] as Array[String], "warnings about a good %s" % setting)


func _log_level() -> void:
	var told: Array[bool] = []
	for level: int in [0, 1, 2, 3, 4]:
		ProjectSettings.set_setting(LOG_LEVEL, level)
		var server := WebSocketServer.new()
		_lines.take_messages()
		check_eq(server.listen(0), OK, "listen()")
		var messages := _lines.take_messages()
		told.append(
			messages.any(
				func(line: String) -> bool: return line.begins_with("WebSocket: listening on ")
			)
		)
		server.stop()
	ProjectSettings.set_setting(LOG_LEVEL, 3)
	if _lines.is_available():
		check_eq(
			told,
			[false, false, false, true, true] as Array[bool],
			"lines about listening by log level"
		)
