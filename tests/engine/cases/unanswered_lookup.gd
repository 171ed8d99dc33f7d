# The addon is unloaded during a name look-up, by a game that quits and by an editor that reloads it: nothing hangs, nothing crashes when
# the answer arrives afterwards, and the exit code is 0.
# processes: main
# timeout: 180
# serial
extends "res://lib/case.gd"

const OtherEngine := preload("res://lib/engine.gd")
## What `close_timeout` and the end of an engine take, many times over; the answer never comes.
const SOON := 60.0


func run() -> void:
	# The resolver is replaced in the manner of Linux, by a few lines of C.
	if OS.get_name() != "Linux" or OS.execute("cc", ["--version"]) != 0:
		print("not tried: it takes Linux and a C compiler")
		return
	var engine := OtherEngine.new(self, "unanswered", "res://unanswered")
	DirAccess.rename_absolute(
		engine.folder.path_join("reloader"), engine.folder.path_join("addons/reloader")
	)
	var resolver := engine.folder.path_join("resolver.so")
	var source := engine.folder.path_join("resolver.c")
	var output := []
	var words := ["-shared", "-fPIC", "-O1", "-o", resolver, source, "-ldl"]
	check_eq(OS.execute("cc", words, output, true), 0, "cc: %s" % "".join(output))
	OS.set_environment("RESOLVER_FOLDER", engine.folder)
	OS.set_environment("LD_PRELOAD", resolver)
	var started := Time.get_ticks_usec()
	var text := engine.run(["-s", "res://quitter.gd"])
	var took := (Time.get_ticks_usec() - started) / 1e6
	print(text.indent("    "))
	check(text.contains("QUITS") and took < SOON, "a game that quit was there for %.1f s" % took)
	check(text.contains("look-ups of host names"), "a line says what was left behind")
	DirAccess.remove_absolute(engine.folder.path_join("asked"))
	text = engine.run(["--editor"])
	print(text.indent("    "))
	check(text.contains("RELOADED"), "the editor ended without having reloaded")
	OS.unset_environment("LD_PRELOAD")
	engine.remove()
