extends RefCounted
## A run of packets that two processes can make independently of each other: sizes and contents follow
## from a seed, so that the receiver can tell a lost, changed or swapped packet from the right one.

const POOL_SIZE := 1 << 18

## The same bytes in all processes; what is sent are pieces of them.
static var _pool := _make_pool()

var smallest: int
var largest: int
## How many were made or taken.
var number := 0
var bytes := 0
## What was wrong with the first packet that was not the right one.
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


## True: this is the next packet of the run.
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
