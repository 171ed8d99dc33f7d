extends RefCounted
## Connections whose client has no use for them any more: kept until the closing handshake is over, so that what was sent before
## [method MultiplayerPeer.close] arrives. A connection that is freed earlier is cut.

const Transport = preload("transport.gd")

static var _waiting: Array[Transport] = []
## When each is cut, in milliseconds of the process.
static var _deadlines: PackedInt64Array = PackedInt64Array()


static func add(transport: Transport, timeout: float) -> void:
	var tree: SceneTree = Engine.get_main_loop() as SceneTree
	if tree == null or transport.state() == WebSocketPeer.STATE_CLOSED:
		return
	_waiting.push_back(transport)
	@warning_ignore("return_value_discarded")
	_deadlines.push_back(Time.get_ticks_msec() + ceili(timeout * 1000.0))
	if not tree.process_frame.is_connected(_poll):
		@warning_ignore("return_value_discarded")
		tree.process_frame.connect(_poll)
	# A hidden page runs no frames, and may close many.
	_poll()


static func _poll() -> void:
	for index: int in range(_waiting.size() - 1, -1, -1):
		var transport: Transport = _waiting[index]
		transport.poll()
		# What comes now is nobody's, but has to be taken before the end is reached.
		while transport.available() > 0:
			@warning_ignore("return_value_discarded")
			transport.take()
		var is_late: bool = Time.get_ticks_msec() >= _deadlines[index]
		if is_late:
			transport.close(-1)
		if is_late or transport.state() == WebSocketPeer.STATE_CLOSED:
			_waiting.remove_at(index)
			_deadlines.remove_at(index)
	if _waiting.is_empty():
		var tree: SceneTree = Engine.get_main_loop() as SceneTree
		tree.process_frame.disconnect(_poll)
