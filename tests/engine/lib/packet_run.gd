extends RefCounted
## A sequence of packets that two processes can make independently: sizes and contents follow from a
## seed, so that the receiver notices lost, changed and swapped packets.

const POOL_SIZE := 1 << 18

## The same bytes in all processes; the packets are parts of them.
static var _pool := _make_pool()

var smallest: int
var largest: int
## The number of packets made or taken.
var number := 0
var bytes := 0
## What was wrong with the first wrong packet.
var fault := ""

var _generator := RandomNumberGenerator.new()


func _init(seed_number: int, smallest_size: int, largest_size: int) -> void:
	_generator.seed = seed_number
	smallest = smallest_size
	largest = largest_size


func next() -> PackedByteArray:
	var size := _generator.randi_range(smallest, largest)
	var offset := _generator.randi_range(0, POOL_SIZE - size)
	number += 1
	bytes += size
	return _pool.slice(offset, offset + size)


## Returns true if this is the next packet of the sequence.
func take(packet: PackedByteArray) -> bool:
	var expected := next()
	if packet == expected:
		return true
	if fault.is_empty():
		fault = (
			"packet %d has %d bytes (hash %d) instead of %d (hash %d)"
			% [number, packet.size(), hash(packet), expected.size(), hash(expected)]
		)
	return false


static func _make_pool() -> PackedByteArray:
	var generator := RandomNumberGenerator.new()
	generator.seed = POOL_SIZE
	var words := PackedInt32Array()
	words.resize(POOL_SIZE / 4)
	for index in words.size():
		words[index] = generator.randi()
	return words.to_byte_array()
