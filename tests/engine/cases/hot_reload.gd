# The editor reloads the addon twice while a server and a client are connected: no crash, no thread is left, and the addon works again.
# processes: main
# timeout: 120
# serial
extends "res://lib/case.gd"

const OtherEngine := preload("res://lib/engine.gd")


func run() -> void:
	# A project of its own: the editor would write into the one of all the cases.
	var engine := OtherEngine.new(self, "hot_reload", "res://hot_reload")
	DirAccess.rename_absolute(
		engine.folder.path_join("reloader"), engine.folder.path_join("addons/reloader")
	)
	var started := Time.get_ticks_usec()
	var text := engine.run(["--editor"])
	print("the editor ended after %.1f s" % ((Time.get_ticks_usec() - started) / 1e6))
	check(text.contains("RELOADED"), "the editor ended without having reloaded: %s" % text)
	engine.remove()
