# Four processes behind HAProxy, as in docs/deploying.md, and 200 players in 40 rooms. A rolling restart ends no match. A killed process: its
# players are told, and meet again in one other process.
# processes: director proxy
# haproxy: proxy
# timeout: 170
# serial
extends "res://lib/proxy_case.gd"

const OtherEngine := preload("res://lib/engine.gd")
const FleetServer := preload("res://lib/fleet_server.gd")
const Proc := preload("res://lib/proc.gd")
const PLAYERS := 200
const ROOM_SIZE := 5
const NAMES: Array[String] = ["one", "two", "three", "four"]
const PATIENCE := 40.0
## HAProxy learns where a room is when its first player has been answered. So when the set of servers changes in that moment, the second one can
## be sent elsewhere. Of 160 rooms and more, and at no other time.
const TORN := 8

## Name -> process id, and its port.
var _processes := {}
var _ports := {}
var _admin_port := 0
var _players: Array[Player] = []
## Path -> the process in which its first player was, and when that one came.
var _homes := {}
var _arrivals := {}
## When the set of servers has changed: pairs of a first and a last moment.
var _changes: Array[PackedInt64Array] = []
var _killing := false
var _faults: Array[String] = []
## Path of a room whose players are in two processes -> when two of them came.
var _torn := {}
var _finished := 0
var _returned := 0
var _refused := 0
## Number of a player whose process was killed -> what it was told.
var _told := {}


class Player:
	var number := 0
	var match_number := 0
	var client := WebSocketClient.new()
	var home := ""
	var is_over := false
	## It left on purpose, and comes back.
	var is_away := false
	var wait_until := 0
	var came := 0

	func path() -> String:
		return "/room/%d-%d" % [number / ROOM_SIZE, match_number]


func run() -> void:
	if role == "rooms":
		await FleetServer.new().serve(self)
		return
	Engine.max_fps = 60
	ready_line()
	_configure()
	await _until_it_serves("127.0.0.1")
	for its_name in NAMES:
		await _start(its_name)
	for its_name in NAMES:
		await _until_it_is_up(its_name)
	for number in PLAYERS:
		var player := Player.new()
		player.number = number
		player.client.verify_ssl = false
		player.client.handshake_timeout = TIMEOUT
		_players.append(player)
	process_frame.connect(_play)
	await until(func() -> bool: return _finished >= PLAYERS, PATIENCE, "a match for everybody")
	await _restart_all()
	await _kill_one()
	process_frame.disconnect(_play)
	leave("over", "")
	for player in _players:
		player.client.close()
	var ended := func() -> bool: return not _processes.values().any(Proc.is_running)
	await until(ended, TIMEOUT, "all processes end")


func _restart_all() -> void:
	var before := _finished
	var started := Time.get_ticks_msec()
	for its_name in NAMES:
		var ordered := Time.get_ticks_msec()
		check_eq(await _order("set server rooms/%s state drain" % its_name), "", its_name)
		_changes.append(PackedInt64Array([ordered, Time.get_ticks_msec()]))
		var old: int = _processes[its_name]
		DirAccess.make_dir_absolute(scratch(its_name))
		leave(its_name + "/drain", "")
		var is_gone := func() -> bool: return not Proc.is_running(old)
		await until(is_gone, PATIENCE, "%s ends when its matches are over" % its_name)
		DirAccess.remove_absolute(scratch(its_name + "/drain"))
		await _start(its_name)
		ordered = Time.get_ticks_msec()
		check_eq(await _order("set server rooms/%s state ready" % its_name), "", its_name)
		await _until_it_is_up(its_name)
		_changes.append(PackedInt64Array([ordered, Time.get_ticks_msec()]))
	check_eq(_faults, [] as Array[String], "matches that ended too early")
	var unexplained := _torn.values().filter(
		func(came: PackedInt64Array) -> bool: return not _has_changed(came)
	)
	check_eq(unexplained, [], "rooms that are in two processes without a reason")
	check(_torn.size() <= TORN, "rooms that are in two processes: %s" % _torn)
	check(_returned > 10, "%d players left and came back" % _returned)
	print(
		(
			"restarted 4 of 4 in %.1f s: %d players finished a match, %d came back into theirs, %d asked again, 0 were thrown out"
			% [(Time.get_ticks_msec() - started) / 1000.0, _finished - before, _returned, _refused]
		)
	)


func _kill_one() -> void:
	_killing = true
	var killed: int = _processes["one"]
	var home := "one:%d" % killed
	var here := func(player: Player) -> bool: return player.home == home
	await until(func() -> bool: return _players.any(here), PATIENCE, "somebody in one")
	var victims := _players.filter(here)
	var started := Time.get_ticks_msec()
	OS.kill(killed)
	var is_back := func(player: Player) -> bool: return player.home not in ["", home]
	await until(func() -> bool: return victims.all(is_back), PATIENCE, "all are back")
	print(
		(
			"killed one of four: its %d players were in another process after %.1f s"
			% [victims.size(), (Time.get_ticks_msec() - started) / 1000.0]
		)
	)
	check_eq(_faults, [] as Array[String], "players that were thrown out")
	check_eq(_told.size(), victims.size(), "who was told")
	check_eq(
		_told.values().filter(func(why: String) -> bool: return why.is_empty()),
		[],
		"without a reason"
	)
	print("they were told: ", _told.values()[0])


