extends RefCounted
## The identity of an encrypted host: a key and a self-signed certificate, made by the engine.
##
## They are stored in user://certificates, so that a copy of the certificate on another machine stays
## valid. A public server has a certificate that an authority has signed, and does not need this.

const FOLDER := "user://certificates"
const KEY_BITS := 2048

var key := CryptoKey.new()
var certificate := X509Certificate.new()


## Makes an identity for the name or address that players will type; null if it cannot be stored.
static func of_host(host: String) -> RefCounted:
	var identity: RefCounted = new()
	if identity._load(host) or identity._make(host):
		return identity
	return null


## Returns the client's copy of the host's certificate; null if there is none.
static func certificate_of(host: String) -> X509Certificate:
	var found := X509Certificate.new()
	if FileAccess.file_exists(place(host)) and found.load(place(host)) == OK:
		return found
	return null


static func place(host: String) -> String:
	return FOLDER.path_join(host.validate_filename() + ".crt")


func _load(host: String) -> bool:
	var its_key := place(host).get_basename() + ".key"
	if not FileAccess.file_exists(its_key) or not FileAccess.file_exists(place(host)):
		return false
	return key.load(its_key) == OK and certificate.load(place(host)) == OK


func _make(host: String) -> bool:
	var crypto := Crypto.new()
	key = crypto.generate_rsa(KEY_BITS)
	certificate = crypto.generate_self_signed_certificate(key, "CN=%s,O=Gem Rush,C=XX" % host)
	DirAccess.make_dir_recursive_absolute(FOLDER)
	return (
		key.save(place(host).get_basename() + ".key") == OK and certificate.save(place(host)) == OK
	)
