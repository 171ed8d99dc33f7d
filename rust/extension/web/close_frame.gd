extends RefCounted
## What a page may put into a Close frame. For anything else the browser throws, which would end the engine's main loop.

const LONGEST_REASON: int = 123

static var _mapping_told: bool = false


## A page may send 1000 and 3000 to 4999. 1001 to 2999 become 4000 + the last three digits.
static func legal_code(code: int) -> int:
	if code == 1000 or (code >= 3000 and code <= 4999):
		return code
	if code < 1000 or code > 4999:
		return 1000
	var legal: int = 4000 + code % 1000
	if not _mapping_told:
		_mapping_told = true
		push_warning(
			(
				"a browser sends no close code of 1001 to 2999: %d goes out as %d, others likewise"
				% [code, legal]
			)
		)
	return legal


## The reason, cut to 123 bytes of UTF-8 without splitting a character.
static func legal_reason(reason: String) -> String:
	var bytes: PackedByteArray = reason.to_utf8_buffer()
	if bytes.size() <= LONGEST_REASON:
		return reason
	var end: int = LONGEST_REASON
	while bytes[end] & 0xC0 == 0x80:
		end -= 1
	return bytes.slice(0, end).get_string_from_utf8()
