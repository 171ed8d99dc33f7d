extends Node
## The RPC that the two ends of a connection send each other.

signal arrived(number: int, bytes: int)

@rpc("any_peer", "call_remote", "reliable")
func item(number: int, payload: PackedByteArray) -> void:
	arrived.emit(number, payload.size())
