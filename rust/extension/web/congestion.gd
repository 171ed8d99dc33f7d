extends RefCounted
## Judges by what the browser has not sent yet whether a connection takes its data.
##
## A browser tells no more than `bufferedAmount`. It rises with each send and falls only between frames, so that a burst on a healthy line looks
## as data on a dead one until the next frame. Hence the judgement at each poll, by what was unsent before this frame sent anything.

## So long must data wait, without a moment at which none did.
const WAIT_MSEC: int = 100
## Nobody watched for longer: a hidden page or a debugger, which say nothing about the line.
const UNWATCHED_MSEC: int = 1000
## More marks than that are thinned out: then a group of packets, about a 128th of those that wait, counts as long as one of them does.
const MOST_MARKS: int = 512

var congested: bool = false
## Bytes that the browser has not sent yet, as far as they were told.
var bytes: int = 0
## At most so many packets are among them, of those sent on this socket. Those of one frame count until all of them have left.
var packets: int = 0
## Bytes that have left, as far as they were told.
var left: int = 0
## Whether nothing was unsent at the last judgement, before that frame sent anything.
var drained: bool = true

# All that was sent; and of each frame that still waits, or of groups of them, how much and how many packets had been sent at its end.
var _sent_bytes: int = 0
var _sent_packets: int = 0
var _mark_bytes: PackedInt64Array = PackedInt64Array()
var _mark_packets: PackedInt64Array = PackedInt64Array()
# So many packets at least are between two marks.
var _between_marks: int = 1
var _waits_from: int = -1
var _stalled_from: int = -1
var _judged_at: int = -1


## Once per poll. [param unsent]: bytes unsent before this frame sent anything. [param in_frame]: bytes that this frame has sent already. [param
## again]: those of the first that another connection had sent before, in front of all others.
func judge(unsent: int, in_frame: int, now_msec: int, again: int = 0) -> void:
	var watched: bool = _judged_at >= 0 and now_msec - _judged_at <= UNWATCHED_MSEC
	_judged_at = now_msec
	drained = unsent == 0
	if drained:
		_waits_from = -1
		_stalled_from = -1
		congested = false
	elif _waits_from < 0 or not watched:
		_waits_from = now_msec
		_stalled_from = now_msec
		congested = false
	else:
		congested = congested or now_msec - _waits_from >= WAIT_MSEC
		if unsent + in_frame < bytes:
			_stalled_from = now_msec
	left += maxi(0, bytes - unsent - in_frame)
	bytes = unsent + in_frame
	if packets > 0:
		_forget_packets(_sent_bytes - maxi(0, bytes - again))


func sent(size: int, count: int) -> void:
	bytes += size
	packets += count
	_sent_bytes += size
	_sent_packets += count


## For how long data has waited without any leaving, in ms.
func stalled_msec() -> int:
	return _judged_at - _stalled_from if _stalled_from >= 0 else 0


## Packets leave in the order in which they were sent. [param gone]: so many bytes of all that was sent have left.
func _forget_packets(gone: int) -> void:
	if gone >= _sent_bytes:
		packets = 0
		_mark_bytes.clear()
		_mark_packets.clear()
		_between_marks = 1
		return
	var marked: int = _sent_packets - packets if _mark_packets.is_empty() else _mark_packets[-1]
	if _sent_packets - marked >= _between_marks:
		if _mark_packets.size() == MOST_MARKS:
			_thin_out()
		@warning_ignore("return_value_discarded")
		_mark_bytes.push_back(_sent_bytes)
		@warning_ignore("return_value_discarded")
		_mark_packets.push_back(_sent_packets)
	var count: int = _mark_bytes.bsearch(gone, false)
	if count > 0:
		packets = _sent_packets - _mark_packets[count - 1]
		_mark_bytes = _mark_bytes.slice(count)
		_mark_packets = _mark_packets.slice(count)
		@warning_ignore("integer_division")
		_between_marks = mini(_between_marks, maxi(1, packets / (MOST_MARKS / 2)))


## The marks to come are as far from each other as those that stay.
func _thin_out() -> void:
	@warning_ignore("integer_division")
	_between_marks = (_mark_packets[-1] - _mark_packets[0]) / (MOST_MARKS / 2)
	_mark_bytes = _every_other(_mark_bytes)
	_mark_packets = _every_other(_mark_packets)


static func _every_other(marks: PackedInt64Array) -> PackedInt64Array:
	var kept: PackedInt64Array = PackedInt64Array()
	for at: int in range(1, marks.size(), 2):
		@warning_ignore("return_value_discarded")
		kept.push_back(marks[at])
	return kept
