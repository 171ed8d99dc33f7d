extends Control
## The chat at the bottom left: Enter opens the line, Enter sends, Escape closes it.

signal said(text: String)

const Palette := preload("res://game/palette.gd")
const KEEP_LINES := 60

var _lines := 0

@onready var _log: RichTextLabel = %Log
@onready var _line: LineEdit = %Line


func _ready() -> void:
	_line.text_submitted.connect(_on_submitted)


func _input(event: InputEvent) -> void:
	if not is_visible_in_tree():
		return
	if _line.has_focus() and event.is_action_pressed(&"leave"):
		_line.release_focus()
		get_viewport().set_input_as_handled()
	elif not _line.has_focus() and event.is_action_pressed(&"chat"):
		_line.grab_focus()
		get_viewport().set_input_as_handled()


func is_typing() -> bool:
	return _line.has_focus()


func clear() -> void:
	_log.clear()
	_line.clear()
	_lines = 0


## Texts of other people are added as text, never parsed for tags.
func add_line(player_name: String, colour: Color, text: String) -> void:
	_new_line()
	_log.push_color(colour.lightened(0.25))
	_log.add_text(player_name)
	_log.pop()
	_log.add_text("  " + text)


func add_note(text: String) -> void:
	_new_line()
	_log.push_color(Palette.TEXT_DIM)
	_log.add_text(text)
	_log.pop()


func _new_line() -> void:
	if _lines > 0:
		_log.newline()
	_lines += 1
	if _lines > KEEP_LINES:
		_log.remove_paragraph(0)
		_lines -= 1


func _on_submitted(text: String) -> void:
	_line.clear()
	_line.release_focus()
	if text.strip_edges():
		said.emit(text)
