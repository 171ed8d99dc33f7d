extends RefCounted
## Judges by what the browser has not sent yet whether a connection takes its data.
##
## A browser tells no more than `bufferedAmount`. It rises with each send and falls only between frames, so that a burst on a healthy line looks
## as data on a dead one until the next frame. Hence the judgement at each poll, by what was unsent before this frame sent anything.

## So long must data wait, without a moment at which none did.
const WAIT_MSEC: int = 100
## Nobody watched for longer: a hidden page or a debugger, which say nothing about the line.
const UNWATCHED_MSEC: int = 1000

var congested: bool = false
## Bytes that the browser has not sent yet, as far as they were told.
var bytes: int = 0
## At most so many packets are among them: those sent since none waited.
var packets: int = 0
## Bytes that have left, as far as they were told.
var left: int = 0
## Whether nothing was unsent at the last judgement, before that frame sent anything.
var drained: bool = true

var _since_judged: int = 0
var _waits_from: int = -1
var _stalled_from: int = -1
var _judged_at: int = -1


## Once per poll. [param unsent]: bytes unsent before this frame sent anything. [param in_frame]: bytes that this frame has sent already.
func judge(unsent: int, in_frame: int, now_msec: int) -> void:
	var watched: bool = _judged_at >= 0 and now_msec - _judged_at <= UNWATCHED_MSEC
	_judged_at = now_msec
	drained = unsent == 0
	if drained:
		_waits_from = -1
		_stalled_from = -1
		congested = false
		packets = _since_judged
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
	_since_judged = 0


func sent(size: int, count: int) -> void:
	bytes += size
	packets += count
	_since_judged += count


## For how long data has waited without any leaving, in ms.
func stalled_msec() -> int:
	return _judged_at - _stalled_from if _stalled_from >= 0 else 0
