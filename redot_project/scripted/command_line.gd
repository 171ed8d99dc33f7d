extends RefCounted
## What stands behind `--` on the command line, checked.

const USAGE := """Arguments after --:
  server port=N expect=K seconds=S [window]          scripted session for K clients, then a report
  server port=N [window] [name=NAME]                 a host in a window, or a dedicated server
  client name=NAME url=ws://host:port seconds=S [window]   scripted player, then a report
  client name=NAME url=ws://host:port window         play by hand
Without arguments the lobby opens."""

const Address := preload("res://net/address.gd")

## "", "server" or "client".
var role := ""
var player_name := ""
var url := ""
var port := Address.DEFAULT_PORT
var expect := 0
var seconds := 0.0
var window := false
## What is wrong with the arguments, in words.
var problem := ""


static func parse(arguments: PackedStringArray) -> RefCounted:
	var options: RefCounted = new()
	for argument in arguments:
		options._take(argument)
	options._check()
	return options


func is_scripted() -> bool:
	return not role.is_empty() and seconds > 0.0


func _take(argument: String) -> void:
	var key := argument.get_slice("=", 0)
	var value := argument.substr(key.length() + 1)
	match key:
		"server", "client":
			role = key
		"window":
			window = true
		"name":
			player_name = value
		"url":
			url = Address.to_url(value)
			if url.is_empty():
				problem = "url=%s is no WebSocket address" % value
		"port":
			port = Address.parse_port(value)
			if port < 0:
				problem = "port=%s is not a number from 1 to 65535" % value
		"expect":
			expect = value.to_int()
			if expect < 1:
				problem = "expect=%s is not a number of clients" % value
		"seconds":
			seconds = value.to_float()
			if seconds < 1.0:
				problem = "seconds=%s is not a time of at least one second" % value
		_:
			problem = "unknown argument %s" % argument


func _check() -> void:
	if problem or role.is_empty():
		return
	if role == "client" and url.is_empty():
		problem = "a client needs url=ws://host:port"
	elif role == "client" and not is_scripted() and not window:
		problem = "a client without a window needs seconds=S"
	elif role == "server" and (expect > 0) != (seconds > 0.0):
		problem = "a scripted server needs both expect=K and seconds=S"
