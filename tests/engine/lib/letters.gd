extends RefCounted
## Packets that contain their sender and receiver, in a form that the 3.6 side of a test can also
## make and check (tests/engine3/lib/letters.gd): a line of text, then bytes derived from it.

const POOL_SIZE := 1 << 17
## The smallest size that fits the longest line.
const SMALLEST := 60

static var _pool := _make_pool()


## Makes a letter of `size` bytes in total.
static func write(from: String, to: String, number: int, size: int) -> PackedByteArray:
	var line := "%s|%s|%d|%d\n" % [from, to, number, size]
	var letter := line.to_utf8_buffer()
	letter.append_array(_body(number, size - letter.size()))
	return letter


## Returns {from, to, number, fault}; the fault is empty if the letter is intact.
static func read(letter: PackedByteArray) -> Dictionary:
	var end := letter.find(10)
	var parts := letter.slice(0, maxi(end, 0)).get_string_from_utf8().split("|")
	if parts.size() != 4:
		return {from = "", to = "", number = 0, fault = "no letter, %d bytes" % letter.size()}
	var read_letter := {from = parts[0], to = parts[1], number = int(parts[2]), fault = ""}
	if letter.size() != int(parts[3]):
		read_letter.fault = "%d bytes instead of %s" % [letter.size(), parts[3]]
	elif letter.slice(end + 1) != _body(read_letter.number, letter.size() - end - 1):
		read_letter.fault = "%d changed bytes" % letter.size()
	return read_letter


static func _body(number: int, size: int) -> PackedByteArray:
	var offset := number * 97 % 4096
	return _pool.slice(offset, offset + size)


static func _make_pool() -> PackedByteArray:
	var pool := PackedByteArray()
	pool.resize(POOL_SIZE)
	var state := 1
	for index in POOL_SIZE:
		state = (state * 1103515245 + 12345) & 0x7fffffff
		pool[index] = state >> 16 & 255
	return pool
