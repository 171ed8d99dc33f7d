extends Reference
# Packets that contain their sender and receiver: see tests/engine/lib/letters.gd.

const POOL_SIZE = 1 << 17

var _pool = _make_pool()


# Makes a letter of `size` bytes in total.
func write(from, to, number, size):
	var letter = ("%s|%s|%d|%d\n" % [from, to, number, size]).to_utf8()
	letter.append_array(_body(number, size - letter.size()))
	return letter


# Returns {from, to, number, fault}; the fault is empty if the letter is intact.
func read(letter):
	var end = 0
	while end < letter.size() and letter[end] != 10:
		end += 1
	var line = letter.subarray(0, end - 1).get_string_from_utf8() if end > 0 else ""
	var parts = line.split("|")
	if parts.size() != 4:
		return {from = "", to = "", number = 0, fault = "no letter, %d bytes" % letter.size()}
	var read_letter = {from = parts[0], to = parts[1], number = int(parts[2]), fault = ""}
	if letter.size() != int(parts[3]):
		read_letter.fault = "%d bytes instead of %s" % [letter.size(), parts[3]]
	elif letter != write(parts[0], parts[1], read_letter.number, letter.size()):
		read_letter.fault = "%d changed bytes" % letter.size()
	return read_letter


func _body(number, size):
	var offset = number * 97 % 4096
	# A range without bytes is an error in 3.6.
	return _pool.subarray(offset, offset + size - 1) if size > 0 else PoolByteArray()


func _make_pool():
	var pool = PoolByteArray()
	pool.resize(POOL_SIZE)
	var state = 1
	for index in POOL_SIZE:
		state = (state * 1103515245 + 12345) & 0x7fffffff
		pool[index] = state >> 16 & 255
	return pool
