extends Node
## What the server of `cargo xtask bench` calls on all its clients.

@rpc("authority", "call_remote", "reliable")
func take(_packet: PackedByteArray) -> void:
	pass
