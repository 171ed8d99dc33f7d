# One client disconnects, one is dropped without a Close frame, one is disconnected by the server, and at last the server closes.
# processes: server client:a client:b client:c client:d
# timeout: 60
# variant: ours server=ours clients=ours,ours4
# variant: ours4 server=ours4 clients=ours4
# variant: engine_clients server=ours clients=engine
# variant: engine_server server=engine clients=ours,ours4
# variant: mixed_clients server=ours clients=ours,engine
# variant: mixed_clients_on_engine server=engine clients=engine,ours
# variant: web below=engine server=ours clients=ours,ours4 web=client:a,client:b,client:c,client:d
extends "res://lib/case.gd"

const Party := preload("res://lib/party.gd")
const OFFLINE := MultiplayerPeer.CONNECTION_DISCONNECTED

var party: Party


func run() -> void:
	party = Party.attach(self)
	await party.gather()
	# Before the barrier: behind it the next event may come at once.
	party.events.clear()
	await party.barrier("all here")

	# a disconnects.
	if name == "a":
		party.peer.close()
		await frames(5)
		check_eq(party.peer.get_connection_status(), OFFLINE, "a's status")
		return
	await _sees_leaving("a")
	await party.barrier("a has left", ["b", "c", "d"])

	# b forgets its peer.
	if name == "b":
		get_multiplayer().multiplayer_peer = null
		party.peer = null
		await frames(5)
		return
	await _sees_leaving("b")
	await party.barrier("b has left", ["c", "d"])

	# The server sends c away.
	await party.wait_for_engine("b has left", ["c", "d"])
	if role == "server":
		party.peer.disconnect_peer(party.ids["c"])
	if name == "c":
		await _sees_the_end()
		return
	await _sees_leaving("c")
	await party.barrier("c has left", ["d"])

	# The server closes, d gets the disconnect.
	await party.wait_for_engine("c has left", ["d"])
	if role == "server":
		party.peer.close()
		await frames(5)
		check_eq(party.peer.get_connection_status(), OFFLINE, "the server's status")
		return
	await _sees_the_end()


func _sees_leaving(who: String) -> void:
	await party.wait_for_event("peer_disconnected %s" % who)
	await frames(5)
	check_eq(party.events, ["peer_disconnected %s" % who] as Array[String], "%s leaves" % who)
	check(not get_multiplayer().get_peers().has(party.ids[who]), "%s is off the list" % who)
	party.events.clear()


func _sees_the_end() -> void:
	await party.wait_for_event("server_disconnected")
	await frames(5)
	check_eq(
		party.events.slice(-2),
		["peer_disconnected server", "server_disconnected"] as Array[String],
		"the end as %s sees it" % name
	)
	check_eq(party.peer.get_connection_status(), OFFLINE, "%s's status" % name)
	check_eq(get_multiplayer().get_peers().size(), 0, "peers that are left")
