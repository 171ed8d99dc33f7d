# Another TLS client resumes its session on its second connection, with TLS 1.2 and 1.3, but not if the server has a new certificate by
# then. The client checks this; the server only accepts it.
# processes: server client
# python: client
extends "res://lib/case.gd"

const Identity := preload("res://lib/identity.gd")
const TIMEOUT := 20.0

var _server := WebSocketServer.new()
var _is_over := false


func run() -> void:
	var identity := Identity.new("localhost")
	_server.private_key = identity.key
	_server.ssl_certificate = identity.certificate
	_server.client_connected.connect(_on_connected)
	check_eq(_server.listen(port), OK, "listen")
	process_frame.connect(_server.poll)
	ready_line()
	await until(func() -> bool: return _is_over, 40.0, "the client's end")
	_server.stop()


## The client selects the step by its path.
func _on_connected(id: int, _protocol: String) -> void:
	match _server.get_peer(id).get_requested_path():
		"/replace":
			var new := Identity.new("localhost")
			check_eq(_server.set_certificate(new.key, new.certificate), OK, "set_certificate")
		"/end":
			_is_over = true
	_server.get_peer(id).send_text("welcome")
