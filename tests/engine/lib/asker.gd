extends RefCounted
## A logger of the engine (4.5 and later) that runs a function for each line. In older engines `is_available()` is false.

const SOURCE := """
extends Logger

var handler: Callable

func _log_message(message: String, _error: bool) -> void:
	handler.call(message)

func _log_error(_function: String, _file: String, _line: int, code: String, rationale: String,
		_editor_notify: bool, _error_type: int, _backtraces: Array[ScriptBacktrace]) -> void:
	handler.call(code if rationale.is_empty() else rationale)
"""

var _logger: Variant = null


func _init(handler: Callable) -> void:
	if not ClassDB.class_exists(&"Logger"):
		return
	# The class does not exist in 4.3 and 4.4: a script that names it would not parse there.
	var script := GDScript.new()
	script.source_code = SOURCE
	script.reload()
	_logger = script.new()
	_logger.handler = handler
	OS.call(&"add_logger", _logger)


func is_available() -> bool:
	return _logger != null


func stop() -> void:
	if is_available():
		OS.call(&"remove_logger", _logger)
		_logger.handler = Callable()
		_logger = null
