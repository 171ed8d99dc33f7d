extends Node
## Speaks to Agones: its SDK server runs beside each game server, and is reached by HTTP.
##
## Add it to the tree, and call [method set_ready] when the server listens. From then on it sends
## signs of life: from the main thread, so that Agones replaces a process whose game hangs.
## Outside of Agones, it does nothing.

## "Ready", "Allocated" (players are on their way), "Shutdown", or another state of Agones.
signal state_changed(state: String)

## In seconds. The period of the fleet's health check should be at least twice as long.
const HEALTH_EVERY := 2.0
## The SDK server may start later than the game.
const INSIST_FOR := 30.0

## The state that Agones has told last.
var state := ""

var _url := ""
var _timer := Timer.new()
var _is_asking := false
var _is_lost := false


func _ready() -> void:
	var port := OS.get_environment("AGONES_SDK_HTTP_PORT")
	if not port.is_empty():
		_url = "http://localhost:" + port
	_timer.timeout.connect(_tick)
	add_child(_timer)


func is_available() -> bool:
	return not _url.is_empty()


## The server accepts players. Returns whether Agones knows it.
func set_ready() -> bool:
	if not is_available():
		return false
	var is_done := await _insist("/ready")
	_timer.start(HEALTH_EVERY)
	return is_done


## This server takes itself. Not needed if a GameServerAllocation has chosen it.
func set_allocated() -> bool:
	return is_available() and await _insist("/allocate")


## The match is over: Agones removes this server, and starts another one.
func shut_down() -> bool:
	return is_available() and await _insist("/shutdown")


## Returns name, labels, address and ports of this server; an empty dictionary if Agones does not
## answer. Players reach the server at `status.address` and the port of the same name there.
func get_game_server() -> Dictionary:
	if not is_available():
		return {}
	var answer: Variant = await _request(HTTPClient.METHOD_GET, "/gameserver")
	return answer if answer is Dictionary else {}


func _tick() -> void:
	if _is_asking:
		return
	_is_asking = true
	var answer: Variant = await _request(HTTPClient.METHOD_POST, "/health")
	if (answer == null) != _is_lost:
		_is_lost = not _is_lost
		print("Agones does not answer" if _is_lost else "Agones answers again")
	var game_server := await get_game_server()
	_is_asking = false
	var now: String = game_server.get("status", {}).get("state", state)
	if now != state:
		state = now
		state_changed.emit(state)


func _insist(path: String) -> bool:
	var end := Time.get_ticks_msec() + int(INSIST_FOR * 1000)
	while Time.get_ticks_msec() < end:
		if await _request(HTTPClient.METHOD_POST, path) != null:
			return true
		await get_tree().create_timer(0.5).timeout
	push_error("Agones does not answer to " + path)
	return false


## Returns the answer; null if there is none, or if its status is not 200.
func _request(method: HTTPClient.Method, path: String) -> Variant:
	var http := HTTPRequest.new()
	http.timeout = 5.0
	add_child(http)
	var body := "{}" if method == HTTPClient.METHOD_POST else ""
	if http.request(_url + path, ["Content-Type: application/json"], method, body) != OK:
		http.queue_free()
		return null
	# result, status, headers, body
	var answer: Array = await http.request_completed
	http.queue_free()
	if answer[0] != HTTPRequest.RESULT_SUCCESS or answer[1] != 200:
		return null
	var json := JSON.new()
	var is_json := json.parse(answer[3].get_string_from_utf8()) == OK
	return json.data if is_json else {}
