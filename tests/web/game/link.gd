extends Node
## One end of a connection, with a multiplayer API of its own: the server's, or one client's.

const Wire := preload("res://wire.gd")

## RPCs that have arrived, and those of them that were not the next one.
var received := 0
var wrong := 0
var received_bytes := 0
## The most that have arrived in one frame.
var most_in_frame := 0

var _frame := 0
var _in_frame := 0
var _api: SceneMultiplayer
var _peer: MultiplayerPeer
var _wire: Wire
var _polls_itself := false
## Polls the peer alone, and takes none of its packets.
var _is_deaf := false
## Since this link polls by itself: how many RPCs each poll brought, and how many microseconds it took.
var _polls := []


func set_up(is_root: bool) -> void:
	_wire = Wire.new()
	_wire.name = "Wire"
	add_child(_wire)
	_wire.arrived.connect(_on_arrived)
	if is_root:
		_api = get_tree().get_multiplayer() as SceneMultiplayer
		_api.root_path = get_path()
	else:
		_api = SceneMultiplayer.new()
		get_tree().set_multiplayer(_api, get_path())
	_api.peer_connected.connect(func(id: int) -> void: _tell("peer_connected", {"id": id}))
	_api.peer_disconnected.connect(func(id: int) -> void: _tell("peer_disconnected", {"id": id}))
	_api.connected_to_server.connect(_tell.bind("connected", {}))
	_api.connection_failed.connect(_tell.bind("connection_failed", {}))
	_api.server_disconnected.connect(_tell.bind("server_disconnected", {}))


func _process(_delta: float) -> void:
	if _is_deaf:
		_peer.poll()
	if _polls_itself:
		var before := received
		var began := Time.get_ticks_usec()
		_api.poll()
		_polls.append([received - before, Time.get_ticks_usec() - began])


func tear_down() -> void:
	get_tree().multiplayer_poll = true
	_api.multiplayer_peer = OfflineMultiplayerPeer.new()
	_peer = null
	if _api != get_tree().get_multiplayer():
		get_tree().set_multiplayer(null, get_path())


## Only the addon's classes have sessions.
func _tell_of_sessions() -> void:
	for what: StringName in [&"peer_suspended", &"peer_resumed"]:
		if _peer.has_signal(what):
			_peer.connect(what, func(id: int) -> void: _tell(what, {"id": id}))


func listen(order: Dictionary) -> Dictionary:
	var server := WebSocketServer.new()
	_set_options(server, order)
	server.bind_ip = "127.0.0.1"
	if order.has("identity"):
		var key := CryptoKey.new()
		var certificate := X509Certificate.new()
		if (
			key.load(order["identity"] + ".pkcs8.key") != OK
			or certificate.load(order["identity"] + ".crt") != OK
		):
			return {"error": ERR_CANT_OPEN, "port": 0}
		server.private_key = key
		server.ssl_certificate = certificate
	if order.has("refuse"):
		var status := int(order["refuse"])
		server.request_handler = func(_request: Dictionary) -> int: return status
	server.client_close_request.connect(
		func(id: int, code: int, reason: String) -> void:
			_tell("close_request", {"id": id, "code": code, "reason": reason})
	)
	var protocols := PackedStringArray(order.get("protocols", []))
	var error := server.listen(int(order.get("port", 0)), protocols, true)
	_peer = server
	_tell_of_sessions()
	if error == OK:
		_api.multiplayer_peer = server
	return {"error": error, "port": server.get_local_port()}


func join(order: Dictionary) -> Dictionary:
	var url: String = order["url"]
	var protocols := PackedStringArray(order.get("protocols", []))
	var error := FAILED
	match order["kind"]:
		"client":
			var client := WebSocketClient.new()
			_set_options(client, order)
			error = client.connect_to_url(url, protocols, true)
			_peer = client
		"buffered":
			var buffered := BufferedWebSocketMultiplayerPeer.new()
			buffered.supported_protocols = protocols
			_set_options(buffered, order)
			error = buffered.create_client(url)
			_peer = buffered
		"engine":
			var engine := WebSocketMultiplayerPeer.new()
			engine.supported_protocols = protocols
			_set_options(engine, order)
			error = engine.create_client(url)
			_peer = engine
	if error == OK:
		_api.multiplayer_peer = _peer
		_tell_of_sessions()
	return {"error": error, "why": _why()}


