extends Control
## The screen of the raw-mode chat: open a room, or enter one. Browsers enter it with web/chat.html.

const Address := preload("res://net/address.gd")
const CommandLine := preload("res://scripted/command_line.gd")
const Palette := preload("res://game/palette.gd")
const ChatServer := preload("res://chat/chat_server.gd")
const ChatClient := preload("res://chat/chat_client.gd")

const LOBBY := "res://main.tscn"
const PAGE := "res://web/chat.html"
const DEFAULT_PORT := 9081

## A message to everybody who joins.
var _greeting := ""
## Seat -> name, for everybody in the room.
var _people := {}

@onready var _server: ChatServer = $Server
@onready var _client: ChatClient = $Client
@onready var _entrance: Control = %Entrance
@onready var _room: Control = %Room
@onready var _name: LineEdit = %Name
@onready var _address: LineEdit = %Address
@onready var _port: LineEdit = %Port
@onready var _message: Label = %Message
@onready var _where: Label = %Where
@onready var _who: RichTextLabel = %Who
@onready var _log: RichTextLabel = %Log
@onready var _line: LineEdit = %Line


func _ready() -> void:
	# Unlike in the game, the text has the same size in small and large windows.
	get_window().content_scale_mode = Window.CONTENT_SCALE_MODE_DISABLED
	var options := CommandLine.parse(OS.get_cmdline_user_args()) as CommandLine
	_greeting = options.say
	_name.text = options.player_name if options.player_name else "Ada"
	_address.text = options.url if options.url else "127.0.0.1:%d" % DEFAULT_PORT
	_port.text = str(options.port if options.role == "chat" else DEFAULT_PORT)
	_server.noted.connect(_on_noted)
	_client.entered.connect(_on_entered)
	_client.heard.connect(_on_heard)
	_client.ended.connect(_on_ended)
	%Enter.pressed.connect(_enter)
	%Open.pressed.connect(_open)
	%Leave.pressed.connect(_leave)
	%Back.pressed.connect(get_tree().change_scene_to_file.bind(LOBBY))
	%Browser.pressed.connect(OS.shell_open.bind(ProjectSettings.globalize_path(PAGE)))
	%Browser.visible = OS.has_feature("editor")
	_address.text_submitted.connect(func(_text: String) -> void: _enter())
	_port.text_submitted.connect(func(_text: String) -> void: _open())
	_line.text_submitted.connect(_on_line_submitted)
	_show_room(false)
	if options.role == "chat":
		_obey(options)


func _exit_tree() -> void:
	get_window().content_scale_mode = Window.CONTENT_SCALE_MODE_CANVAS_ITEMS


## Opens a room from the command line. Without a window, the process is only a server.
func _obey(options: CommandLine) -> void:
	if options.url:
		_enter()
		return
	var problem := _server.start(options.port)
	if problem:
		print("DEMO FAILED: %s" % problem)
		get_tree().quit(1)
		return
	if options.window:
		_address.text = "127.0.0.1:%d" % options.port
		_client.entered.connect(_announce.bind(options.port).unbind(1), CONNECT_ONE_SHOT)
		_enter()
	else:
		_announce(options.port)


## Tells the process that has started this one that the room is open.
func _announce(port: int) -> void:
	print("READY %d" % port)


func _open() -> void:
	var port := Address.parse_port(_port.text)
	if port < 0:
		_complain("The port must be a number from 1 to 65535")
		return
	var problem := _server.start(port)
	if problem:
		_complain(problem)
		return
	_address.text = "127.0.0.1:%d" % port
	_enter()


func _enter() -> void:
	var url := Address.to_url(_address.text)
	var problem := (
		_client.join(url, _name.text) if url else "This is not an address. Try 127.0.0.1:9081"
	)
	_complain(problem)
	if problem.is_empty():
		_message.text = "Connecting to %s ..." % url


func _leave() -> void:
	_client.leave()
	_server.stop()


func _on_line_submitted(text: String) -> void:
	_line.clear()
	if text.strip_edges():
		_client.say(text)
	_line.grab_focus.call_deferred()


func _on_entered(people: Array) -> void:
	_people.clear()
	for person: Dictionary in people:
		_people[int(person.seat)] = person.name
	_where.text = _client.url
	_log.clear()
	_show_room(true)
	_note("You have joined as %s." % _client.my_name)


func _on_heard(message: Dictionary) -> void:
	var seat := int(message.get("seat", 0))
	var person := str(message.get("name", ""))
	match message.get("type"):
		"said":
			_new_line()
			_add(person, Palette.player(seat).lightened(0.2))
			_add("  " + str(message.get("text", "")), Palette.TEXT)
			_on_noted("%s: %s" % [person, message.get("text", "")])
		"joined":
			_people[seat] = person
			_note("%s has joined" % person)
			if _greeting:
				_client.say(_greeting.format({"name": person}))
		"left":
			_people.erase(seat)
			_note("%s has left" % person)
	_show_people()


func _on_ended(reason: String) -> void:
	_server.stop()
	_show_room(false)
	_complain(reason)


func _on_noted(text: String) -> void:
	if DisplayServer.get_name() == "headless":
		print(text)


func _note(text: String) -> void:
	_new_line()
	_add(text, Palette.TEXT_DIM)


func _new_line() -> void:
	if _log.get_parsed_text():
		_log.newline()


## Texts of other people are added as text, never parsed for tags.
func _add(text: String, colour: Color) -> void:
	_log.push_color(colour)
	_log.add_text(text)
	_log.pop()


func _complain(text: String) -> void:
	_message.text = text
	_message.add_theme_color_override(&"font_color", Palette.BAD if text else Palette.TEXT_DIM)


func _show_room(shown: bool) -> void:
	_room.visible = shown
	_entrance.visible = not shown
	_complain("")
	_show_people()
	if shown:
		_line.grab_focus()


func _show_people() -> void:
	_who.clear()
	var seats := _people.keys()
	seats.sort()
	for seat: int in seats:
		_who.push_color(Palette.player(seat))
		_who.add_text("•  ")
		_who.pop()
		_who.add_text("%s\n" % _people[seat])
