extends RefCounted
## The project settings that a new object reads.

const CLIENT: String = "network/limits/websocket_client/"
const SERVER: String = "network/limits/websocket_server/"

static var _warned: Dictionary = {}


## A whole number. For an invalid value a warning is printed, once until the value was valid in between, and the default counts.
static func read(name: String, default: int, least: int, most: int) -> int:
	# The addon's library registers them, and is not in a web export; project.godot has only what differs from the default.
	if not ProjectSettings.has_setting(name):
		ProjectSettings.set_setting(name, default)
	var value: Variant = ProjectSettings.get_setting_with_override(name)
	var is_whole: bool = value is int
	if value is float:
		var number: float = value
		is_whole = number == floorf(number) and absf(number) < 1e15
	if is_whole:
		@warning_ignore("unsafe_call_argument")
		var whole: int = int(value)
		if whole >= least and whole <= most:
			@warning_ignore("return_value_discarded")
			_warned.erase(name)
			return whole
	if not _warned.has(name):
		_warned[name] = true
		var text: String = (
			"WebSocket: project setting %s is %s; it must be a whole number from %d to %d. Using %d."
			% [name, value, least, most, default]
		)
		push_warning(text)
	return default