# One branch for each order.
# gdlint: disable=max-returns
func obey(order: Dictionary) -> Dictionary:
	match order["do"]:
		"burst":
			return _burst(order)
		"stream":
			return await _stream(order)
		"close":
			return _close(order)
		"reconnect":
			return {"error": _peer.call(&"reconnect")}
		"kick":
			_peer.call(&"disconnect_peer", int(order["peer"]), int(order["code"]), order["reason"])
			return {}
		"counts":
			return _counts()
		"measure":
			# For this link alone: the tree polls no other meanwhile.
			get_tree().multiplayer_poll = false
			_polls_itself = true
			return {}
		"deafen":
			_is_deaf = order["deaf"]
			get_tree().multiplayer_poll = not _is_deaf
			return {}
		"measured":
			return {"polls": _polls}
		"totals":
			return _peer.call(&"get_statistics")
		"statistics":
			if not _is_there(int(order["peer"])):
				return {}
			return _peer.call(&"get_peer_statistics", int(order["peer"]))
	return {"error": ERR_INVALID_PARAMETER}


## Many RPCs in one frame, and maybe the end of the connection in the same frame.
func _burst(order: Dictionary) -> Dictionary:
	var payload := PackedByteArray()
	payload.resize(int(order["size"]))
	var failed := 0
	var from := int(order.get("from", 0))
	var began := Time.get_ticks_usec()
	for number in range(from, from + int(order["count"])):
		if not _is_there(int(order["peer"])):
			break
		failed += int(_wire.rpc_id(int(order["peer"]), &"item", number, payload) != OK)
	if order.has("code"):
		_peer.call(&"disconnect_peer", int(order["peer"]), int(order["code"]), order["reason"])
	return {"failed": failed, "usec": Time.get_ticks_usec() - began}


## RPCs at a steady rate.
func _stream(order: Dictionary) -> Dictionary:
	var payload := PackedByteArray()
	payload.resize(int(order["size"]))
	var began := Time.get_ticks_msec()
	var lasts := float(order["seconds"]) * 1000.0
	var number := 0
	while true:
		var passed := minf(Time.get_ticks_msec() - began, lasts)
		var due := int(passed * float(order["rate"]) / 1000.0)
		while number < due and _is_there(int(order["peer"])):
			_wire.item.rpc_id(int(order["peer"]), number, payload)
			number += 1
		if passed >= lasts or not _is_there(int(order["peer"])):
			break
		await get_tree().process_frame
	return {"sent": number, "there": _is_there(int(order["peer"]))}


func _is_there(id: int) -> bool:
	return _api.has_multiplayer_peer() and id in _api.get_peers()


## The client ends its connection.
func _close(order: Dictionary) -> Dictionary:
	if order.has("code"):
		_peer.call(&"disconnect_from_host", int(order["code"]), order["reason"])
	else:
		_peer.close()
	return {}


func _counts() -> Dictionary:
	var counts := {
		"received": received,
		"wrong": wrong,
		"bytes": received_bytes,
		"most_in_frame": most_in_frame,
		"status": _peer.get_connection_status() if _peer else 0,
		"peers": _api.get_peers() if _api.has_multiplayer_peer() else [],
		"id": _peer.get_unique_id() if _peer else 0,
		"why": _why(),
		"class": _peer.get_class() if _peer else "",
	}
	counts.merge(_close_frame())
	return counts


func _on_arrived(number: int, bytes: int) -> void:
	wrong += int(number != received)
	received += 1
	received_bytes += bytes
	if _frame != Engine.get_process_frames():
		_frame = Engine.get_process_frames()
		_in_frame = 0
	_in_frame += 1
	most_in_frame = maxi(most_in_frame, _in_frame)


func _set_options(peer: MultiplayerPeer, order: Dictionary) -> void:
	var options: Dictionary = order.get("options", {})
	for option: String in options:
		peer.set(option, options[option])


func _why() -> String:
	return _peer.call(&"get_last_error") if _peer and _peer.has_method(&"get_last_error") else ""


func _close_frame() -> Dictionary:
	if _peer == null or not _peer.has_method(&"get_close_code"):
		return {}
	return {
		"close_code": _peer.call(&"get_close_code"),
		"close_reason": _peer.call(&"get_close_reason"),
	}


func _tell(what: String, more: Dictionary) -> void:
	var event := {"link": name, "what": what, "why": _why()}
	event.merge(_close_frame())
	event.merge(more)
	print("EVENT " + JSON.stringify(event))
