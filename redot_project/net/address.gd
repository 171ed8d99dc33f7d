extends RefCounted
## What people type as an address, turned into a WebSocket URL.

const DEFAULT_PORT := 9080


## Accepts "host", "host:port", "[::1]:port", "ws://..." and "wss://..."; `encrypted` selects the scheme if
## the address has none. Returns an empty string for anything else.
static func to_url(text: String, encrypted := false) -> String:
	var address := text.strip_edges()
	if address.is_empty() or address.contains(" "):
		return ""
	var scheme := "wss://" if encrypted else "ws://"
	if address.contains("://"):
		var split := address.find("://") + 3
		scheme = address.left(split).to_lower()
		address = address.substr(split)
		if scheme not in ["ws://", "wss://"] or address.is_empty():
			return ""
		return scheme + address
	if not _has_port(address):
		address += ":%d" % DEFAULT_PORT
	return scheme + address


static func is_encrypted(url: String) -> bool:
	return url.begins_with("wss://")


## Returns the host name or address of a URL, which must be in the certificate.
static func host_of(url: String) -> String:
	var authority := url.get_slice("://", 1).get_slice("/", 0).get_slice("?", 0)
	if authority.begins_with("["):
		return authority.get_slice("]", 0).trim_prefix("[")
	return authority.get_slice(":", 0)


static func parse_port(text: String) -> int:
	var port := text.strip_edges()
	if not port.is_valid_int():
		return -1
	var number := port.to_int()
	return number if number >= 1 and number <= 65535 else -1


static func _has_port(address: String) -> bool:
	var authority := address.get_slice("/", 0)
	if authority.begins_with("["):
		return authority.contains("]:")
	return authority.contains(":")
