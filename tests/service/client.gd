extends SceneTree
# A player of the service: joins, with the certificate of the server as the only one that it trusts, and stays until the file `leave` exists.
# Arguments: the port, the certificate, the file.

var _client := WebSocketClient.new()
var _leave: String


func _initialize() -> void:
	var words := OS.get_cmdline_user_args()
	_leave = words[2]
	var certificate := X509Certificate.new()
	if certificate.load(words[1]) != OK:
		quit(1)
		return
	_client.trusted_ssl_certificate = certificate
	_client.connection_succeeded.connect(func() -> void: print("PLAYING"))
	_client.connection_failed.connect(_end.bind(1))
	_client.server_disconnected.connect(_end.bind(2))
	if _client.connect_to_url("wss://localhost:" + words[0], PackedStringArray(), true) != OK:
		quit(1)


func _process(_delta: float) -> bool:
	_client.poll()
	if FileAccess.file_exists(_leave):
		_client.close()
		_end(0)
	return false


func _end(code: int) -> void:
	if code != 0:
		printerr("ERROR: the player is out: ", _client.get_last_error())
	quit(code)
