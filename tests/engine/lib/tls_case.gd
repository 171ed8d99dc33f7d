extends "res://lib/case.gd"
## A case about certificates: the files in `tls`, and clients that can connect or cannot.

const FOLDER := "res://tls/"
const OFFLINE := MultiplayerPeer.CONNECTION_DISCONNECTED
const TIMEOUT := 30.0


## Polls both until the client is connected or has failed.
func _settle(server: MultiplayerPeer, client: MultiplayerPeer, what: String) -> void:
	var settled := func() -> bool:
		server.poll()
		client.poll()
		return client.get_connection_status() != MultiplayerPeer.CONNECTION_CONNECTING
	await until(settled, TIMEOUT, what)


func _key(file: String) -> CryptoKey:
	var key := CryptoKey.new()
	check_eq(key.load(FOLDER + file + ".key"), OK, file)
	return key


func _certificate(file: String) -> X509Certificate:
	var certificate := X509Certificate.new()
	check_eq(certificate.load(FOLDER + file + ".crt"), OK, file)
	return certificate
