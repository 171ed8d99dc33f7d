extends RefCounted
## Collects the lines of this process, errors and warnings apart from messages, in engines that
## support this (4.5 and later). In older engines `is_available()` is false, and only the runner
## checks the lines.

const SOURCE := """
extends Logger

var lines: Array[String] = []
var messages: Array[String] = []

func _log_message(message: String, _error: bool) -> void:
	messages.append(message)

func _log_error(_function: String, _file: String, _line: int, code: String, rationale: String,
		_editor_notify: bool, _error_type: int, _backtraces: Array[ScriptBacktrace]) -> void:
	lines.append(code if rationale.is_empty() else rationale)
"""

var _logger: Variant = null


func _init() -> void:
	if not ClassDB.class_exists(&"Logger"):
		return
	# The class does not exist in 4.3 and 4.4: a script that names it would not parse there.
	var script := GDScript.new()
	script.source_code = SOURCE
	script.reload()
	_logger = script.new()
	OS.call(&"add_logger", _logger)


func is_available() -> bool:
	return _logger != null


## Returns the errors and warnings since the last call.
func take() -> Array[String]:
	var lines: Array[String] = []
	if is_available():
		lines.assign(_logger.lines)
		_logger.lines.clear()
	return lines


## Returns all other lines since the last call.
func take_messages() -> Array[String]:
	var messages: Array[String] = []
	if is_available():
		messages.assign(_logger.messages)
		_logger.messages.clear()
	return messages


func stop() -> void:
	if is_available():
		OS.call(&"remove_logger", _logger)
		_logger = null
