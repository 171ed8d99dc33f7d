extends Node
# Says that an example is up: some frames in, `_ready` has run, and what it did has shown.


func _ready() -> void:
	for frame in 10:
		await get_tree().process_frame
	print("THE EXAMPLE IS UP")
