extends Node
# Reports that an example is ready: after some frames, when the effects of its `_ready` are visible.


func _ready() -> void:
	for frame in 10:
		await get_tree().process_frame
	print("THE EXAMPLE IS UP")