## One frame of all players.
func _play() -> void:
	var now := Time.get_ticks_msec()
	for player in _players:
		player.client.poll()
		match player.client.get_connection_status():
			MultiplayerPeer.CONNECTION_CONNECTED:
				_read(player)
				if Engine.get_process_frames() % 15 == player.number % 15:
					player.client.put_packet(PackedByteArray([1, 2, 3]))
				# A few lose their connection in the middle of a match.
				if not _killing and player.home and not player.is_over and randi() % 8000 == 0:
					player.is_away = true
					player.client.close()
			MultiplayerPeer.CONNECTION_DISCONNECTED:
				if now >= player.wait_until:
					_come(player)


func _read(player: Player) -> void:
	while player.client.get_available_packet_count() > 0:
		var text := player.client.get_packet().get_string_from_utf8()
		if text == "over":
			player.is_over = true
			_finished += 1
		elif text.begins_with("at "):
			player.home = text.trim_prefix("at ")
			var first: String = _homes.get_or_add(player.path(), player.home)
			var first_came: int = _arrivals.get_or_add(player.path(), player.came)
			if first != player.home and not Proc.is_running(first.get_slice(":", 1).to_int()):
				# Its room was in a process that was killed, or was over.
				_homes[player.path()] = player.home
				_arrivals[player.path()] = player.came
			elif first != player.home:
				_torn[player.path()] = PackedInt64Array([first_came, player.came])
			_returned += int(player.is_away)
			player.is_away = false


## Whether the set of servers changed while two players came, each of whom waits for its answer for a second at most.
func _has_changed(came: PackedInt64Array) -> bool:
	var first := mini(came[0], came[1])
	var last := maxi(came[0], came[1]) + 1000
	return _changes.any(
		func(change: PackedInt64Array) -> bool: return first <= change[1] and last >= change[0]
	)


func _come(player: Player) -> void:
	var error := player.client.get_last_error()
	if player.is_over or "no new rooms" in error:
		_refused += int("no new rooms" in error)
		player.match_number += 1
	elif player.home and not player.is_away and not _killing:
		_faults.append("%s was thrown out of %s: %s" % [player.number, player.home, error])
	if _killing and player.home and not player.is_over and not player.is_away:
		_told[player.number] = error
	player.home = ""
	player.is_over = false
	player.came = Time.get_ticks_msec()
	player.wait_until = player.came + 200
	# Each with a ticket of its own, which must not make a room of its own.
	var url := "wss://127.0.0.1:%d%s?ticket=%d" % [port, player.path(), player.number]
	check_eq(player.client.connect_to_url(url, PackedStringArray(), true), OK, url)


func _start(its_name: String) -> void:
	var command := OtherEngine.program()
	var words: PackedStringArray = command.slice(1)
	words.append_array(["--headless", "--path", ProjectSettings.globalize_path("res://")])
	words.append_array(["-s", "res://cases/fleet.gd", "--", "role=rooms", "name=" + its_name])
	words.append_array(["port=%d" % _ports[its_name], "scratch=" + args["scratch"]])
	var process := OS.create_process(command[0], words)
	check(process > 0, "%s starts" % its_name)
	_processes[its_name] = process
	var up := "up_%s:%d" % [its_name, process]
	await until(func() -> bool: return is_left(up), TIMEOUT, "%s listens" % its_name)


func _until_it_is_up(its_name: String) -> void:
	var end := Time.get_ticks_msec() + int(TIMEOUT * 1000)
	while not (await _order("show stat")).contains(",UP,") or not await _is_up(its_name):
		check(Time.get_ticks_msec() < end, "HAProxy finds %s" % its_name)
		await seconds(0.2)


func _is_up(its_name: String) -> bool:
	for line in (await _order("show stat")).split("\n"):
		if line.begins_with("rooms,%s," % its_name):
			return line.contains(",UP,")
	return false


## A command for HAProxy; returns its answer.
func _order(text: String) -> String:
	var tcp := StreamPeerTCP.new()
	check_eq(tcp.connect_to_host("127.0.0.1", _admin_port), OK, "the admin socket")
	var is_in := func() -> bool:
		tcp.poll()
		return tcp.get_status() == StreamPeerTCP.STATUS_CONNECTED
	await until(is_in, TIMEOUT, "the admin socket")
	tcp.put_data((text + "\n").to_utf8_buffer())
	var answer := PackedByteArray()
	var has_ended := func() -> bool:
		answer.append_array(tcp.get_partial_data(65536)[1])
		return not is_in.call()
	await until(has_ended, TIMEOUT, text)
	return answer.get_string_from_utf8().strip_edges()


func _configure() -> void:
	_admin_port = _free_port()
	var changes := [
		["bind :443 ssl", "bind 127.0.0.1:%d ssl" % port],
		["/etc/haproxy/game.pem", scratch("game.pem")],
		["/run/haproxy/admin.sock mode 600", "ipv4@127.0.0.1:%d" % _admin_port],
	]
	for index in NAMES.size():
		_ports[NAMES[index]] = _free_port()
		changes.append(["127.0.0.1:908%d" % (index + 1), "127.0.0.1:%d" % _ports[NAMES[index]]])
	var site := _configuration("haproxy-fleet", changes)
	_save_identity("game.key", "game.crt")
	var parts := ["game.crt", "game.key"].map(
		func(file: String) -> String: return FileAccess.get_file_as_string(scratch(file))
	)
	leave("game.pem", "".join(parts))
	leave("haproxy.cfg", site)
	leave("ready", "")


func _free_port() -> int:
	var free := TCPServer.new()
	check_eq(free.listen(0, "127.0.0.1"), OK, "a free port")
	var found := free.get_local_port()
	free.stop()
	return found
