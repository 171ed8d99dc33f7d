extends RefCounted
## Pseudo-random bytes that the other side can reproduce from the same two numbers.


static func bytes(size: int, seed_number: int) -> PackedByteArray:
	var generator := RandomNumberGenerator.new()
	generator.seed = seed_number
	var words := PackedInt32Array()
	words.resize((size + 3) / 4)
	for index in words.size():
		words[index] = generator.randi()
	return words.to_byte_array().slice(0, size)


## Returns an empty string if both are equal, else where and how they differ.
static func difference(actual: PackedByteArray, expected: PackedByteArray) -> String:
	if actual == expected:
		return ""
	if actual.size() != expected.size():
		return "%d bytes instead of %d" % [actual.size(), expected.size()]
	for index in actual.size():
		if actual[index] != expected[index]:
			return "byte %d of %d differs" % [index, actual.size()]
	return ""
