# A client whose address changes, as that of a phone that leaves a Wi-Fi: the first network is gone, a second one is there, and the session
# goes on from the new address. Then it moves back, and the game tells the client.
# processes: main
# timeout: 90
extends "res://lib/case.gd"

const OtherEngine := preload("res://lib/engine.gd")
const Peers := preload("res://lib/peers.gd")
const SERVER := "10.0.0.1"
const PORT := 9080
const FIRST := "10.1.0.2"
const SECOND := "10.2.0.2"
const TIMEOUT := 20.0
const LAST := -1

var peer: MultiplayerPeer
var other := 1
var received: Array[int] = []
var sent := 0
var is_sending := true
var suspended := 0
var resumed := 0
var gone := 0


func run() -> void:
	if role == "main":
		_main_role()
		return
	Engine.max_fps = 60
	if role == "server":
		peer = Peers.make_server("ours", PORT, {resume_timeout = 60.0})
		leave("listens", "")
	else:
		await until(func() -> bool: return is_left("listens"), TIMEOUT, "the server")
		peer = Peers.make_client("ours4", "ws://%s:%d" % [SERVER, PORT])
	peer.connect(&"peer_suspended", func(_id: int) -> void: suspended += 1)
	peer.connect(&"peer_resumed", func(_id: int) -> void: resumed += 1)
	peer.peer_connected.connect(func(id: int) -> void: other = id)
	peer.peer_disconnected.connect(func(_id: int) -> void: gone += 1)
	process_frame.connect(_frame)
	await until(func() -> bool: return received.size() > 10, TIMEOUT, "packets")
	if role == "server":
		await _server()
	else:
		await _client()
	check_eq([suspended, resumed, gone], [2, 2, 0], "suspensions, returns, ends")
	leave("done_" + role, "")
	var both := func() -> bool: return is_left("done_server") and is_left("done_client")
	await until(both, TIMEOUT, "both are done")
	process_frame.disconnect(_frame)
	peer.close()


func _main_role() -> void:
	var unshare := _own_network()
	if unshare.is_empty() or OS.execute("which", ["ip"]) != 0:
		print("skipped: this needs network namespaces, and the program `ip` (Debian: iproute2)")
		ready_line()
		return
	var words := OtherEngine.program()
	words.append_array(["--headless", "--path", ProjectSettings.globalize_path("res://")])
	words.append_array(["-s", "res://cases/resume_moving.gd", "--", "scratch=" + args["scratch"]])
	var script := ProjectSettings.globalize_path("res://lib/two_networks.sh")
	var output := []
	var all := unshare + PackedStringArray(["sh", script]) + words
	var code := OS.execute("unshare", all, output, true)
	print(output[0].replace("CASE OK", "one of them is done"))
	check_eq(code, 0, "the end of both")
	check(output[0].contains(": nothing was received for too long"), "the client's line")


## What makes `unshare` start a program in a network of its own; empty if nothing does.
func _own_network() -> PackedStringArray:
	for words: PackedStringArray in [["--net"], ["--map-root-user", "--net"]]:
		if OS.execute("unshare", words + PackedStringArray(["true"])) == 0:
			return words
	return []


func _server() -> void:
	var address := func() -> String: return peer.call(&"get_peer_address", other)
	check_eq(address.call(), FIRST, "the first address")
	leave("connected", "")
	for wanted: String in [SECOND, FIRST]:
		var count := resumed + 1
		await until(func() -> bool: return resumed == count, TIMEOUT, "it comes back")
		check_eq(address.call(), wanted, "the new address")
		check_eq(peer.call(&"get_peer_statistics", other).address, wanted, "in the statistics")
		leave("seen " + wanted, "")
	await until(func() -> bool: return LAST in received, TIMEOUT, "the last packet")
	await _end()


func _client() -> void:
	await until(func() -> bool: return is_left("connected"), TIMEOUT, "the server has looked")
	var took := await _move("there1", "there2", SECOND, func() -> void: pass)
	print("the client was back from another network %.1f s after it had lost the first one" % took)
	took = await _move("there2", "there1", FIRST, func() -> void: peer.call(&"reconnect"))
	check(took < 3.0, "a game that says so is back after %.1f s" % took)
	await seconds(1.0)
	await _end()


## One network is lost, then there is another one. Returns how long it took to be back in the game.
func _move(from: String, to: String, address: String, tell: Callable) -> float:
	var count := resumed + 1
	var start := Time.get_ticks_usec()
	_ip("address flush dev " + from)
	_ip("link set %s down" % from)
	await seconds(0.5)
	_ip("link set %s up" % to)
	_ip("address add %s/24 dev %s" % [address, to])
	_ip("route replace %s via %s" % [SERVER, address.trim_suffix("2") + "1"])
	tell.call()
	await until(func() -> bool: return resumed == count, TIMEOUT, "back through " + to)
	var took := (Time.get_ticks_usec() - start) / 1e6
	await until(func() -> bool: return is_left("seen " + address), TIMEOUT, "the server has looked")
	return took


func _ip(words: String) -> void:
	check_eq(OS.execute("ip", words.split(" ")), 0, "ip " + words)


func _frame() -> void:
	peer.poll()
	while peer.get_available_packet_count() > 0:
		received.append(peer.get_packet().decode_s32(0))
	var open := peer.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED
	if is_sending and open and (role == "client" or other != 1):
		_put(sent)
		sent += 1


func _end() -> void:
	is_sending = false
	_put(LAST)
	await until(func() -> bool: return LAST in received, TIMEOUT, "the last packet")
	received.erase(LAST)
	check(received.size() > 200, "%d packets" % received.size())
	check_eq(received, Array(range(received.size()), TYPE_INT, &"", null), "what was received")


func _put(number: int) -> void:
	var packet := PackedByteArray()
	packet.resize(4 + absi(number) % 500)
	packet.encode_s32(0, number)
	peer.set_target_peer(other)
	check_eq(peer.put_packet(packet), OK, "packet %d" % number)
