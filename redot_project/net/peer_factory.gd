extends RefCounted
## The only script that knows which networking classes this build has.
##
## With the addon, a game gets `WebSocketServer` and `WebSocketClient`. Without it (a checkout that has not
## built the addon yet) the engine's own class speaks the same protocol, so both kinds of build can play
## together. Only for that, the addon's classes are created by name: a script that names a missing class
## does not parse. In a web export the addon's client is a script.

## Which certificates a client trusts on an encrypted connection.
enum Trust { HOST, AUTHORITIES, ANYBODY }

## How long a player may take to come back after its connection was lost.
const RESUME_TIMEOUT := 20.0
const WEB_CLIENT := "res://addons/websocket_multiplayer/web/web_socket_client.gd"
const Address := preload("res://net/address.gd")
const Identity := preload("res://net/identity.gd")

## Set by the command line's `class=engine`, to compare the engine's own class with the addon.
static var use_engine_class := false


## The result: a peer, or an error message.
class Outcome:
	extends RefCounted
	var peer: MultiplayerPeer
	var error := ""


static func has_addon() -> bool:
	if use_engine_class:
		return false
	return ClassDB.class_exists(&"WebSocketClient") or ResourceLoader.exists(WEB_CLIENT)


static func describe() -> String:
	if has_addon():
		return "WebSocketServer / WebSocketClient (addon)"
	return "WebSocketMultiplayerPeer (built into the engine)"


## `certified_name` is the name or address that players will type; with one, the server encrypts.
static func host(port: int, certified_name := "") -> Outcome:
	var identity: Identity = null
	if certified_name:
		identity = Identity.of_host(certified_name)
		if identity == null:
			return _failure("Cannot store a certificate in %s" % Identity.FOLDER)
	var peer: Variant
	var error: Error
	if has_addon():
		peer = ClassDB.instantiate(&"WebSocketServer")
		peer.resume_timeout = RESUME_TIMEOUT
		if identity:
			peer.private_key = identity.key
			peer.ssl_certificate = identity.certificate
		error = peer.listen(port, PackedStringArray(), true)
	else:
		peer = ClassDB.instantiate(&"WebSocketMultiplayerPeer")
		var tls := TLSOptions.server(identity.key, identity.certificate) if identity else null
		error = peer.create_server(port, "*", tls)
	return _outcome(peer, error, "Cannot listen on port %d" % port)


static func join(url: String, trust := Trust.HOST) -> Outcome:
	var pinned: X509Certificate = null
	var is_web := OS.has_feature("web")
	# In a browser, the browser alone decides which certificates are good.
	if Address.is_encrypted(url) and trust == Trust.HOST and not is_web:
		var place := Identity.place(Address.host_of(url))
		pinned = Identity.certificate_of(Address.host_of(url))
		if pinned == null:
			var folder := ProjectSettings.globalize_path(place)
			return _failure("The host's certificate is missing: copy it to %s" % folder)
	var peer: Variant
	var error: Error
	if has_addon():
		peer = load(WEB_CLIENT).new() if is_web else ClassDB.instantiate(&"WebSocketClient")
		# The default everywhere but in a browser.
		peer.resume_enabled = true
		if not is_web:
			peer.verify_ssl = trust != Trust.ANYBODY
			peer.trusted_ssl_certificate = pinned
		error = peer.connect_to_url(url, PackedStringArray(), true)
	else:
		peer = ClassDB.instantiate(&"WebSocketMultiplayerPeer")
		var tls: TLSOptions = null
		if Address.is_encrypted(url) and not is_web:
			var anybody := trust == Trust.ANYBODY
			tls = TLSOptions.client_unsafe() if anybody else TLSOptions.client(pinned)
		error = peer.create_client(url, tls)
	return _outcome(peer, error, "Cannot connect to %s" % url)


## Returns why the last connection failed or ended; empty if the class does not provide it.
static func last_error(peer: MultiplayerPeer) -> String:
	if peer and peer.has_method(&"get_last_error"):
		return peer.call(&"get_last_error")
	return ""


## Returns the close code of the other side; -1 if there was none, or the class does not provide it.
static func close_code(peer: MultiplayerPeer) -> int:
	if peer and peer.has_method(&"get_close_code"):
		return peer.call(&"get_close_code")
	return -1


## Returns the round-trip time to `peer_id` in milliseconds, -1 if unknown.
static func round_trip_msec(peer: MultiplayerPeer, peer_id: int) -> int:
	if peer and peer.has_method(&"get_peer_statistics"):
		var statistics: Dictionary = peer.call(&"get_peer_statistics", peer_id)
		return int(statistics.get("rtt_msec", -1))
	return -1


## Whether the connection to the server is lost, and the player about to come back.
static func is_suspended(peer: MultiplayerPeer) -> bool:
	return peer != null and peer.has_method(&"is_suspended") and peer.call(&"is_suspended")


## Drops the connection and comes back on a new one. Returns false if the server has given no session.
static func reconnect(peer: MultiplayerPeer) -> bool:
	return peer.has_method(&"reconnect") and peer.call(&"reconnect") == OK


static func _failure(words: String) -> Outcome:
	var outcome := Outcome.new()
	outcome.error = words
	return outcome


static func _outcome(peer: MultiplayerPeer, error: Error, what: String) -> Outcome:
	if error != OK:
		var reason := last_error(peer)
		return _failure("%s: %s" % [what, reason if reason else _in_words(error)])
	var outcome := Outcome.new()
	outcome.peer = peer
	return outcome


static func _in_words(error: Error) -> String:
	match error:
		ERR_ALREADY_IN_USE, ERR_CANT_CREATE:
			return "it is in use, or this user may not open it"
		ERR_INVALID_PARAMETER:
			return "the address or port is not valid"
		ERR_UNAVAILABLE:
			return "this build does not support it"
		_:
			return error_string(error)
