# Each value of set_buffers() is rounded up to a power of two, as traffic shows; a bad one changes nothing.
# processes: server client:a
# timeout: 60
# expect: ^ERROR: WebSocketServer\.set_buffers\(\): .*\d
# expect: ^ERROR: WebSocketServer\.put_packet\(\): packet of \d+ bytes is larger than \d+
extends "res://lib/case.gd"

const BarePeer := preload("res://lib/bare_peer.gd")
const ErrorLines := preload("res://lib/error_lines.gd")
const Pattern := preload("res://lib/pattern.gd")

## What is asked for, and what counts: KiB or packets.
const ROUNDED := {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 33: 64, 64: 64, 65: 128}
## Room in all that is not looked at.
const PLENTY := 1024
const SMALL := 100

var lines := ErrorLines.new()


func run() -> void:
	if role == "server":
		_bad_values()
	var step := 0
	for asked: int in ROUNDED:
		await _output_bytes(asked, ROUNDED[asked], step)
		step += 1
	for asked: int in [1, 3, 5]:
		await _output_waiting(asked, ROUNDED[asked], false, step)
		step += 1
	for asked: int in [3, 5]:
		await _output_waiting(asked, ROUNDED[asked], true, step)
		step += 1
	for asked: int in [1, 3, 5]:
		await _input(asked, ROUNDED[asked], false, step)
		await _input(asked, ROUNDED[asked], true, step)
		step += 1
	lines.stop()


func _bad_values() -> void:
	var peer := WebSocketServer.new()
	check_eq(peer.set_buffers(16, 16, 16, 16), OK, "set_buffers()")
	for place in 4:
		for bad: int in [0, -1, 1048577, 1 << 40, -(1 << 40)]:
			var values := [32, 32, 32, 32]
			values[place] = bad
			lines.take()
			check_eq(
				peer.set_buffers.callv(values), ERR_INVALID_PARAMETER, "set_buffers%s" % [values]
			)
			var taken := lines.take()
			if lines.is_available():
				check(taken.size() == 1 and taken[0].contains(str(bad)), "one line: %s" % [taken])
	check_eq(peer.max_message_size_kb, 16, "the input buffer, after bad values")
	check_eq(peer.listen(0, PackedStringArray(), true), OK, "listen()")
	check_eq(peer.put_packet(Pattern.bytes(16384, 1)), OK, "the output buffer, after bad values")
	check_eq(peer.put_packet(Pattern.bytes(16385, 1)), ERR_OUT_OF_MEMORY, "the output buffer")
	peer.close()
	check_eq(peer.set_buffers(1048576, 1048576, 1048576, 1048576), OK, "the largest values")
	check_eq(peer.max_message_size_kb, 1048576, "the largest input buffer")


## The largest packet that passes is as large as the output buffer.
func _output_bytes(asked: int, counts: int, step: int) -> void:
	var end := await _open([PLENTY, PLENTY, asked, PLENTY], [PLENTY, PLENTY, PLENTY, PLENTY], step)
	if role == "server":
		var size := counts * 1024
		check_eq(end.send(0, Pattern.bytes(size, asked)), OK, "%d bytes of %d KiB" % [size, asked])
		var error := end.send(0, Pattern.bytes(size + 1, asked))
		check_eq(error, ERR_OUT_OF_MEMORY, "%d bytes of %d KiB" % [size + 1, asked])
	else:
		await until(func() -> bool: return end.packets.has(1), 10.0, "a packet of step %d" % step)
		var difference := Pattern.difference(end.packets[1][0], Pattern.bytes(counts * 1024, asked))
		check(difference.is_empty(), "the packet of step %d: %s" % [step, difference])
	await _close(end)


## A peer that takes nothing gets one packet after the other until as many wait as are allowed, or as
## many KiB.
func _output_waiting(asked: int, counts: int, by_bytes: bool, step: int) -> void:
	var limits := [PLENTY, PLENTY, PLENTY, asked]
	if by_bytes:
		limits = [PLENTY, PLENTY, asked, PLENTY]
	var end := await _open(limits, [4, 1, PLENTY, PLENTY], step)
	if role == "server":
		var id: int = end.packets.keys()[0]
		var size := 1024 if by_bytes else 4096
		var waits := 0
		while end.send(id, Pattern.bytes(size, step)) == OK:
			# Unless it leaves at once it may still be on its way.
			var end_of_wait := Time.get_ticks_msec() + 300
			waits = end.peer.get_peer_statistics(id).queued_out_packets
			while waits > 0 and Time.get_ticks_msec() < end_of_wait:
				await process_frame
				waits = end.peer.get_peer_statistics(id).queued_out_packets
			check(waits <= counts, "%d packets wait, %d were asked for" % [waits, asked])
			if has_ended():
				return
		check_eq(
			waits, counts, "packets that wait when the next one is refused (bytes: %s)" % by_bytes
		)
		leave("done %d" % step, "")
		end.peer.close()
	else:
		end.paused = true
		var stalled := func() -> bool: return _queued(end).queued_in_packets > 0
		await until(stalled, 10.0, "a first packet")
		# A peer that reads nothing cannot get the next step through its connection.
		await until(is_left.bind("done %d" % step), 40.0, "the server's count in step %d" % step)
		end.paused = false
	await _close(end)


