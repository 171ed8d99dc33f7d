extends Node
## Does what the test orders, in a browser and in a native process alike.
##
## An order is JSON: its number `n`, its name `do` and its arguments. A page gets it by the JavaScript function `gameOrder`, a native
## process reads it as a line from the only connection to its control port. The answer is a printed line `ANSWER {"n": ...}`, and
## what happens besides is printed as `EVENT {...}`.

const Link := preload("res://link.gd")

var longest_frame := 0.0
var frames := 0

var _control: TCPServer
var _orders: StreamPeerTCP
var _rest := ""
## Kept, because JavaScript does not keep it.
var _callback: Variant
var _frame_began := 0


func _ready() -> void:
	if OS.has_feature("web"):
		_callback = JavaScriptBridge.create_callback(_on_page_order)
		JavaScriptBridge.get_interface("window").gameOrder = _callback
	else:
		_control = TCPServer.new()
		_control.listen(0, "127.0.0.1")
	print("STARTED %d" % (_control.get_local_port() if _control else 0))


func _process(_delta: float) -> void:
	var now := Time.get_ticks_usec()
	if _frame_began > 0:
		longest_frame = maxf(longest_frame, (now - _frame_began) / 1000.0)
	_frame_began = now
	frames += 1
	var lines: Array[String] = []
	for link: Link in find_children("*", "Node", false, false).filter(_is_link):
		lines.append("%s: %d received, %d out of order" % [link.name, link.received, link.wrong])
	$Label.text = "%d frames\n%s" % [frames, "\n".join(lines)]
	if _control:
		_read_orders()


func _is_link(node: Node) -> bool:
	return node is Link


func _on_page_order(words: Array) -> void:
	_obey(words[0])


func _read_orders() -> void:
	if _orders == null:
		_orders = _control.take_connection() if _control.is_connection_available() else null
		return
	_orders.poll()
	if _orders.get_status() != StreamPeerTCP.STATUS_CONNECTED:
		# The test has ended.
		get_tree().quit()
		return
	var there := _orders.get_available_bytes()
	if there > 0:
		_rest += _orders.get_utf8_string(there)
	while _rest.contains("\n"):
		var line := _rest.get_slice("\n", 0)
		_rest = _rest.substr(line.length() + 1)
		_obey(line)


func _obey(text: String) -> void:
	var order: Dictionary = JSON.parse_string(text)
	var answer: Dictionary = await _do(order)
	answer["n"] = order["n"]
	print("ANSWER " + JSON.stringify(answer))


func _do(order: Dictionary) -> Dictionary:
	match order["do"]:
		"frames":
			var seen := {"longest": longest_frame, "frames": frames}
			longest_frame = 0.0
			return seen
		"quit":
			get_tree().quit()
			return {}
		"listen", "join":
			var link := Link.new()
			link.name = order["link"]
			add_child(link)
			link.set_up(order.get("root", false))
			return link.listen(order) if order["do"] == "listen" else link.join(order)
		"free":
			var link := get_node(order["link"]) as Link
			link.tear_down()
			link.queue_free()
			return {}
	var link := get_node(order["link"]) as Link
	return await link.obey(order)
