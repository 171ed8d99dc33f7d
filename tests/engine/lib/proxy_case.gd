extends "res://lib/case.gd"
## The servers "one" and "two" behind a proxy that runs with a configuration of docs/deploying.md,
## and a client that connects through the proxy.

const Doc := preload("res://lib/doc.gd")
const TIMEOUT := 20.0
## The place of the serial number's first byte in a certificate of the engine: behind two sequences, the version, and its own tag and length.
const SERIAL_NUMBER := 15


func run() -> void:
	if role == "server":
		await _server()
	else:
		await _client()


func _server() -> void:
	fail("this case has no _server()")


func _client() -> void:
	fail("this case has no _client()")


## Starts a server, and tells the client its port.
func _listen(server: WebSocketServer) -> void:
	check_eq(server.listen(0), OK, "listen")
	process_frame.connect(server.poll)
	leave("port_" + name, str(server.get_local_port()))
	ready_line()


func _until_both_listen() -> void:
	var both := func() -> bool: return is_left("port_one") and is_left("port_two")
	await until(both, TIMEOUT, "both servers")


func _port_of(server: String) -> int:
	return FileAccess.get_file_as_string(scratch("port_" + server)).to_int()


## Returns the configuration in the documentation, with each [old, new] of `changes` replaced.
func _configuration(proxy: String, changes: Array) -> String:
	var text := Doc.block("deploying.md", proxy)
	for change: Array in changes:
		check(text.contains(change[0]), "%s is in the documentation" % change[0])
		text = text.replace(change[0], change[1])
	return text


## Makes the key and the certificate of the proxy. Some certificates of the engine have a serial number with a zero in front, which OpenSSL does
## not read ("illegal padding").
func _save_identity(key_file: String, certificate_file: String) -> void:
	var key := Crypto.new().generate_rsa(2048)
	check_eq(key.save(scratch(key_file)), OK, "the key")
	while true:
		var made := Crypto.new().generate_self_signed_certificate(key, "CN=game.example.org")
		check_eq(made.save(scratch(certificate_file)), OK, "the certificate")
		var text := FileAccess.get_file_as_string(scratch(certificate_file))
		var der := Marshalls.base64_to_raw(text.get_slice("-----", 2).replace("\n", ""))
		if der[SERIAL_NUMBER] != 0:
			return


func _until_it_serves(address: String) -> void:
	var serves := func() -> bool:
		var tcp := StreamPeerTCP.new()
		if tcp.connect_to_host(address, port) != OK:
			return false
		OS.delay_msec(50)
		tcp.poll()
		return tcp.get_status() == StreamPeerTCP.STATUS_CONNECTED
	await until(serves, TIMEOUT, "the proxy")


## Connects, and waits until the client is connected or has failed.
func _connect(url: String, headers: PackedStringArray = []) -> WebSocketClient:
	var client := WebSocketClient.new()
	# Its certificate is for another name; other cases test how certificates are checked.
	client.verify_ssl = false
	client.heartbeat_interval = 0.0
	client.handshake_timeout = TIMEOUT
	check_eq(client.connect_to_url(url, PackedStringArray(), false, headers), OK, url)
	process_frame.connect(client.poll)
	var decided := func() -> bool:
		return client.get_connection_status() != MultiplayerPeer.CONNECTION_CONNECTING
	await until(decided, TIMEOUT * 2, url)
	return client


## Returns the first message of the server.
func _greeting(url: String, headers: PackedStringArray = []) -> String:
	var client := await _connect(url, headers)
	check_eq(client.get_last_error(), "", url)
	var peer := client.get_peer(1)
	await until(func() -> bool: return peer.get_available_packet_count() > 0, TIMEOUT, url)
	var greeting := peer.get_packet().get_string_from_utf8()
	process_frame.disconnect(client.poll)
	client.close()
	return greeting
