extends RefCounted
## Makes peers of each kind, so that one case tests all of them.
##
## "ours" are the classes in the style of 3.6, "ours4" is the replacement of the engine's class,
## "engine" is the engine's own class. The addon's classes are created by name, because a script
## that mentions them does not parse without the addon. In a process that runs with `web`, the
## scripts of a web export have these names.

const OURS_4 := &"BufferedWebSocketMultiplayerPeer"
const ENGINE := &"WebSocketMultiplayerPeer"
## The default for cases. The addon's own default is too short for a busy machine.
const HANDSHAKE_TIMEOUT := 20.0


## Returns null if listening fails; the reason is printed. `properties` are set before. `tls` is a
## folder with key.pem and certificate.pem.
static func make_server(kind: String, port: int, properties := {}, tls := "") -> MultiplayerPeer:
	var peer: Variant = _instance(kind, &"WebSocketServer")
	if peer == null:
		return null
	peer.handshake_timeout = HANDSHAKE_TIMEOUT
	for property: String in properties:
		peer.set(property, properties[property])
	var key: CryptoKey = null
	var certificate: X509Certificate = null
	if not tls.is_empty():
		key = CryptoKey.new()
		certificate = X509Certificate.new()
		if (
			key.load(tls.path_join("key.pem")) != OK
			or certificate.load(tls.path_join("certificate.pem")) != OK
		):
			print("there is no key and certificate in %s" % tls)
			return null
	var error: Error
	if kind == "ours":
		if key != null:
			peer.private_key = key
			peer.ssl_certificate = certificate
		error = peer.listen(port, PackedStringArray(), true)
	elif key != null:
		error = peer.create_server(port, "*", TLSOptions.server(key, certificate))
	else:
		error = peer.create_server(port)
	return _made(peer, error, "%s server on port %d" % [kind, port])


## Returns null if connecting cannot start; the reason is printed. `properties` are set before. With
## wss://, any certificate is trusted.
static func make_client(kind: String, url: String, properties := {}) -> MultiplayerPeer:
	var peer: Variant = _instance(kind, &"WebSocketClient")
	if peer == null:
		return null
	peer.handshake_timeout = HANDSHAKE_TIMEOUT
	for property: String in properties:
		peer.set(property, properties[property])
	var error: Error
	var is_secure := url.begins_with("wss://")
	if kind == "ours":
		peer.verify_ssl = not is_secure
		error = peer.connect_to_url(url, PackedStringArray(), true)
	else:
		error = peer.create_client(url, TLSOptions.client_unsafe() if is_secure else null)
	return _made(peer, error, "%s client of %s" % [kind, url])


static func is_ours(peer: MultiplayerPeer) -> bool:
	return peer.get_class() != ENGINE


## Makes a key and a certificate for [method make_server] in a folder, and returns the folder.
static func make_certificate(folder: String) -> String:
	var key := Crypto.new().generate_rsa(2048)
	var certificate := Crypto.new().generate_self_signed_certificate(key, "CN=localhost")
	key.save(folder.path_join("key.pem"))
	certificate.save(folder.path_join("certificate.pem"))
	return folder


static func _instance(kind: String, of_ours: StringName) -> Variant:
	var type := of_ours
	match kind:
		"ours":
			pass
		"ours4":
			type = OURS_4
		"engine":
			type = ENGINE
		_:
			print("there is no kind of peer called %s" % kind)
			return null
	if ClassDB.class_exists(type):
		return ClassDB.instantiate(type)
	var script := script_of(type)
	if script == null:
		print("this engine has no class %s: is the addon staged?" % type)
		return null
	return script.new()


## The script that has this name, or null.
static func script_of(type: StringName) -> GDScript:
	for global: Dictionary in ProjectSettings.get_global_class_list():
		if global["class"] == type:
			return load(global["path"])
	return null


static func _made(peer: MultiplayerPeer, error: Error, what: String) -> MultiplayerPeer:
	if error == OK:
		return peer
	print("%s: %s" % [what, error_string(error)])
	return null
