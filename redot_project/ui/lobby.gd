extends Control
## First screen: who you are, where to go, and in words what went wrong last time.

signal host_wanted(port: int, player_name: String)
signal join_wanted(url: String, player_name: String)
signal cancelled

const Address := preload("res://net/address.gd")
const PeerFactory := preload("res://net/peer_factory.gd")
const Palette := preload("res://game/palette.gd")
const NAMES: Array[String] = ["Ada", "Linus", "Grace", "Alan", "Edsger", "Barbara", "Ken", "Radia"]

var busy := false

@onready var _name: LineEdit = %Name
@onready var _address: LineEdit = %Address
@onready var _port: LineEdit = %Port
@onready var _host: Button = %Host
@onready var _join: Button = %Join
@onready var _message: Label = %Message
@onready var _classes: Label = %Classes


func _ready() -> void:
	_name.text = NAMES.pick_random()
	_address.text = "127.0.0.1:%d" % Address.DEFAULT_PORT
	_port.text = str(Address.DEFAULT_PORT)
	_classes.text = PeerFactory.describe()
	_join.pressed.connect(_on_join_pressed)
	_host.pressed.connect(_on_host_pressed)
	_address.text_submitted.connect(func(_text: String) -> void: _on_join_pressed())
	_port.text_submitted.connect(func(_text: String) -> void: _on_host_pressed())
	if OS.has_feature("web"):
		_host.disabled = true
		_port.editable = false
		_host.tooltip_text = "A web page cannot host. Join somebody else's server."
	_show("", Palette.TEXT_DIM)
	_name.grab_focus()
	_name.select_all()


func show_error(text: String) -> void:
	_set_busy(false)
	_show(text, Palette.BAD)


func show_connecting(url: String) -> void:
	_set_busy(true)
	_show("Connecting to %s ..." % url, Palette.TEXT_DIM)


func reset() -> void:
	_set_busy(false)
	_show("", Palette.TEXT_DIM)


func _on_join_pressed() -> void:
	if busy:
		cancelled.emit()
		return
	var url := Address.to_url(_address.text)
	if url.is_empty():
		show_error("That is no address. Try 127.0.0.1:9080 or wss://example.org/game")
		return
	join_wanted.emit(url, _name.text)


func _on_host_pressed() -> void:
	var port := Address.parse_port(_port.text)
	if port < 0:
		show_error("The port is a number from 1 to 65535")
		return
	host_wanted.emit(port, _name.text)


func _set_busy(now: bool) -> void:
	busy = now
	_join.text = "Cancel" if busy else "Join"
	_host.disabled = busy or OS.has_feature("web")
	for field: LineEdit in [_name, _address, _port]:
		field.editable = not busy


func _show(text: String, colour: Color) -> void:
	_message.text = text
	_message.add_theme_color_override(&"font_color", colour)
