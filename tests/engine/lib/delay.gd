extends RefCounted
## Forwards to a TCP port, and delays every byte in both directions.

const Case := preload("res://lib/case.gd")

## The port that it listens on.
var port: int:
	get:
		return _server.get_local_port()

var _server := TCPServer.new()
var _to := 0
var _msec := 0
## For each StreamPeerTCP: where its bytes go, and those that wait, as [when, bytes].
var _goes_to := {}
var _waiting := {}


func _init(case: Case, to: int, msec: int) -> void:
	_to = to
	_msec = msec
	case.check_eq(_server.listen(0, "127.0.0.1"), OK, "a port for the long way")
	case.process_frame.connect(_on_frame)


func _on_frame() -> void:
	while _server.is_connection_available():
		var here := _server.take_connection()
		var there := StreamPeerTCP.new()
		there.connect_to_host("127.0.0.1", _to)
		for one: StreamPeerTCP in [here, there]:
			_waiting[one] = []
		_goes_to[here] = there
		_goes_to[there] = here
	for from: StreamPeerTCP in _goes_to:
		from.poll()
		if from.get_status() != StreamPeerTCP.STATUS_CONNECTED:
			continue
		var now := Time.get_ticks_msec()
		if from.get_available_bytes() > 0:
			_waiting[from].append([now + _msec, from.get_data(from.get_available_bytes())[1]])
		var to: StreamPeerTCP = _goes_to[from]
		var line: Array = _waiting[from]
		while to.get_status() == StreamPeerTCP.STATUS_CONNECTED and line and line[0][0] <= now:
			to.put_data(line.pop_front()[1])
