extends RefCounted
## Messages of raw mode that the game has not taken, in order.
##
## Taking one moves an index: removing the first element of an [Array] moves all others, which takes seconds for the 60,000 packets that
## may wait when a tab returns from the background.

const _SHRINK_ABOVE: int = 1024

## The bytes of all of them.
var bytes: int = 0

var _packets: Array[PackedByteArray] = []
## 1 for each that was a text message.
var _texts: PackedByteArray = PackedByteArray()
var _next: int = 0


func size() -> int:
	return _packets.size() - _next


func is_empty() -> bool:
	return _next == _packets.size()


func push(packet: PackedByteArray, text: bool) -> void:
	_packets.push_back(packet)
	@warning_ignore("return_value_discarded")
	_texts.push_back(1 if text else 0)
	bytes += packet.size()


## Whether the next one is a text. The queue must not be empty; the same holds for take().
func is_text() -> bool:
	return _texts[_next] == 1


func take() -> PackedByteArray:
	var packet: PackedByteArray = _packets[_next]
	_packets[_next] = PackedByteArray()
	_next += 1
	bytes -= packet.size()
	if _next == _packets.size():
		clear()
	elif _next > _SHRINK_ABOVE and _next * 2 > _packets.size():
		_packets = _packets.slice(_next)
		_texts = _texts.slice(_next)
		_next = 0
	return packet


func clear() -> void:
	_packets.clear()
	_texts.clear()
	_next = 0
	bytes = 0
