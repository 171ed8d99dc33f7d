extends RefCounted
## One process of a fleet: the script of docs/deploying.md, with matches that end after some seconds.

const Case := preload("res://lib/case.gd")
const Doc := preload("res://lib/doc.gd")
const MATCH_SECONDS := 4.0
## Ends a process whose director is gone.
const LONGEST := 140.0

var _case: Case
var _node: Node
var _server: WebSocketServer
var _instance := ""
## Path -> the time of the end of its match.
var _ends := {}


func serve(case: Case) -> void:
	_case = case
	Engine.max_fps = 30
	_instance = "%s:%d" % [case.name, OS.get_process_id()]
	OS.set_environment("RUNTIME_DIRECTORY", case.scratch(case.name))
	var script := GDScript.new()
	# The case ends this process in its own way.
	var source := Doc.block("deploying.md", "fleet")
	_case.check(source.contains("get_tree().quit()"), "the script in the documentation")
	script.source_code = source.replace("get_tree().quit()", 'set_meta(&"over", true)')
	_case.check_eq(script.reload(), OK, "the script in the documentation")
	_node = script.new()
	_server = _node.get("server")
	_server.peer_connected.connect(_welcome)
	_case.root.add_child(_node)
	_case.check_eq(_server.listen(_case.port, PackedStringArray(), true), OK, "listen")
	_case.leave("up_" + _instance, "")
	var end := Time.get_ticks_msec() + int(LONGEST * 1000)
	while not _case.is_left("over") and not _node.has_meta(&"over") and Time.get_ticks_msec() < end:
		_server.poll()
		while _server.get_available_packet_count() > 0:
			_server.get_packet()
		_end_matches()
		await _case.process_frame
	_server.close()


func _welcome(id: int) -> void:
	_send(id, "at " + _instance)


func _end_matches() -> void:
	var rooms: Dictionary = _node.get("rooms")
	var now := Time.get_ticks_msec()
	for path: String in rooms.keys():
		if not _ends.has(path):
			_ends[path] = now + int(MATCH_SECONDS * 1000)
		elif now > _ends[path]:
			for id: int in rooms[path].duplicate():
				_send(id, "over")
				_server.disconnect_peer(id, 1000, "over")
	for path: String in _ends.keys():
		if not rooms.has(path):
			_ends.erase(path)


func _send(id: int, text: String) -> void:
	_server.set_target_peer(id)
	_case.check_eq(_server.put_packet(text.to_utf8_buffer()), OK, text)
