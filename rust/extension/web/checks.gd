extends RefCounted
## The checks of what a script sets or passes, and the lines that say what was wrong.

## Of [method MultiplayerPeer.set_buffers] and of numbers in KiB.
const MOST: int = 1048576
## Bytes of the reason of a Close frame (RFC 6455 section 5.5).
const LONGEST_REASON: int = 123
## Three years.
const _MAX_SECONDS: float = 1e8
## What stays when a value cannot be shown whole.
const _SHOWN: int = 80
## A token of HTTP (RFC 9110 section 5.6.2).
const _TOKEN_MARKS: String = "!#$%&'*+-.^_`|~"

static var _warned: Dictionary = {}


## Prints one error line. [param where] is a class with a method or a property.
static func error(where: String, why: String) -> void:
	push_error("%s: %s." % [where, why])


## Prints a warning once per process.
static func warn_once(text: String) -> void:
	if not _warned.has(text):
		_warned[text] = true
		push_warning(text)


## Whether a number is in its range; prints a line otherwise.
static func is_in_range(where: String, value: int, least: int, most: int) -> bool:
	var fits: bool = value >= least and value <= most
	if not fits:
		error(where, "%d cannot be used; it must be from %d to %d" % [value, least, most])
	return fits


## Whether a time in seconds can be used; prints a line otherwise.
static func is_time(where: String, seconds: float, may_be_zero: bool) -> bool:
	var fits: bool = seconds > 0.0 or may_be_zero and seconds == 0.0
	if fits and seconds <= _MAX_SECONDS:
		return true
	var wanted: String = "0 or more" if may_be_zero else "more than 0"
	error(
		where, "%s seconds cannot be used; it must be %s, and finite" % [_number(seconds), wanted]
	)
	return false


## Whether a server that answers in time is never dropped; prints a line otherwise.
static func is_heartbeat(where: String, interval: float, timeout: float) -> bool:
	if interval <= 0.0 or timeout <= 0.0 or timeout > interval:
		return true
	var why: String = (
		"heartbeat_timeout (%s s) must be greater than heartbeat_interval (%s s); change the other one first"
		% [_number(timeout), _number(interval)]
	)
	error(where, why)
	return false


## What is wrong with a close code or reason; empty if nothing is.
static func close_fault(code: int, reason: String) -> String:
	var why: String = ""
	if (code >= 1004 and code <= 1006) or code == 1015:
		why = "it is reserved and never sent"
	elif code < 1000 or code > 4999:
		why = "it must be between 1000 and 4999"
	elif reason.to_utf8_buffer().size() > LONGEST_REASON:
		why = "the reason is longer than 123 bytes of UTF-8"
	return "" if why.is_empty() else "cannot close with code %d: %s" % [code, why]


## What is wrong with a list of subprotocols; empty if nothing is.
static func protocols_fault(protocols: PackedStringArray) -> String:
	for protocol: String in protocols:
		if not _is_token(protocol.strip_edges()):
			return (
				'subprotocol "%s" is not a token of letters, digits and %s'
				% [protocol.strip_edges().left(_SHOWN), _TOKEN_MARKS]
			)
	return ""


## Trimmed, each once.
static func trimmed(protocols: PackedStringArray) -> PackedStringArray:
	var result: PackedStringArray = PackedStringArray()
	for protocol: String in protocols:
		var one: String = protocol.strip_edges()
		if not result.has(one):
			@warning_ignore("return_value_discarded")
			result.push_back(one)
	return result


## Whether bytes are valid UTF-8.
static func is_utf8(bytes: PackedByteArray) -> bool:
	# Decoding replaces what is not UTF-8 by another character, whose bytes differ, and ends at a zero; it prints lines, too.
	var at: int = 0
	var size: int = bytes.size()
	while at < size:
		var length: int = _utf8_length(bytes, at)
		if length == 0:
			return false
		at += length
	return true


## The length of the character that begins at a place, or 0 (RFC 3629).
static func _utf8_length(bytes: PackedByteArray, at: int) -> int:
	var first: int = bytes[at]
	if first < 0x80:
		return 1
	var length: int = 2 if first < 0xe0 else 3 if first < 0xf0 else 4
	if first < 0xc2 or first > 0xf4 or at + length > bytes.size():
		return 0
	for place: int in range(1, length):
		if bytes[at + place] & 0xc0 != 0x80:
			return 0
	var second: int = bytes[at + 1]
	match first:
		0xe0:
			return 3 if second >= 0xa0 else 0
		0xed:
			return 3 if second < 0xa0 else 0
		0xf0:
			return 4 if second >= 0x90 else 0
		0xf4:
			return 4 if second < 0x90 else 0
	return length


static func _is_token(text: String) -> bool:
	for character: String in text:
		var code: int = character.unicode_at(0)
		var is_word: bool = (
			code < 128 and (character.is_valid_identifier() or character.is_valid_int())
		)
		if not is_word and not _TOKEN_MARKS.contains(character):
			return false
	return not text.is_empty()


## Without a fraction where there is none.
static func _number(value: float) -> String:
	return String.num(value).trim_suffix(".0")
