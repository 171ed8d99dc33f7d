# Runs the two ported examples of docs/migrating-from-3.md, with another port: a game of three players, and a chat.
# processes: server client:a client:b
# timeout: 60
extends "res://lib/case.gd"

const TIMEOUT := 15.0
const PAGE := "../../docs/migrating-from-3.md"

var _game: Node


func run() -> void:
	_game = _example("## A small game, before and after")
	_game.name = "Game"
	root.add_child(_game)
	if role == "server":
		_game.host()
		ready_line()
	else:
		_game.join("ws://127.0.0.1:%d" % port)
	var api := root.multiplayer
	# With the engine's relay, all players know each other.
	await until(func() -> bool: return api.get_peers().size() == 2, TIMEOUT, "three players")
	var own := api.get_unique_id()
	_game.walk.rpc(Vector2(own % 100, 1))
	_game.walk.rpc(Vector2(0, 1))
	var everybody := Array(api.get_peers()) + [own]
	# A player who joined late got the positions of the others, or saw them walk.
	var seen := func() -> bool:
		return everybody.all(
			func(id: int) -> bool: return _game.places.get(id) == Vector2(id % 100, 2)
		)
	await until(seen, TIMEOUT, "all places: %s of %s" % [_game.places, everybody])
	await _all_have_seen()
	if role == "server":
		await _chat()


## All players wait until all have checked.
func _all_have_seen() -> void:
	var file := "%s/%s.seen" % [args.scratch, name]
	FileAccess.open(file, FileAccess.WRITE).close()
	var all := func() -> bool:
		return ["server", "a", "b"].all(
			func(one: String) -> bool:
				return FileAccess.file_exists("%s/%s.seen" % [args.scratch, one])
		)
	await until(all, TIMEOUT, "the others")


func _chat() -> void:
	multiplayer_free()
	var chat := _example("## A chat server in raw mode, before and after")
	root.add_child(chat)
	var client := WebSocketClient.new()
	check_eq(client.connect_to_url("ws://127.0.0.1:%d" % port, ["chat"]), OK, "connect_to_url")
	process_frame.connect(client.poll)
	await until(func() -> bool: return _is_in(client), TIMEOUT, "the chat")
	var peer := client.get_peer(1)
	check_eq(peer.send_text("grüß dich"), OK, "saying something")
	await until(func() -> bool: return peer.get_available_packet_count() > 0, TIMEOUT, "echo")
	check_eq(peer.get_packet().get_string_from_utf8(), "you said grüß dich", "the answer")
	check_eq(peer.was_string_packet(), true, "the answer is text")
	process_frame.disconnect(client.poll)
	client.close()


func multiplayer_free() -> void:
	root.multiplayer.multiplayer_peer.close()
	root.multiplayer.multiplayer_peer = null
	_game.queue_free()


func _is_in(client: WebSocketClient) -> bool:
	return client.get_connection_status() == MultiplayerPeer.CONNECTION_CONNECTED


## The last block of code of a section.
func _example(heading: String) -> Node:
	var page := ProjectSettings.globalize_path("res://").path_join(PAGE)
	var section := FileAccess.get_file_as_string(page).get_slice(heading, 1).get_slice("\n## ", 0)
	var source := section.get_slice("```gdscript\n", 1).get_slice("```", 0)
	check(source.contains("9080"), "the example of %s" % heading)
	var script := GDScript.new()
	script.source_code = source.replace("9080", str(port))
	check_eq(script.reload(), OK, "the example of %s is a script" % heading)
	return script.new()
