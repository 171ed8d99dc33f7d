extends SceneTree
# The exit code is the number of classes on the command line that the engine does not know.


func _init() -> void:
	var missing := 0
	for name in OS.get_cmdline_user_args():
		if not ClassDB.class_exists(name):
			missing += 1
			printerr("ERROR: there is no class " + name)
	quit(missing)
