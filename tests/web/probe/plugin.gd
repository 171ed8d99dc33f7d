@tool
extends EditorPlugin

const Exporter := preload("exporter.gd")

var _exporter := Exporter.new()


func _enter_tree() -> void:
	add_export_plugin(_exporter)


func _exit_tree() -> void:
	remove_export_plugin(_exporter)
