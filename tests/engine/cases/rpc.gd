# RPCs in all directions, including relayed ones, and the signals of joining and leaving.
# processes: server client:a client:b
# timeout: 60
# variant: ours server=ours clients=ours
# variant: ours4 server=ours4 clients=ours4
# variant: engine_clients server=ours clients=engine
# variant: engine_clients4 server=ours4 clients=engine
# variant: engine_server server=engine clients=ours,ours4
# variant: mixed_clients server=ours clients=ours,engine
# variant: mixed_clients_on_engine server=engine clients=ours,engine
# variant: web below=engine server=ours clients=ours,ours4 web=client:a,client:b
# variant: web_mixed server=ours4 clients=ours,engine web=client:a
# variant: web_on_engine server=engine clients=ours,ours4 web=client:a,client:b
extends "res://lib/case.gd"

const Party := preload("res://lib/party.gd")
const Talker := preload("res://lib/talker.gd")
const COUNT := 50
## A peer that does not keep up loses unreliable calls, as intended: so no peer gets far ahead here.
const IN_ONE_GO := 10
const CLIENTS: Array[String] = ["a", "b"]

var party: Party
var talker: Talker


func run() -> void:
	party = Party.attach(self)
	talker = Talker.attach(party)
	await party.gather()
	_check_joining()
	for first in range(0, COUNT, IN_ONE_GO):
		if role == "server":
			_server_talks(first)
		else:
			_client_talks(first)
		await party.barrier("all said to %d" % (first + IN_ONE_GO))
	_check_heard()
	# Before the barrier: behind it b may leave at once.
	party.events.clear()
	await party.barrier("all checked")
	await _part()


func _server_talks(first: int) -> void:
	for number in range(first, first + IN_ONE_GO):
		var payload := talker.payload(number)
		for client in CLIENTS:
			talker.reliable.rpc_id(party.ids[client], "to one", number, payload)
			talker.unreliable.rpc_id(party.ids[client], "unreliable to one", number, payload)
		talker.reliable.rpc("to all", number, payload)
		talker.unreliable.rpc("unreliable to all", number, payload)
		talker.from_authority.rpc(number)
		talker.also_here.rpc(number)


func _client_talks(first: int) -> void:
	for number in range(first, first + IN_ONE_GO):
		var payload := talker.payload(number)
		talker.reliable.rpc_id(1, "to server", number, payload)
		talker.unreliable.rpc_id(1, "unreliable to server", number, payload)
		talker.ordered.rpc_id(1, "ordered to server", number, payload)
		talker.on_channel.rpc_id(1, "channel to server", number, payload)
		talker.reliable.rpc_id(party.ids[_other()], "to client", number, payload)
		talker.unreliable.rpc_id(party.ids[_other()], "unreliable to client", number, payload)
		talker.on_channel.rpc_id(party.ids[_other()], "channel to client", number, payload)
		talker.reliable.rpc("to all", number, payload)
		talker.also_here.rpc(number)


func _check_heard() -> void:
	var wanted := {}
	if role == "server":
		for client in CLIENTS:
			for kind: String in ["to", "unreliable to", "ordered to", "channel to"]:
				wanted["%s server %s" % [kind, client]] = COUNT
			wanted["to all %s" % client] = COUNT
			wanted["also_here %s" % client] = COUNT
	else:
		for kind: String in ["to one", "unreliable to one", "to all", "unreliable to all"]:
			wanted["%s server" % kind] = COUNT
		wanted["from_authority server"] = COUNT
		wanted["also_here server"] = COUNT
		for kind: String in ["to client", "unreliable to client", "channel to client", "to all"]:
			wanted["%s %s" % [kind, _other()]] = COUNT
		wanted["also_here %s" % _other()] = COUNT
	wanted["also_here self"] = COUNT
	for key: String in wanted:
		check_eq(talker.heard.get(key, []), range(wanted[key]), 'calls "%s"' % key)
	for key: String in talker.heard:
		check(wanted.has(key), 'unexpected calls "%s"' % key)
	check_eq(talker.faults, [] as Array[String], "payloads")


func _check_joining() -> void:
	var connected := party.events.filter(
		func(event: String) -> bool: return event.begins_with("peer_connected")
	)
	connected.sort()
	if role == "server":
		check_eq(connected, ["peer_connected a", "peer_connected b"], "who came")
		check_eq(party.events.size(), 2, "nothing but joining: %s" % [party.events])
		check_eq(get_multiplayer().get_unique_id(), 1, "the server's id")
		check(get_multiplayer().is_server(), "is_server() on the server")
	else:
		check_eq(
			connected, ["peer_connected %s" % _other(), "peer_connected server"], "who is here"
		)
		check_eq(party.events.count("connected_to_server"), 1, "connected_to_server")
		check(
			party.events.find("connected_to_server") < party.events.find("peer_connected server"),
			"order of signals: %s" % [party.events]
		)
		check_eq(party.events.size(), 3, "nothing but joining: %s" % [party.events])
		check_eq(
			get_multiplayer().get_unique_id(), party.ids[name], "our id is what the server says"
		)
		check(get_multiplayer().get_unique_id() > 1, "a client's id")
		check(not get_multiplayer().is_server(), "is_server() on a client")
	var present := Array(get_multiplayer().get_peers())
	present.sort()
	var others: Array = party.ids.keys().filter(func(one: String) -> bool: return one != name)
	others = others.map(func(one: String) -> int: return party.ids[one])
	others.sort()
	check_eq(present, others, "get_peers()")


## b leaves, then the server ends.
func _part() -> void:
	if name == "b":
		party.peer.close()
		await frames(10)
		check_eq(
			party.peer.get_connection_status(),
			MultiplayerPeer.CONNECTION_DISCONNECTED,
			"status after our close()"
		)
		check_eq(
			party.events.count("peer_disconnected server"), 0, "peer_disconnected after close()"
		)
		return
	await party.wait_for_event("peer_disconnected b")
	check_eq(party.events, ["peer_disconnected b"] as Array[String], "b leaves")
	check(not get_multiplayer().get_peers().has(party.ids["b"]), "b is off the list")
	party.events.clear()
	await party.barrier("b has left", ["a"])
	await party.wait_for_engine("b has left", ["a"])
	if role == "server":
		party.peer.close()
		await frames(10)
		check_eq(
			party.peer.get_connection_status(),
			MultiplayerPeer.CONNECTION_DISCONNECTED,
			"the server's status after close()"
		)
		check_eq(
			party.events.count("peer_disconnected a"),
			0,
			"peer_disconnected after close() of the server"
		)
		return
	await party.wait_for_event("server_disconnected")
	await frames(10)
	check_eq(
		party.events,
		["peer_disconnected server", "server_disconnected"] as Array[String],
		"the server ends"
	)
	check_eq(
		party.peer.get_connection_status(),
		MultiplayerPeer.CONNECTION_DISCONNECTED,
		"status after the server's end"
	)


func _other() -> String:
	return "b" if name == "a" else "a"
