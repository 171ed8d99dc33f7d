# A client that is gone while the server still writes to it affects nothing but itself. On Linux a write to such a
# connection raises a signal that ends the process, unless the write asks for an error instead.
# processes: server client
# variant: plain
# variant: encrypted tls=yes
extends "res://lib/case.gd"

const Bare := preload("res://lib/bare_peer.gd")
const Identity := preload("res://lib/identity.gd")
const ROUNDS := 10
const TIMEOUT := 10.0


func run() -> void:
	if role == "server":
		await _serve()
	else:
		await _vanish_again_and_again()


func _serve() -> void:
	var server := WebSocketServer.new()
	if args.has("tls"):
		var identity := Identity.new("localhost")
		server.private_key = identity.key
		server.ssl_certificate = identity.certificate
	check_eq(server.listen(port, PackedStringArray(), true), OK, "listen")
	var bare := Bare.new(self, server)
	ready_line()
	for round in ROUNDS:
		await until(
			func() -> bool: return bare.count("peer_connected") > round, TIMEOUT, "a client"
		)
		# Written again and again, so that one write follows the reset of the connection.
		while bare.count("peer_disconnected") <= round and not has_ended():
			bare.send(0, "news".to_utf8_buffer())
			bare.send(0, "more news".to_utf8_buffer())
			await process_frame
	check_eq(bare.count("peer_disconnected"), ROUNDS, "clients that are gone")
	server.close()


func _vanish_again_and_again() -> void:
	for round in ROUNDS:
		var stream := StreamPeerTCP.new()
		stream.connect_to_host("127.0.0.1", port)
		await until(func() -> bool: return _status(stream) == 2, TIMEOUT, "connection %d" % round)
		var upgrade := (
			"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			+ "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		)
		var inside: StreamPeer = stream
		if args.has("tls"):
			var tls := StreamPeerTLS.new()
			check_eq(
				tls.connect_to_stream(stream, "localhost", TLSOptions.client_unsafe()), OK, "TLS"
			)
			while tls.get_status() == StreamPeerTLS.STATUS_HANDSHAKING:
				tls.poll()
				await process_frame
			if not check_eq(tls.get_status(), StreamPeerTLS.STATUS_CONNECTED, "TLS %d" % round):
				return
			inside = tls
		check_eq(inside.put_data(upgrade.to_utf8_buffer()), OK, "the upgrade")
		# All that came is read, so that the end of the connection is an ordinary one, but what is
		# still written to it is answered with a reset, and what follows that fails.
		var taken := [0]
		var takes := func() -> bool:
			taken[0] += _take(inside)
			return taken[0] > 200
		await until(takes, TIMEOUT, "the answer, and news")
		if round % 2 == 0:
			inside.put_data(PackedByteArray([0x88, 0x82, 0, 0, 0, 0, 3, 0xe8]))
		stream.disconnect_from_host()


func _take(stream: StreamPeer) -> int:
	if stream is StreamPeerTLS:
		(stream as StreamPeerTLS).poll()
	var taken := 0
	while stream.get_available_bytes() > 0:
		var size := stream.get_available_bytes()
		stream.get_data(size)
		taken += size
	return taken


func _status(stream: StreamPeerTCP) -> int:
	stream.poll()
	return stream.get_status()
