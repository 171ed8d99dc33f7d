# A script's destructor can call the object that frees it, because nothing is borrowed then.
# processes: main
extends "res://lib/case.gd"

const TIMEOUT := 20.0

var server := WebSocketServer.new()
var client := WebSocketClient.new()
var _told: Array = []


func run() -> void:
	server.request_handler = _let_in
	await _connect()
	client.close()
	await _until_told("a client that left", 1)
	await _connect()
	server.disconnect_peer(client.get_unique_id(), 1)
	check_eq(_told.size(), 2, "destructors after a client was dropped")
	await _connect()
	server.close()
	check_eq(_told.size(), 3, "destructors after close()")
	_properties()
	for answer: Array in _told:
		check(answer[0] in [0, 2], "status in a destructor: %s" % [answer])
		check(answer[1] > 10, "statistics in a destructor: %s" % [answer])
	await _connected_in_a_handler()


func _let_in(_request: Dictionary) -> Dictionary:
	return {status = 101, meta = Tattler.new(server, _told)}


## The old value of a property is freed when the property gets a new one.
func _properties() -> void:
	for turn in 2:
		_hold_handler()
		server.request_handler = Callable()
		check_eq(_told.size(), 4 + turn * 3, "destructors after a handler was replaced")
		_hold_key_and_certificate()
		server.private_key = null
		check_eq(_told.size(), 5 + turn * 3, "destructors after a key was replaced")
		server.ssl_certificate = null
		check_eq(_told.size(), 6 + turn * 3, "destructors after a certificate was replaced")


## In a function of its own, at whose end nothing else holds it.
func _hold_handler() -> void:
	var tattler := Tattler.new(server, _told)
	server.request_handler = func(_request: Dictionary) -> bool: return tattler != null


func _hold_key_and_certificate() -> void:
	var key := CryptoKey.new()
	key.set_meta("tattler", Tattler.new(server, _told))
	server.private_key = key
	var certificate := X509Certificate.new()
	certificate.set_meta("tattler", Tattler.new(server, _told))
	server.ssl_certificate = certificate


## A handler of `peer_packet` that is connected during a poll gets the packets of the same poll.
func _connected_in_a_handler() -> void:
	var heard: Array[int] = []
	client.close()
	server.peer_connected.connect(
		func(_id: int) -> void: server.peer_packet.connect(func(id: int) -> void: heard.append(id)),
		CONNECT_ONE_SHOT
	)
	check_eq(server.listen(0, PackedStringArray(), true), OK, "listen")
	check_eq(client.connect_to_url(_url(), PackedStringArray(), true), OK, "connect")
	await until(
		func() -> bool:
			client.poll()
			return client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED,
		TIMEOUT,
		"connected before the server polls"
	)
	for turn in 3:
		check_eq(client.put_packet(PackedByteArray([turn])), OK, "put_packet")
	# The server has not polled yet: all of it waits, and comes in one go.
	await until(
		func() -> bool:
			client.poll()
			return server.get_statistics().packets_in == 3,
		TIMEOUT,
		"three packets wait"
	)
	await until(
		func() -> bool:
			server.poll()
			return server.get_available_packet_count() == 3,
		TIMEOUT,
		"three packets"
	)
	check_eq(heard.size(), 3, "packets that the handler got")
	server.close()
	client.close()


func _connect() -> void:
	if not server.is_listening():
		check_eq(server.listen(0, PackedStringArray(), true), OK, "listen")
	client.close()
	check_eq(client.connect_to_url(_url(), PackedStringArray(), true), OK, "connect")
	await until(
		func() -> bool:
			server.poll()
			client.poll()
			return client.get_unique_id() > 1 and server.has_peer(client.get_unique_id()),
		TIMEOUT,
		"connected"
	)
	# Only the server has a reference to it.
	check(server.get_peer(client.get_unique_id()) != null, "a handle")


func _until_told(what: String, count: int) -> void:
	await until(
		func() -> bool:
			server.poll()
			return _told.size() == count,
		TIMEOUT,
		what
	)


func _url() -> String:
	return "ws://127.0.0.1:%d" % server.get_local_port()


class Tattler:
	extends RefCounted

	var _owner: int
	var _told: Array

	func _init(owner: Object, told: Array) -> void:
		_owner = owner.get_instance_id()
		_told = told

	func _notification(what: int) -> void:
		if what == NOTIFICATION_PREDELETE:
			var owner := instance_from_id(_owner) as WebSocketServer
			_told.append([owner.get_connection_status(), owner.get_statistics().size()])
