extends RefCounted
## A key and its certificate, as a game makes them for its own server.

var key: CryptoKey
var certificate: X509Certificate


func _init(common_name: String) -> void:
	var crypto := Crypto.new()
	key = crypto.generate_rsa(2048)
	var subject := "CN=%s,O=Tests,C=XX" % common_name
	certificate = crypto.generate_self_signed_certificate(key, subject)


## The folder in which the processes of a case exchange certificates.
static func place(scratch: String, its_name: String) -> String:
	return scratch.path_join(its_name + ".crt")


static func load_certificate(scratch: String, its_name: String) -> X509Certificate:
	var certificate := X509Certificate.new()
	return certificate if certificate.load(place(scratch, its_name)) == OK else null
