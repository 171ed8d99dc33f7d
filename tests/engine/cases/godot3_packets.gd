# Packets to all kinds of targets between real 3.6 peers and ours. Only packets, because RPCs are encoded differently in 3.x and 4.x.
# Each process runs the steps of lib/correspondence.gd or of its 3.6 counterpart: every peer sends to every peer, and counts what it
# receives.
# processes: server client:a client:b client:c
# timeout: 300
# variant: clients_3 engine3=client:a,client:b,client:c
# variant: clients_3_of_ours4 engine3=client:a,client:b,client:c server=ours4
# variant: server_3 engine3=server on3=server
# variant: server_3_of_ours4 engine3=server on3=server clients=ours4
# variant: mixed engine3=client:a,client:c
# variant: mixed_on_3 engine3=server,client:b on3=server
# variant: web web=client:a,client:b
extends "res://lib/case.gd"

const Correspondence := preload("res://lib/correspondence.gd")
const Peers := preload("res://lib/peers.gd")
const TIMEOUT := 30.0
const OFFLINE := MultiplayerPeer.CONNECTION_DISCONNECTED

var mail: Correspondence


func run() -> void:
	var wire := {wire_format = WebSocketServer.WIRE_FORMAT_GODOT3}
	var peer: MultiplayerPeer
	if role == "server":
		peer = Peers.make_server(args.get("server", "ours"), port, wire)
	else:
		var url := "ws://127.0.0.1:%d" % port
		peer = Peers.make_client(args.get("clients", "ours"), url, wire)
	if not check(peer != null, "%s: no peer" % name):
		return
	check(not peer.is_server_relay_supported(), "the API must not relay on top")
	mail = Correspondence.new(self, peer)
	if role == "server":
		ready_line()
	await mail.introduce()
	_check_introduction()
	# Nobody leaves before everybody has written.
	mail.bare.events.clear()
	await mail.write_to_everybody()
	await _part()


## Everybody was announced once, before its first packet.
func _check_introduction() -> void:
	var announced := mail.bare.events.filter(
		func(event: String) -> bool: return event.begins_with("peer_connected")
	)
	var expected := (
		mail
		. ids
		. keys()
		. filter(func(one: String) -> bool: return one != name)
		. map(func(one: String) -> String: return "peer_connected %d" % mail.ids[one])
	)
	announced.sort()
	expected.sort()
	check_eq(announced, expected, "announcements to %s" % name)
	var own: int = mail.bare.peer.get_unique_id()
	check_eq(own, mail.ids[name], "%s's own id" % name)
	check(own == 1 if role == "server" else own > 1, "%s has id %d" % [name, own])
	if role != "server":
		check_eq(mail.bare.count("connection_succeeded"), 1, "connection_succeeded at %s" % name)


## a disconnects, b is disconnected by the server, at last the server closes.
func _part() -> void:
	var bare := mail.bare
	if name == "a":
		bare.peer.close()
		await frames(3)
		check_eq(bare.peer.get_connection_status(), OFFLINE, "a's status")
		check_eq(_seen(), [] as Array[String], "a's own end")
		return
	await until(bare.has.bind("peer_disconnected %d" % mail.ids["a"]), TIMEOUT, "a leaves")
	if role == "server":
		await mail.heard(1, ["b", "c"])
		bare.peer.disconnect_peer(mail.ids["b"])
	else:
		mail.tell(1)
	if name == "b":
		await _ends(["a"])
		return
	await until(bare.has.bind("peer_disconnected %d" % mail.ids["b"]), TIMEOUT, "b leaves")
	if role == "server":
		await mail.heard(2, ["c"])
		bare.peer.close()
		await frames(3)
		check_eq(_seen(), mail.partings(["a", "b"]), "the partings the server saw")
		if bare.peer.has_signal("client_close_request"):
			check_eq(bare.count("client_close_request %d" % mail.ids["a"]), 1, "a's request")
		return
	mail.tell(2)
	await _ends(["a", "b"])


## A client whose server ends after these have left.
func _ends(gone: Array[String]) -> void:
	await until(mail.bare.is_closed, TIMEOUT, "%s's end" % name)
	var rest: Array[String] = []
	for one: String in mail.ids:
		if one != name and one != "server" and one not in gone:
			rest.append(one)
	var last: Array[String] = ["peer_disconnected 1", "server_disconnected"]
	var seen := _seen()
	check_eq(seen.slice(0, gone.size()), mail.partings(gone), "the partings %s saw" % name)
	check_eq(seen.slice(-2), last, "%s's end" % name)
	# Those who remain on the server are gone for a client that has left it.
	var between := seen.slice(gone.size(), -2)
	check_eq(between, mail.partings(rest), "what %s saw of the others at its end" % name)


## The emitted signals, without close requests.
func _seen() -> Array[String]:
	return mail.bare.events.filter(func(event: String) -> bool: return "close_request" not in event)
