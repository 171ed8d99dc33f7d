extends Control
## The first screen: the player's name, hosting and joining, and the last error.

signal host_wanted(port: int, player_name: String, bots: int, certified_name: String)
signal join_wanted(url: String, player_name: String, trust: PeerFactory.Trust)
signal cancelled
signal chat_wanted

const Address := preload("res://net/address.gd")
const Identity := preload("res://net/identity.gd")
const PeerFactory := preload("res://net/peer_factory.gd")
const Palette := preload("res://game/palette.gd")
const NAMES: Array[String] = ["Ada", "Linus", "Grace", "Alan", "Edsger", "Barbara", "Ken", "Radia"]
const BOTS: Array[int] = [0, 1, 3, 5]
## In the order of PeerFactory.Trust.
const TRUST_HELP: Array[String] = [
	(
		"The host makes a certificate for the name that players type. "
		+ "Players on other machines need a copy of it in the folder."
	),
	"For a public server, whose certificate an authority such as Let's Encrypt has signed.",
	"Encrypted, but an attacker could pose as the host. For tests only.",
]

var busy := false

@onready var _name: LineEdit = %Name
@onready var _address: LineEdit = %Address
@onready var _port: LineEdit = %Port
@onready var _bots: OptionButton = %Bots
@onready var _host: Button = %Host
@onready var _join: Button = %Join
@onready var _encrypted: OptionButton = %Encrypted
@onready var _tls: Control = %Tls
@onready var _trust: OptionButton = %Trust
@onready var _certified: LineEdit = %Certified
@onready var _trust_help: Label = %TrustHelp
@onready var _message: Label = %Message
@onready var _classes: Label = %Classes
@onready var _chat: Button = %Chat


func _ready() -> void:
	_name.text = NAMES.pick_random()
	_address.text = "localhost:%d" % Address.DEFAULT_PORT
	_port.text = str(Address.DEFAULT_PORT)
	_join.pressed.connect(_on_join_pressed)
	_host.pressed.connect(_on_host_pressed)
	_chat.pressed.connect(chat_wanted.emit)
	_address.text_submitted.connect(func(_text: String) -> void: _on_join_pressed())
	_port.text_submitted.connect(func(_text: String) -> void: _on_host_pressed())
	_encrypted.item_selected.connect(_set_encrypted)
	_trust.item_selected.connect(func(at: int) -> void: _trust_help.text = TRUST_HELP[at])
	_trust_help.text = TRUST_HELP[0]
	%Folder.pressed.connect(_open_folder)
	if not _can_host():
		_host.tooltip_text = "A web page cannot host a game. Join another player's server."
	reset()
	_name.grab_focus()
	_name.select_all()


## Sets the values of the command line; empty ones are left unchanged.
func fill_in(player_name: String, certified_name: String) -> void:
	if player_name:
		_name.text = player_name
	if certified_name:
		_certified.text = certified_name
		_set_encrypted(1)


func show_class(words: String, has_addon: bool) -> void:
	_classes.text = words
	_chat.disabled = not has_addon
	_chat.tooltip_text = "" if has_addon else "The chat needs the addon's classes"


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
	var url := Address.to_url(_address.text, _encrypted.selected > 0)
	if url.is_empty():
		show_error("This is not an address. Try 127.0.0.1:9080 or wss://example.org/game")
		return
	# For wss:// the lobby shows the choice of certificates.
	_set_encrypted(int(Address.is_encrypted(url)))
	join_wanted.emit(url, _name.text, _trust.selected)


func _on_host_pressed() -> void:
	var port := Address.parse_port(_port.text)
	if port < 0:
		show_error("The port must be a number from 1 to 65535")
		return
	var certified := _certified.text.strip_edges() if _encrypted.selected > 0 else ""
	if _encrypted.selected > 0 and certified.is_empty():
		show_error("An encrypted host needs the name or address that players will type")
		return
	host_wanted.emit(port, _name.text, BOTS[_bots.selected], certified)


func _open_folder() -> void:
	DirAccess.make_dir_recursive_absolute(Identity.FOLDER)
	OS.shell_open(ProjectSettings.globalize_path(Identity.FOLDER))


func _set_encrypted(chosen: int) -> void:
	_encrypted.selected = chosen
	# In a browser, the browser alone decides which certificates are good.
	_tls.visible = chosen > 0 and not OS.has_feature("web")


func _set_busy(now: bool) -> void:
	busy = now
	_join.text = "Cancel" if busy else "Join"
	_host.disabled = busy or not _can_host()
	_port.editable = not busy and _can_host()
	for field: LineEdit in [_name, _address, _certified]:
		field.editable = not busy


func _can_host() -> bool:
	return not OS.has_feature("web")


func _show(text: String, colour: Color) -> void:
	_message.text = text
	_message.add_theme_color_override(&"font_color", colour)
