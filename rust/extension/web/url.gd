extends RefCounted
## A [code]ws://[/code] or [code]wss://[/code] URL as a client gets it (RFC 6455 section 3). Without a scheme it is [code]ws://[/code].

const _SHOWN: int = 80
const _BAD_IN_HOST: String = '[]<>"\\^`{|}'

## The text that was parsed.
var given: String = ""
var is_secure: bool = false
## A name or an address, without brackets.
var host: String = ""
var port: int = 0
## Path and query.
var target: String = ""
## What a browser is given: without a fragment and without user and password.
var address: String = ""
var has_credentials: bool = false
## What is wrong with it; empty if nothing is.
var fault: String = ""


func _init(text: String) -> void:
	given = text.strip_edges()
	fault = _parse()


## The address without brackets if the host is one, which is all that a browser says about where the server is.
func ip() -> String:
	return host if host.is_valid_ip_address() else ""


## The host as messages show it.
func place() -> String:
	return "%s:%d" % ["[%s]" % host if host.contains(":") else host, port]


func _parse() -> String:
	var rest: String = given
	var at: int = given.find("://")
	var scheme: String = "ws"
	if at >= 0 and _is_scheme(given.left(at)):
		scheme = given.left(at).to_lower()
		rest = given.substr(at + 3)
	if scheme != "ws" and scheme != "wss":
		return _bad("it must begin with ws:// or wss://")
	is_secure = scheme == "wss"
	for index: int in rest.length():
		var code: int = rest.unicode_at(index)
		if code <= 32 or code == 127:
			return _bad("it contains a space or a control character")
	rest = rest.get_slice("#", 0)
	var end: int = _first(rest, "/?")
	var authority: String = rest.left(end)
	target = rest.substr(end)
	if not target.begins_with("/"):
		target = "/" + target
	var user: int = authority.rfind("@")
	has_credentials = user > 0
	var why: String = _parse_place(authority.substr(user + 1))
	if not why.is_empty():
		return _bad(why)
	target = _encoded(target)
	address = "%s://%s%s" % [scheme, place(), target]
	return ""


func _parse_place(text: String) -> String:
	var number: String = ""
	if text.begins_with("["):
		var end: int = text.find("]")
		if end < 0:
			return "its IPv6 address has no closing bracket"
		host = text.substr(1, end - 1)
		if host.contains("%"):
			return "a browser takes no zone in an IPv6 address"
		if not host.is_valid_ip_address():
			return "there is no IPv6 address in its brackets"
		number = text.substr(end + 1)
		if not number.is_empty() and not number.begins_with(":"):
			return "only a port may follow its brackets"
	else:
		var colon: int = text.find(":")
		host = text if colon < 0 else text.left(colon)
		number = "" if colon < 0 else text.substr(colon)
		if number.count(":") > 1:
			return "an IPv6 address needs brackets, as in ws://[::1]:9080"
		if _first(host, _BAD_IN_HOST) < host.length():
			return "its host has a character that no name has"
		if host.is_empty():
			return "it has no host"
	port = 443 if is_secure else 80
	if number.is_empty():
		return ""
	number = number.substr(1)
	port = number.to_int() if _is_digits(number) and number.length() <= 9 else 0
	return "" if port >= 1 and port <= 65535 else "its port is not a number from 1 to 65535"


## As lines show it: shortened, and without a password.
func _bad(why: String) -> String:
	var shown: String = given.substr(given.rfind("@") + 1).left(_SHOWN).c_escape()
	return 'cannot connect to "%s": %s' % [shown, why]


## Where the first of some characters is; the length if there is none.
static func _first(text: String, characters: String) -> int:
	for index: int in text.length():
		if characters.contains(text[index]):
			return index
	return text.length()


static func _is_scheme(text: String) -> bool:
	for character: String in text:
		var code: int = character.unicode_at(0)
		var is_word: bool = (
			code < 128 and (character.is_valid_identifier() or character.is_valid_int())
		)
		if not "+-.".contains(character) and (not is_word or character == "_"):
			return false
	return true


static func _is_digits(text: String) -> bool:
	for character: String in text:
		if character < "0" or character > "9":
			return false
	return not text.is_empty()


## With bytes that are not ASCII percent-encoded, as a request has it (RFC 9112 section 3.2).
static func _encoded(text: String) -> String:
	var result: String = ""
	for byte: int in text.to_utf8_buffer():
		result += String.chr(byte) if byte > 32 and byte < 127 else "%%%02X" % byte
	return result
