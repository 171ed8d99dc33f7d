@tool
extends RefCounted
## Looks at the debugger's tab while a game runs: who is listed, with which figures, and that nothing
## is asked while nobody looks.

const Traffic := preload("res://traffic.gd")
const TIMEOUT_MSEC := 60_000

var faults: Array[String] = []
var seen := ""

var _plugin: EditorPlugin


func _init(plugin: EditorPlugin) -> void:
	_plugin = plugin


## `picture` is a file, or empty; it is taken after so many seconds of traffic.
func run(debugger_port: int, picture: String, after: float) -> void:
	var tab: Control = await _find_tab()
	if tab == null:
		faults.append("the debugger has no tab called WebSocket")
		return
	_look_at(tab)
	if not _open_server(debugger_port):
		faults.append("the debugger's server cannot be opened")
		return
	# Whoever reads this starts the game.
	print("EDITOR WAITS FOR A GAME")
	var tree: Tree = tab.find_children("*", "Tree", true, false)[0]
	var complete := func() -> bool: return _children(tree.get_root()).any(_is_complete)
	if not await _until(complete):
		faults.append("no row of a server with %d peers and their figures" % Traffic.CLIENTS)
		return
	await _seconds(after)
	if not await _until(func() -> bool: return _row_faults(tree).is_empty()):
		faults.append_array(_row_faults(tree))
	if not await _until(_shows_a_suspended_peer.bind(tab, tree)):
		faults.append("no grey row of a peer that has come back, and has lost its connection again")
	if not picture.is_empty():
		await RenderingServer.frame_post_draw
		var image := tab.get_viewport().get_texture().get_image()
		var panel: Control = tab.get_parent()
		image = image.get_region(Rect2i(panel.get_global_rect()))
		if image.save_png(picture) != OK:
			faults.append("no picture in %s" % picture)
	await _check_silence(tab)


## A tab of the debugger's first session.
func _find_tab() -> Control:
	var found: Array[Control] = []
	var exists := func() -> bool:
		var base := EditorInterface.get_base_control()
		for node in base.find_children("WebSocket", "VBoxContainer", true, false):
			found.append(node)
		return not found.is_empty()
	await _until(exists)
	return null if found.is_empty() else found[0]


func _look_at(tab: Control) -> void:
	var node: Node = tab
	while node != null:
		# Before 4.6 the bottom panel has buttons for what is in it.
		if node.get_class() == "EditorDebuggerNode" and not node.get_parent() is TabContainer:
			if not node.get_parent().is_class("EditorDock"):
				_plugin.make_bottom_panel_item_visible(node)
		if node.get_parent() is TabContainer:
			var tabs: TabContainer = node.get_parent()
			tabs.current_tab = tabs.get_tab_idx_from_control(node)
		node = node.get_parent()


## Lets games connect that the editor has not started, as *Debug > Keep Debug Server Open* does.
func _open_server(debugger_port: int) -> bool:
	EditorInterface.get_editor_settings().set_setting("network/debug/remote_port", debugger_port)
	var menus := EditorInterface.get_base_control().find_children("*", "PopupMenu", true, false)
	for menu: PopupMenu in menus:
		for index in menu.item_count:
			if menu.get_item_text(index) == "Keep Debug Server Open":
				var id := menu.get_item_id(index)
				if menu.is_item_checked(index):
					menu.id_pressed.emit(id)
				menu.id_pressed.emit(id)
				return true
	return false


## A server with all of its peers, each with rates and a round trip.
func _is_complete(object: TreeItem) -> bool:
	var peers := _children(object)
	for peer in peers:
		if peer.get_text(2).to_int() == 0 or peer.get_text(8).is_empty():
			return false
	return peers.size() == Traffic.CLIENTS


## What is wrong with the rows now. A busy game sends late, and then much at once.
func _row_faults(tree: Tree) -> Array[String]:
	var found: Array[String] = []
	var objects := _children(tree.get_root())
	if objects.size() != 1:
		return ["%d objects are listed" % objects.size()]
	var object: TreeItem = objects[0]
	var expected := "WebSocketServer: %d" % Traffic.CLIENTS
	if object.get_text(0) != expected or not object.get_text(1).begins_with("port "):
		found.append("the server is listed as %s, %s" % [object.get_text(0), object.get_text(1)])
	found.append(_rate_fault("the server", object.get_text(2), Traffic.UP * Traffic.CLIENTS))
	found.append(_rate_fault("the server", object.get_text(3), Traffic.DOWN * Traffic.CLIENTS))
	for peer in _children(object):
		var who := "%s at %s" % [peer.get_text(0), peer.get_text(1)]
		if (
			not peer.get_text(0).begins_with("peer ")
			or not peer.get_text(1).begins_with("127.0.0.1:")
		):
			found.append("a peer is listed as " + who)
		found.append(_rate_fault(who, peer.get_text(2), Traffic.UP))
		found.append(_rate_fault(who, peer.get_text(3), Traffic.DOWN))
		seen = "%s: %s ms" % [who, peer.get_text(8)]
	return found.filter(func(fault: String) -> bool: return not fault.is_empty())


## A peer that was away before, and is again.
func _shows_a_suspended_peer(tab: Control, tree: Tree) -> bool:
	var label: Label = tab.find_children("*", "Label", true, false)[0]
	var object: TreeItem = _children(tree.get_root())[0]
	var peers := _children(object)
	# A colour that is not set is black, and has no effect.
	var away := peers.filter(
		func(peer: TreeItem) -> bool: return peer.get_custom_color(0) != Color()
	)
	return (
		away.size() == 1
		and away[0].get_text(1) == "suspended"
		and away[0].get_text(10).to_int() > 0
		and object.get_text(10) == away[0].get_text(10)
		and label.text.begins_with("%d peers, 1 suspended " % Traffic.CLIENTS)
	)


## Empty when the rate is about as expected.
func _rate_fault(who: String, text: String, expected: int) -> String:
	var rate := text.to_int()
	if rate < expected / 3 or rate > expected * 3:
		return "%s: %d packets per second instead of %d" % [who, rate, expected]
	return ""


## The game is asked only while the tab is visible.
func _check_silence(tab: Control) -> void:
	var label: Label = tab.find_children("*", "Label", true, false)[0]
	var changes := func(what: String) -> bool:
		var end := Time.get_ticks_msec() + 4000
		while Time.get_ticks_msec() < end:
			await _frames(1)
			if label.text != what:
				return true
		return false
	var panel: TabContainer = tab.get_parent()
	panel.current_tab = 0
	# What was asked for before may still come.
	await _seconds(5.0)
	label.text = "untouched"
	if await changes.call("untouched"):
		faults.append("the game is asked although nobody looks: " + label.text)
	_look_at(tab)
	if not await changes.call("untouched"):
		faults.append("the game is not asked any more")


func _children(item: TreeItem) -> Array[TreeItem]:
	return [] as Array[TreeItem] if item == null else item.get_children()


func _until(condition: Callable) -> bool:
	var end := Time.get_ticks_msec() + TIMEOUT_MSEC
	while Time.get_ticks_msec() < end:
		if condition.call():
			return true
		await _frames(2)
	return false


func _seconds(time: float) -> void:
	await _plugin.get_tree().create_timer(time).timeout


func _frames(count: int) -> void:
	for frame in count:
		await _plugin.get_tree().process_frame
