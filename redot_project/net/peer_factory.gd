extends RefCounted
## The one place that knows which networking classes this build has.
##
## With the addon, a game gets `WebSocketServer` and `WebSocketClient`. Without it (a web export,
## or a checkout that has not built the addon yet) the engine's own class speaks the same protocol,
## so both kinds of build can play together. The addon's classes are made by name, because a script
## that mentions a missing class does not even parse.


## What came out: either a peer or, in words, why there is none.
class Outcome:
	extends RefCounted
	var peer: MultiplayerPeer
	var error := ""


static func has_addon() -> bool:
	return ClassDB.class_exists(&"WebSocketServer") and ClassDB.class_exists(&"WebSocketClient")


static func describe() -> String:
	if has_addon():
		return "WebSocketServer / WebSocketClient (addon)"
	return "WebSocketMultiplayerPeer (built into the engine)"


static func host(port: int) -> Outcome:
	var peer: Variant
	var error: Error
	if has_addon():
		peer = ClassDB.instantiate(&"WebSocketServer")
		error = peer.listen(port, PackedStringArray(), true)
	else:
		peer = ClassDB.instantiate(&"WebSocketMultiplayerPeer")
		error = peer.create_server(port)
	return _outcome(peer, error, "Cannot listen on port %d" % port)


static func join(url: String) -> Outcome:
	var peer: Variant
	var error: Error
	if has_addon():
		peer = ClassDB.instantiate(&"WebSocketClient")
		error = peer.connect_to_url(url, PackedStringArray(), true)
	else:
		peer = ClassDB.instantiate(&"WebSocketMultiplayerPeer")
		error = peer.create_client(url)
	return _outcome(peer, error, "Cannot connect to %s" % url)


## Why the last connection failed or ended, in words; empty when the class cannot tell.
static func last_error(peer: MultiplayerPeer) -> String:
	if peer and peer.has_method(&"get_last_error"):
		return peer.call(&"get_last_error")
	return ""


## Round trip to `peer_id` in milliseconds, -1 when unknown.
static func round_trip_msec(peer: MultiplayerPeer, peer_id: int) -> int:
	if peer and peer.has_method(&"get_peer_statistics"):
		var statistics: Dictionary = peer.call(&"get_peer_statistics", peer_id)
		return int(statistics.get("rtt_msec", -1))
	return -1


static func _outcome(peer: MultiplayerPeer, error: Error, what: String) -> Outcome:
	var outcome := Outcome.new()
	if error == OK:
		outcome.peer = peer
		return outcome
	var reason := last_error(peer)
	outcome.error = "%s: %s" % [what, reason if reason else _in_words(error)]
	return outcome


static func _in_words(error: Error) -> String:
	match error:
		ERR_ALREADY_IN_USE, ERR_CANT_CREATE:
			return "it is taken, or may not be opened by this user"
		ERR_INVALID_PARAMETER:
			return "that is not a valid address or port"
		ERR_UNAVAILABLE:
			return "this build does not support it"
		_:
			return error_string(error)
