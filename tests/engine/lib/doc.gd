extends RefCounted
## Reads code from the documentation, so that the tests run exactly that code.


## Returns the block of code after the comment `<!-- tested: NAME -->`; empty if there is none.
static func block(file: String, its_name: String) -> String:
	var path := ProjectSettings.globalize_path("res://").path_join("../../docs").path_join(file)
	var rest := FileAccess.get_file_as_string(path).get_slice(
		"<!-- tested: %s -->\n```" % its_name, 1
	)
	return rest.substr(rest.find("\n") + 1).get_slice("```", 0)


## Returns the value of the first line `KEY=value`.
static func line(file: String, key: String) -> String:
	var path := ProjectSettings.globalize_path("res://").path_join("../../docs").path_join(file)
	for one in FileAccess.get_file_as_string(path).split("\n"):
		if one.begins_with(key + "="):
			return one.trim_prefix(key + "=")
	return ""
