extends RefCounted
## What people type as an address, turned into a WebSocket URL.

const DEFAULT_PORT := 9080


## "host", "host:port", "[::1]:port", "ws://..." and "wss://..." are understood.
## Returns an empty string for anything else.
static func to_url(text: String) -> String:
	var address := text.strip_edges()
	if address.is_empty() or address.contains(" "):
		return ""
	var scheme := "ws://"
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
