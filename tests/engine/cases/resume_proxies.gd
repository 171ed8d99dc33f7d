# 20 players with sessions and one of the engine's own class play through a proxy that crashes, is stopped, started and reloaded. The players
# stay and miss nothing; the engine's class loses its connection.
# processes: server client:players proxy
# timeout: 150
# variant: nginx nginx=proxy
# variant: haproxy haproxy=proxy
extends "res://lib/proxy_case.gd"

const Peers := preload("res://lib/peers.gd")
const PLAYERS := 20
const LAST := -1
const ADDRESS := "203.0.113.9"
## Seconds that a reloaded proxy leaves to old connections.
const GRACE := 1
const HAPROXY := "global\n    maxconn 200\n    hard-stop-after %ds\n\n%s"
const NGINX := """daemon off;
pid nginx.pid;
worker_processes 1;
worker_shutdown_timeout %ds;
events { worker_connections 256; }
http {
access_log off;
client_body_temp_path a_temp;
proxy_temp_path b_temp;
fastcgi_temp_path c_temp;
uwsgi_temp_path d_temp;
scgi_temp_path e_temp;
%s}
"""

var _players: Array[End] = []


## What one end has heard.
class End:
	var peer: MultiplayerPeer
	## Id -> how many numbers have come in order, or LAST when the last one has.
	var heard := {}
	## Id -> how many suspensions, and returns.
	var suspended := {}
	var resumed := {}
	var gone := []
	var faults: Array[String] = []

	func _init(from: MultiplayerPeer) -> void:
		peer = from
		# Methods: a lambda would keep this object alive.
		peer.peer_disconnected.connect(_note_gone)
		if Peers.is_ours(peer):
			peer.connect(&"peer_suspended", _count.bind(suspended))
			peer.connect(&"peer_resumed", _count.bind(resumed))

	func poll() -> void:
		if peer.get_connection_status() == MultiplayerPeer.CONNECTION_DISCONNECTED:
			return
		peer.poll()
		while peer.get_available_packet_count() > 0:
			var from := peer.get_packet_peer()
			var number := peer.get_packet().decode_s32(0)
			var wanted: int = heard.get(from, 0)
			if number != wanted and number != LAST:
				faults.append("%d of %d instead of %d" % [number, from, wanted])
			heard[from] = LAST if number == LAST else number + 1

	func say(number: int) -> void:
		var packet := PackedByteArray()
		packet.resize(4 + absi(number) * 37 % 900)
		packet.encode_s32(0, number)
		peer.set_target_peer(0)
		if peer.put_packet(packet) != OK:
			faults.append("%d cannot be sent" % number)

	func is_open() -> bool:
		return peer.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED

	func has_heard_all(from: int) -> bool:
		return heard.get(from, 0) == LAST

	func _note_gone(id: int) -> void:
		gone.append(id)

	func _count(id: int, where: Dictionary) -> void:
		where[id] = where.get(id, 0) + 1


func _server() -> void:
	Engine.max_fps = 30
	var properties := {
		bind_ip = "127.0.0.1",
		trusted_proxies = PackedStringArray(["127.0.0.1"]),
		health_path = "/",
		resume_timeout = 60.0,
	}
	var end := End.new(Peers.make_server("ours", 0, properties))
	for its_name: String in ["one", "two"]:
		leave("port_" + its_name, str(end.peer.call(&"get_local_port")))
	ready_line()
	var ids: Array[int] = []
	end.peer.peer_connected.connect(func(id: int) -> void: ids.append(id))
	process_frame.connect(end.poll)
	await until(func() -> bool: return ids.size() == PLAYERS + 1, TIMEOUT * 2, "everybody")
	# Only numbers that everybody gets are comparable.
	var sent := 0
	while not is_left("enough"):
		end.say(sent)
		sent += 1
		await frames(1)
	end.say(LAST)
	var players := ids.filter(func(id: int) -> bool: return end.suspended.has(id))
	check_eq(players.size(), PLAYERS, "players with sessions")
	await until(func() -> bool: return players.all(end.has_heard_all), TIMEOUT, "the last of all")
	check_eq(end.faults, [] as Array[String], "faults")
	check_eq(end.resumed, end.suspended, "returns and suspensions")
	# The first and the second player of the engine's class.
	var others := ids.filter(func(id: int) -> bool: return not id in players)
	check_eq(others.size(), 2, "players of the engine's class")
	check_eq(end.gone, others, "who has left")
	for id: int in players:
		check_eq(end.peer.call(&"get_peer_address", id), ADDRESS, "the address of a player")
	var figures: Dictionary = end.peer.call(&"get_statistics")
	check_eq(figures["sessions_expired"] + figures["refused_resume"], 0, "lost sessions")
	print("%d numbers sent; %d sessions resumed" % [sent, figures["sessions_resumed"]])
	leave("server_done", "")
	await until(func() -> bool: return is_left("over"), TIMEOUT, "the end")
	process_frame.disconnect(end.poll)
	end.peer.close()


