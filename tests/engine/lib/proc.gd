extends RefCounted
## Information of the operating system about a process. Only for Linux; elsewhere all values are unknown.

const MOST_BYTES := 16384


static func is_available() -> bool:
	return FileAccess.file_exists("/proc/self/status")


## Returns the resident memory of this process in MiB, native code included; -1 if unknown.
static func resident_mib() -> float:
	var text := _status("self", "VmRSS")
	return -1.0 if text.is_empty() else text.to_int() / 1024.0


static func threads() -> int:
	var text := _status("self", "Threads")
	return -1 if text.is_empty() else text.to_int()


## Returns false if the process has ended, whether or not its parent has collected it.
static func is_running(id: int) -> bool:
	var state := _status(str(id), "State")
	return not state.is_empty() and not state.begins_with("Z") and not state.begins_with("X")


static func _status(process: String, key: String) -> String:
	var file := FileAccess.open("/proc/%s/status" % process, FileAccess.READ)
	# Read at once: these files have no length, and reading by lines would never end if the process
	# ended between two of them.
	var text := "" if file == null else file.get_buffer(MOST_BYTES).get_string_from_utf8()
	for line in text.split("\n"):
		if line.begins_with(key + ":"):
			return line.trim_prefix(key + ":").strip_edges()
	return ""
