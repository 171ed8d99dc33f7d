# A logger that takes a second per line blocks the main thread only: the I/O thread still answers the clients, which stay connected.
# processes: server client
# timeout: 90
# allow: ^ERROR: WebSocketServer\.disconnect_peer\(\)
extends "res://lib/case.gd"

const Asker := preload("res://lib/asker.gd")
const TIMEOUT := 30.0
const LINES := 5
## In milliseconds: what the logger takes for one line.
const SLOW := 1000
## In milliseconds. Pings that waited for the main thread would take longer most of the time.
const FAST := SLOW / 2.0


func run() -> void:
	if role == "server":
		await _serve()
	else:
		await _measure()


func _serve() -> void:
	var server := WebSocketServer.new()
	check_eq(server.listen(port, PackedStringArray(), true), OK, "listen")
	var seen := [0]
	var asker := Asker.new(
		func(line: String) -> void:
			if line.contains("disconnect_peer"):
				seen[0] += 1
				OS.delay_msec(SLOW)
	)
	ready_line()
	await until(
		func() -> bool:
			server.poll()
			return is_left("connected"),
		TIMEOUT,
		"a client"
	)
	leave("slow", "")
	var turn := 0
	while not is_left("measured") and not has_ended():
		server.disconnect_peer(1)
		server.poll()
		turn += 1
		await process_frame
	asker.stop()
	# Before 4.5 no script is a logger.
	if ClassDB.class_exists(&"Logger"):
		check(seen[0] >= LINES, "%d lines in %d turns" % [seen[0], turn])
	check_eq(server.get_statistics().peers, 1, "clients afterwards")
	leave("counted", "")
	server.close()


func _measure() -> void:
	var client := WebSocketClient.new()
	client.heartbeat_interval = 0.1
	client.heartbeat_timeout = TIMEOUT
	var url := "ws://127.0.0.1:%d" % port
	check_eq(client.connect_to_url(url, PackedStringArray(), true), OK, "connect")
	await until(
		func() -> bool:
			client.poll()
			return client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED,
		TIMEOUT,
		"connected"
	)
	leave("connected", "")
	await until(func() -> bool: return is_left("slow"), TIMEOUT, "lines that take long")
	var times: Array[float] = []
	var end := Time.get_ticks_msec() + (LINES + 2) * SLOW
	while Time.get_ticks_msec() < end:
		client.poll()
		times.append(client.get_peer_statistics(1).rtt_msec)
		await process_frame
	check_eq(client.get_connection_status(), MultiplayerPeer.CONNECTION_CONNECTED, "status")
	leave("measured", "")
	times.sort()
	var middle := times[times.size() / 2]
	print("round trips: %.1f ms, the longest %.1f ms" % [middle, times[-1]])
	check(times[-1] > 0.0 and middle < FAST, "round trips of %.1f ms" % middle)
	await until(
		func() -> bool: return is_left("counted"), TIMEOUT, "the server has counted its clients"
	)
	client.close()
