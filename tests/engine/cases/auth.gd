# Authentication: one client is accepted, one is rejected, one never answers, one is accepted later.
# processes: server client:a client:b client:c client:d
# timeout: 60
# expect: pending_peers
# expect: authentication session was already marked as completed
# variant: ours server=ours clients=ours
# variant: ours4 server=ours4 clients=ours4
# variant: engine_clients server=ours clients=engine
# variant: engine_server server=engine clients=ours,ours4
# variant: web server=ours clients=ours,ours4 web=client:a,client:b,client:c,client:d
extends "res://lib/case.gd"

const Party := preload("res://lib/party.gd")
const AUTH_TIMEOUT := 6.0
const PASSWORD := "open sesame"

var party: Party
var api: SceneMultiplayer
## What the auth callback got, as "id text".
var letters: Array[String] = []
var authenticating: Array[int] = []
var failed: Array[int] = []


func run() -> void:
	party = Party.attach(self)
	api = get_multiplayer() as SceneMultiplayer
	api.auth_timeout = AUTH_TIMEOUT if role == "server" else 20.0
	api.peer_authenticating.connect(func(id: int) -> void: authenticating.append(id))
	api.peer_authentication_failed.connect(func(id: int) -> void: failed.append(id))
	if role == "server":
		api.auth_callback = _server_gets
		await _serve()
	else:
		api.auth_callback = _client_gets
		match name:
			"a":
				await _come_in()
			"b":
				await _be_turned_away()
			"c":
				await _be_silent()
			"d":
				await _come_in_later()


func _serve() -> void:
	party.open()
	ready_line()
	var two_in := func() -> bool: return api.get_peers().size() == 2
	await until(two_in, 20.0, "a and d connect")
	await until(func() -> bool: return failed.size() == 2, 20.0, "b and c do not")
	check_eq(authenticating.size(), 4, "peer_authenticating for each")
	check_eq(api.get_authenticating_peers().size(), 0, "peers that still authenticate")
	for id in failed:
		check(authenticating.has(id), "who failed was announced")
		check(not api.get_peers().has(id), "who failed is not in")
	var connected := party.events.filter(
		func(event: String) -> bool: return event.begins_with("peer_connected")
	)
	check_eq(connected.size(), 2, "peer_connected only for those who are in: %s" % [party.events])
	check_eq(party.events.size(), 2, "and nothing else: %s" % [party.events])
	check_eq(letters.size(), 3, "letters: %s" % [letters])
	check_eq(
		api.send_auth(4711, "x".to_utf8_buffer()), ERR_INVALID_PARAMETER, "send_auth to nobody"
	)
	check_eq(api.complete_auth(4711), ERR_INVALID_PARAMETER, "complete_auth of an unknown peer")
	for id in api.get_peers():
		party.release(id, "go")
		await until(func() -> bool: return not api.get_peers().has(id), 20.0, "%d leaves" % id)


func _come_in() -> void:
	await _introduce(PASSWORD)
	await party.wait_for_event("connected_to_server")
	check_eq(letters, ["1 welcome, now " + PASSWORD] as Array[String], "what the server wrote")
	check_eq(failed, [] as Array[int], "nothing failed")
	check(
		party.events.find("connected_to_server") < party.events.find("peer_connected server"),
		"order: %s" % [party.events]
	)
	await until(func() -> bool: return api.get_peers().size() == 2, 20.0, "the other one")
	await until(func() -> bool: return party.is_released("go"), 20.0, "the end")
	var connected := party.events.filter(
		func(event: String) -> bool: return event.begins_with("peer_connected")
	)
	check_eq(connected.size(), 2, "only authenticated peers are announced: %s" % [party.events])
	party.peer.close()


func _come_in_later() -> void:
	# Less than the server's timeout, long after the WebSocket is open.
	party.open()
	await until(func() -> bool: return authenticating.has(1), 20.0, "peer_authenticating(1)")
	await seconds(AUTH_TIMEOUT * 0.25)
	check_eq(party.events, [] as Array[String], "not in yet")
	check_eq(api.send_auth(1, PASSWORD.to_utf8_buffer()), OK, "send_auth")
	check_eq(api.complete_auth(1), OK, "complete_auth")
	check_eq(api.complete_auth(1), ERR_FILE_CANT_WRITE, "complete_auth a second time")
	await party.wait_for_event("connected_to_server")
	await until(func() -> bool: return party.is_released("go"), 20.0, "the end")
	party.peer.close()


func _be_turned_away() -> void:
	# More of its packets may be waiting when the server turns it away; the engine's own class then
	# hands them to an API that no longer knows the sender.
	await _introduce("let me in", args.get("server", "ours") != "engine")
	await until(func() -> bool: return failed.has(1), 20.0, "peer_authentication_failed(1)")
	await frames(10)
	check(not party.events.has("connected_to_server"), "not in: %s" % [party.events])
	check(not party.events.has("peer_connected server"), "not in: %s" % [party.events])
	check_eq(
		party.peer.get_connection_status(), MultiplayerPeer.CONNECTION_DISCONNECTED, "turned away"
	)


func _be_silent() -> void:
	party.open()
	await until(func() -> bool: return authenticating.has(1), 20.0, "peer_authenticating(1)")
	var begun := Time.get_ticks_msec()
	await until(func() -> bool: return failed.has(1), 20.0, "peer_authentication_failed(1)")
	var took := (Time.get_ticks_msec() - begun) / 1000.0
	# The server's clock began before this one.
	check(took > AUTH_TIMEOUT * 0.4, "given up after %.2f s" % took)
	check(not party.events.has("connected_to_server"), "not in: %s" % [party.events])


func _introduce(password: String, complete := true) -> void:
	party.open()
	await until(func() -> bool: return authenticating.has(1), 20.0, "peer_authenticating(1)")
	check_eq(api.send_auth(1, password.to_utf8_buffer()), OK, "send_auth")
	if complete:
		check_eq(api.complete_auth(1), OK, "complete_auth")


func _server_gets(id: int, data: PackedByteArray) -> void:
	var password := data.get_string_from_utf8()
	letters.append("%d %s" % [id, password])
	if password == PASSWORD:
		check_eq(api.send_auth(id, ("welcome, now " + password).to_utf8_buffer()), OK, "answer")
		check_eq(api.complete_auth(id), OK, "complete_auth on the server")
	else:
		api.disconnect_peer(id)
		failed.append(id)


func _client_gets(id: int, data: PackedByteArray) -> void:
	letters.append("%d %s" % [id, data.get_string_from_utf8()])