## A receiver that does not poll has as many packets waiting as are allowed, or as many KiB.
func _input(asked: int, counts: int, by_bytes: bool, step: int) -> void:
	var limits := [PLENTY, asked, PLENTY, PLENTY]
	if by_bytes:
		limits = [asked, PLENTY, PLENTY, PLENTY]
	var end := await _open([PLENTY, PLENTY, PLENTY, PLENTY], limits, step)
	if role == "server":
		for number in 300:
			check_eq(end.send(0, Pattern.bytes(SMALL, number)), OK, "packet %d" % number)
	else:
		end.paused = true
		var wanted := counts * 1024 / SMALL if by_bytes else counts
		var full := func() -> bool: return _queued(end).queued_in_packets >= wanted
		await until(full, 10.0, "%d packets, by bytes: %s" % [wanted, by_bytes])
		await seconds(0.2)
		var queued := _queued(end)
		check_eq(queued.queued_in_packets, wanted, "packets that wait, by bytes: %s" % by_bytes)
		check_eq(queued.queued_in_bytes, wanted * SMALL, "bytes that wait")
		end.paused = false
		var all := func() -> bool: return end.packets.get(1, []).size() == 300
		await until(all, 10.0, "all packets after a pause")
		for number in 300:
			var difference := Pattern.difference(
				end.packets[1][number], Pattern.bytes(SMALL, number)
			)
			check(difference.is_empty(), "packet %d after a pause: %s" % [number, difference])
	await _close(end)


## A connection, for which each side has its own limits.
func _open(of_server: Array, of_client: Array, step: int) -> BarePeer:
	if role == "server":
		return await _open_server(of_server, step)
	var wanted := ("step %d" % step).to_ascii_buffer()
	while not has_ended():
		var client := WebSocketClient.new()
		check_eq(client.set_buffers.callv(of_client), OK, "set_buffers%s" % [of_client])
		var error := client.connect_to_url("ws://127.0.0.1:%d" % port, PackedStringArray(), true)
		check_eq(error, OK, "connect_to_url() for step %d" % step)
		var end := BarePeer.new(self, client)
		var answered := func() -> bool: return end.packets.has(1) or end.is_closed()
		await until(answered, 10.0, "step %d: an answer" % step)
		# The server may still be at the previous step, and close without an answer.
		if end.packets.has(1):
			check_eq(end.packets[1], [wanted], "the answer of the server")
			end.packets.clear()
			check_eq(end.send(1, "here".to_ascii_buffer()), OK, "the client's first packet")
			return end
	return null


func _open_server(limits: Array, step: int) -> BarePeer:
	var server := WebSocketServer.new()
	server.overflow_policy = WebSocketServer.OVERFLOW_REFUSE
	check_eq(server.set_buffers.callv(limits), OK, "set_buffers%s" % [limits])
	check_eq(server.max_message_size_kb, limits[0], "the input buffer of the server")
	check_eq(server.listen(port, PackedStringArray(), true), OK, "listen() for step %d" % step)
	var end := BarePeer.new(self, server)
	if step == 0:
		ready_line()
	await until(func() -> bool: return end.has("peer_connected"), 10.0, "step %d: a client" % step)
	check_eq(end.send(0, ("step %d" % step).to_ascii_buffer()), OK, "the server's first packet")
	await until(
		func() -> bool: return not end.packets.is_empty(), 10.0, "step %d: an answer" % step
	)
	return end


## The client leaves first, so that the server's port is free for the next step.
func _close(end: BarePeer) -> void:
	if role == "client":
		end.peer.close()
	elif not end.is_closed():
		# The next client asks for the next step.
		end.peer.refuse_new_connections = true
		await until(func() -> bool: return end.has("peer_disconnected"), 20.0, "the client leaves")
		end.peer.close()


func _queued(end: BarePeer) -> Dictionary:
	return end.peer.get_peer_statistics(1)
