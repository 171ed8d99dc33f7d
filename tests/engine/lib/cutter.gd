extends Node
## A TCP proxy in the server's process that loses its connections again and again. Clients connect to `port`.

const CHUNK := 65536

var port: int
## The kinds of loss, in turn: "end" closes both sides, "reset" closes them with bytes that nobody
## has read, so that the operating system resets them, "silence" passes nothing any more.
var kinds: PackedStringArray
var cuts := 0

var _to: int
## Seconds between two cuts; INF: none.
var _every := INF
var _listener := TCPServer.new()
## Pairs of streams: the client's and the server's.
var _pairs: Array[Array] = []
var _silent: Array[Array] = []
## They are closed when both of their streams have something to read.
var _to_reset: Array[Array] = []
var _since := 0.0


static func attach(to: Node, server_port: int, loss: String) -> Node:
	var cutter: Node = new()
	cutter._to = server_port
	cutter.kinds = loss.split(",")
	cutter._listener.listen(0, "127.0.0.1")
	cutter.port = cutter._listener.get_local_port()
	to.add_child(cutter)
	return cutter


## Begins to cut, or stops with INF.
func cut_every(time: float) -> void:
	_every = time
	_since = 0.0


func _process(delta: float) -> void:
	while _listener.is_connection_available():
		var server := StreamPeerTCP.new()
		server.connect_to_host("127.0.0.1", _to)
		_pairs.append([_listener.take_connection(), server])
	_pairs = _pairs.filter(_pump)
	_to_reset = _to_reset.filter(_waits_for_bytes)
	_since += delta
	if _since >= _every and not _pairs.is_empty():
		_since = 0.0
		_cut(kinds[cuts % kinds.size()])
		cuts += 1


func _cut(kind: String) -> void:
	match kind:
		"silence":
			_silent.append_array(_pairs)
		"reset":
			_to_reset.append_array(_pairs)
		_:
			_pairs.map(_cut_pair)
	_pairs.clear()


## Passes on what has come. Returns false when the connection is over.
func _pump(pair: Array) -> bool:
	for one: StreamPeerTCP in pair:
		one.poll()
		if one.get_status() == StreamPeerTCP.STATUS_CONNECTING:
			return true
	var lives := true
	for way: Array in [pair, [pair[1], pair[0]]]:
		var from: StreamPeerTCP = way[0]
		var into: StreamPeerTCP = way[1]
		while (
			from.get_status() == StreamPeerTCP.STATUS_CONNECTED and from.get_available_bytes() > 0
		):
			var data := from.get_partial_data(mini(CHUNK, from.get_available_bytes()))
			if data[0] != OK or into.put_data(data[1]) != OK:
				lives = false
				break
		lives = lives and from.get_status() == StreamPeerTCP.STATUS_CONNECTED
	if not lives:
		_cut_pair(pair)
	return lives


func _waits_for_bytes(pair: Array) -> bool:
	for one: StreamPeerTCP in pair:
		one.poll()
		if one.get_status() != StreamPeerTCP.STATUS_CONNECTED:
			_cut_pair(pair)
			return false
		if one.get_available_bytes() == 0:
			return true
	_cut_pair(pair)
	return false


func _cut_pair(pair: Array) -> void:
	for one: StreamPeerTCP in pair:
		one.disconnect_from_host()
