# All members in the tables of docs/migrating-from-*.md exist.
# processes: main
extends "res://lib/case.gd"

const PAGES := {"migrating-from-3.md": 60, "migrating-from-4.md": 15}
const OURS: Array[String] = [
	"WebSocketServer",
	"WebSocketClient",
	"BufferedWebSocketMultiplayerPeer",
	"BufferedWebSocketPeer",
]


func run() -> void:
	var folder := ProjectSettings.globalize_path("res://").path_join("../../docs")
	var member := RegEx.create_from_string("`(\\w+)\\.(\\w+)`")
	for page: String in PAGES:
		var text := FileAccess.get_file_as_string(folder.path_join(page))
		var found := 0
		for line: String in text.split("\n"):
			if not line.begins_with("|"):
				continue
			for hit: RegExMatch in member.search_all(line):
				if hit.get_string(1) in OURS:
					found += 1
					_exists(page, StringName(hit.get_string(1)), StringName(hit.get_string(2)))
		check(found >= PAGES[page], "%s names only %d members" % [page, found])


func _exists(page: String, type: StringName, member: StringName) -> void:
	var properties := ClassDB.class_get_property_list(type)
	check(
		(
			ClassDB.class_has_method(type, member)
			or ClassDB.class_has_signal(type, member)
			or ClassDB.class_has_integer_constant(type, member)
			or properties.any(func(property: Dictionary) -> bool: return property.name == member)
		),
		"%s names %s.%s, which does not exist" % [page, type, member]
	)
