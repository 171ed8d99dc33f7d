extends RefCounted
## Reads and checks the arguments after `--` on the command line.

const USAGE := """Arguments after --:
  server port=N expect=K seconds=S [window]          scripted session for K clients, then a report
  server port=N [window] [name=NAME] [bots=B]        a host in a window, or a dedicated server
  client name=NAME url=ws://host:port seconds=S [window]   scripted player, then a report
  client name=NAME url=ws://host:port window         play by hand
  chat port=N [window]                               a room of the text chat, for browsers as well
  chat url=ws://host:port window                     enter such a room
and for each of them:
  tls=HOST             a server's certificate for that name; clients use wss://HOST:port instead
  trust=host|authorities|anybody                     whose certificate a client takes
  auto                 the own disc plays by itself
  say=TEXT             said to everybody who comes in; {name} is who it is
  class=engine         the engine's own class, although the addon is there
  picture=FILE after=S                               save what the window shows, and quit
Without arguments the lobby opens."""

const Address := preload("res://net/address.gd")
const PeerFactory := preload("res://net/peer_factory.gd")
const TRUST := {
	"host": PeerFactory.Trust.HOST,
	"authorities": PeerFactory.Trust.AUTHORITIES,
	"anybody": PeerFactory.Trust.ANYBODY,
}

## "", "server", "client" or "chat".
var role := ""
var player_name := ""
var url := ""
var port := Address.DEFAULT_PORT
var expect := 0
var seconds := 0.0
var window := false
var bots := 0
## Whether the computer steers this player's disc.
var auto := false
## A message to everybody who joins.
var say := ""
## The name in a server's certificate; if empty, the game is not encrypted.
var tls := ""
var trust := PeerFactory.Trust.HOST
var use_engine_class := false
## A file for a picture, and the seconds until it is taken.
var picture := ""
var after := 3.0
## The error in the arguments; empty if there is none.
var problem := ""


static func parse(arguments: PackedStringArray) -> RefCounted:
	var options: RefCounted = new()
	for argument in arguments:
		options._take(argument)
	options._check()
	return options


func is_scripted() -> bool:
	return role in ["server", "client"] and seconds > 0.0


func _take(argument: String) -> void:
	var key := argument.get_slice("=", 0)
	var value := argument.substr(key.length() + 1)
	match key:
		"server", "client", "chat":
			role = key
		"window":
			window = true
		"name":
			player_name = value
		"url":
			url = Address.to_url(value)
			if url.is_empty():
				problem = "url=%s is not a WebSocket address" % value
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
			_take_more(argument, key, value)


func _take_more(argument: String, key: String, value: String) -> void:
	match key:
		"bots":
			bots = value.to_int()
			if bots < 0 or bots > 8:
				problem = "bots=%s is not a number from 0 to 8" % value
		"auto":
			auto = true
		"say":
			say = value
		"tls":
			tls = value
			if tls.is_empty():
				problem = "tls= needs the name that players will type, for example tls=localhost"
		"trust":
			trust = TRUST.get(value, PeerFactory.Trust.HOST)
			if not TRUST.has(value):
				problem = "trust=%s is not one of %s" % [value, ", ".join(TRUST.keys())]
		"class":
			use_engine_class = value == "engine"
			if value not in ["engine", "addon"]:
				problem = "class=%s is neither engine nor addon" % value
		"picture":
			picture = value
		"after":
			after = value.to_float()
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
	elif role == "chat" and url and not window:
		problem = "entering a chat room needs a window"
