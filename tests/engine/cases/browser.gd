# A chat between two pages in a headless Chromium through our server in raw mode: text and bytes,
# the subprotocol, and the disconnects on each side. With TLS, the browser rejects the certificate, which it does
# not trust.
# processes: server client
# timeout: 180
# chromium: client
# variant: plain
# variant: encrypted tls=yes
# variant: compressed mode=1 agreed=shared
# variant: compressed_dedicated mode=2 agreed=dedicated
extends "res://lib/case.gd"

const Identity := preload("res://lib/identity.gd")
const TIMEOUT := 30.0

var _events: Array = []
var _server: WebSocketServer
var _chatters: Array[int] = []


func run() -> void:
	_server = WebSocketServer.new()
	_server.compression_mode = int(args.get("mode", "0"))
	if args.has("tls"):
		var identity := Identity.new("localhost")
		identity.certificate.save(Identity.place(args.scratch, "server"))
		_server.private_key = identity.key
		_server.ssl_certificate = identity.certificate
	_server.client_connected.connect(_enter)
	_server.client_disconnected.connect(_leave)
	_server.client_close_request.connect(
		func(_id: int, code: int, reason: String) -> void: _events.append(["close", code, reason])
	)
	_server.data_received.connect(_relay)
	check_eq(_server.listen(port, ["chat"]), OK, "listen")
	process_frame.connect(_server.poll)
	ready_line()
	await _sees([["connected", "chat"], ["connected", "chat"]], "two pages")
	await _sees([["close", 4001, "adiós"], ["disconnected", true]], "the first goes")
	# The second asks to be sent away.
	await _sees([["disconnected", true]], "the second is sent away")
	await _sees([["connected", "chat"]], "a third")
	# A page that is closed sends a close code of its own.
	await _sees([["close", 1001, ""], ["disconnected", true]], "the third is left")
	await _sees([["connected", "chat"]], "a fourth")
	_server.stop()
	await seconds(0.5)
	check_eq(_events, [], "after stop()")
	process_frame.disconnect(_server.poll)


func _enter(id: int, protocol: String) -> void:
	var headers := _server.get_peer(id).get_request_headers()
	var origin: String = headers.get("origin", "")
	check(origin.begins_with("http://localhost:"), "origin %s" % origin)
	_chatters.append(id)
	_events.append(["connected", protocol])


func _leave(id: int, was_clean: bool) -> void:
	_chatters.erase(id)
	_events.append(["disconnected", was_clean])


## A message of one page reaches the others with the same type.
func _relay(id: int) -> void:
	var peer := _server.get_peer(id)
	while peer.get_available_packet_count() > 0:
		var packet := peer.get_packet()
		var is_text := peer.was_string_packet()
		if is_text and packet.get_string_from_utf8() == "close me":
			_check_compression(id)
			_server.disconnect_peer(id, 4002, "geh, schöner Gast")
			return
		for other in _chatters:
			if other != id:
				var error := _server.get_peer(other).send(packet, 0 if is_text else 1)
				check_eq(error, OK, "relay of %d bytes" % packet.size())


## The page has got a text of 60 KiB and sent as many bytes.
func _check_compression(id: int) -> void:
	var figures := _server.get_peer_statistics(id)
	check_eq(figures["compression"], args.get("agreed", ""), "what was agreed on")
	for pair: Array in [
		["deflated_out_bytes", "compressed_out_bytes"], ["inflated_in_bytes", "compressed_in_bytes"]
	]:
		var plain: int = figures[pair[0]]
		check_eq(plain >= 60 * 1024, args.has("agreed"), "%s is %d" % [pair[0], plain])
		check(figures[pair[1]] * 10 <= plain, "%d bytes as %d" % [plain, figures[pair[1]]])


## Waits for these events, and for no others.
func _sees(expected: Array, what: String) -> void:
	await until(func() -> bool: return _events.size() >= expected.size(), TIMEOUT, what)
	check_eq(_events.slice(0, expected.size()), expected, what)
	_events = _events.slice(expected.size())