func _client() -> void:
	Engine.max_fps = 30
	await _until_both_listen()
	_configure()
	await _until_it_serves("127.0.0.1")
	var url := "wss://127.0.0.1:%d/one" % port
	for number in PLAYERS:
		var client := WebSocketClient.new()
		client.verify_ssl = false
		client.handshake_timeout = TIMEOUT
		# The proxy adds its own hop, which is trusted.
		var headers := PackedStringArray(["X-Forwarded-For: " + ADDRESS])
		check_eq(client.connect_to_url(url, PackedStringArray(), true, headers), OK, url)
		_players.append(End.new(client))
		await frames(1)
	process_frame.connect(_poll)
	var open := func() -> bool: return _players.all(func(end: End) -> bool: return end.is_open())
	await until(open, TIMEOUT * 2, "all are in")
	var stock := await _stock(url)
	var said := [0]
	var talk := func() -> void:
		for end in _players:
			end.say(said[0])
		said[0] += 1
	process_frame.connect(talk)
	await seconds(2.0)

	await _order("crash")
	await _until_counted("suspended", 1)
	await until(func() -> bool: return not stock.is_open(), TIMEOUT, "the engine's class is out")
	check_eq(stock.faults, [] as Array[String], "what it has heard until then")
	await _order("start")
	await _until_counted("resumed", 1)
	await seconds(1.0)

	await _order("stop")
	await _until_counted("suspended", 2)
	await seconds(1.0)
	await _order("start")
	await _until_counted("resumed", 2)
	process_frame.disconnect(stock.poll)
	stock = await _stock(url)
	await seconds(1.0)

	await _order("reload")
	await _until_counted("resumed", 3)
	await until(func() -> bool: return not stock.is_open(), TIMEOUT, "it is out again")
	process_frame.disconnect(stock.poll)
	await seconds(1.0)

	process_frame.disconnect(talk)
	for end in _players:
		end.say(LAST)
	leave("enough", "")
	var all := func() -> bool:
		return _players.all(func(end: End) -> bool: return end.has_heard_all(1))
	await until(all, TIMEOUT, "the last of the server")
	for end in _players:
		check_eq(end.faults, [] as Array[String], "faults")
		check_eq(end.gone, [], "who has left")
		check_eq(end.resumed, end.suspended, "returns and suspensions")
	await until(func() -> bool: return is_left("server_done"), TIMEOUT, "the server's part")
	leave("over", "")
	process_frame.disconnect(_poll)
	for end in _players:
		end.peer.close()


func _poll() -> void:
	for end in _players:
		end.poll()


## A player of the engine's own class.
func _stock(url: String) -> End:
	var client := WebSocketMultiplayerPeer.new()
	client.handshake_timeout = TIMEOUT
	check_eq(client.create_client(url, TLSOptions.client_unsafe()), OK, url)
	var end := End.new(client)
	process_frame.connect(end.poll)
	await until(end.is_open, TIMEOUT, "a player of the engine's class")
	return end


func _until_counted(which: StringName, count: int) -> void:
	var all := func() -> bool:
		return _players.all(func(end: End) -> bool: return end.get(which).get(1, 0) >= count)
	await until(all, TIMEOUT, "%d times %s" % [count, which])


## Waits until the proxy's script has carried it out.
func _order(what: String) -> void:
	leave(what, "")
	await until(func() -> bool: return not is_left(what), TIMEOUT, what)


func _configure() -> void:
	_save_identity("game.key", "game.crt")
	var parts := ["game.crt", "game.key"].map(
		func(file: String) -> String: return FileAccess.get_file_as_string(scratch(file))
	)
	leave("game.pem", "".join(parts))
	var game := "127.0.0.1:%s" % _port_of("one")
	var nginx := [
		["443 ssl", "127.0.0.1:%d ssl" % port],
		["/etc/letsencrypt/live/game.example.org/fullchain.pem", scratch("game.crt")],
		["/etc/letsencrypt/live/game.example.org/privkey.pem", scratch("game.key")],
		["127.0.0.1:9081", game],
		["listen [::]:127.0.0.1:%d ssl;" % port, ""],
	]
	leave("nginx.conf", NGINX % [GRACE, _configuration("nginx", nginx)])
	var haproxy := [
		["bind :443 ssl", "bind 127.0.0.1:%d ssl" % port],
		["/etc/haproxy/game.pem", scratch("game.pem")],
		["127.0.0.1:9081", game],
	]
	# The other half is for servers that have the certificate.
	var half := _configuration("haproxy", haproxy).get_slice("# TLS ends in the server", 0)
	leave("haproxy.cfg", HAPROXY % [GRACE, half])
	leave("ready", "")
