extends RefCounted
## Packets of multiplayer mode that the game has not taken, in order.
##
## A [MultiplayerAPI] asks for each packet with five calls, and every call of a script takes longer than all that the engine does. So the client
## takes packets out of [member next] by itself, and only calls for the next portion.

const PORTION: int = 64

## The next packets, the first of them at the end. The array stays the same.
var next: Array[PackedByteArray] = []
## The packets behind these.
var behind: int = 0
## The bytes of those behind.
var bytes: int = 0

# The packets from _taken on are behind.
var _packets: Array[PackedByteArray] = []
# The sender of each in next and of each behind.
var _next_senders: PackedInt32Array = PackedInt32Array()
var _senders: PackedInt32Array = PackedInt32Array()
var _taken: int = 0


func size() -> int:
	return next.size() + behind


## Adds packets of one sender, and as many bytes.
func add(packets: Array[PackedByteArray], more_bytes: int, sender: int) -> void:
	var senders: PackedInt32Array = PackedInt32Array()
	if senders.resize(packets.size()) != OK:
		return
	senders.fill(sender)
	_packets.append_array(packets)
	_senders.append_array(senders)
	behind += packets.size()
	bytes += more_bytes


func push(packet: PackedByteArray, sender: int) -> void:
	_packets.push_back(packet)
	@warning_ignore("return_value_discarded")
	_senders.push_back(sender)
	behind += 1
	bytes += packet.size()


## Fills [member next], which must be empty.
func fill_next() -> void:
	var end: int = mini(_taken + PORTION, _packets.size())
	next.append_array(_packets.slice(_taken, end))
	next.reverse()
	_next_senders = _senders.slice(_taken, end)
	_next_senders.reverse()
	_taken = end
	behind -= next.size()
	for packet: PackedByteArray in next:
		bytes -= packet.size()
	if behind == 0:
		_packets.clear()
		_senders.clear()
		_taken = 0
	elif _taken * 2 > _packets.size():
		_packets = _packets.slice(_taken)
		_senders = _senders.slice(_taken)
		_taken = 0


## The sender of the next packet. There must be one in [member next].
func next_sender() -> int:
	return _next_senders[next.size() - 1]


func total_bytes() -> int:
	var total: int = bytes
	for packet: PackedByteArray in next:
		total += packet.size()
	return total


func clear() -> void:
	next.clear()
	behind = 0
	bytes = 0
	_packets.clear()
	_next_senders.clear()
	_senders.clear()
	_taken = 0
