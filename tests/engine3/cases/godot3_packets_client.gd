extends "res://lib/case.gd"

const Correspondence = preload("res://lib/correspondence.gd")
const TIMEOUT = 30.0

var mail


func run():
	var client = WebSocketClient.new()
	var url = "ws://127.0.0.1:%d" % port
	check_eq(client.connect_to_url(url, PoolStringArray(), true), OK, "connect_to_url")
	mail = Correspondence.new(self, client)
	yield(mail.introduce(), "completed")
	_check_introduction()
	# Nobody leaves before everybody has written.
	mail.events.clear()
	yield(mail.write_to_everybody(), "completed")
	yield(_part(), "completed")


# Everybody was announced once.
func _check_introduction():
	var expected = ["connection_succeeded"]
	for one in mail.ids:
		if one != name:
			expected.append("peer_connected %d" % mail.ids[one])
	expected.sort()
	var events = mail.events.duplicate()
	events.sort()
	check_eq(events, expected, "announcements")
	check(mail.peer.get_unique_id() > 1, "the id is %d" % mail.peer.get_unique_id())


# a disconnects, b is disconnected by the server, at last the server closes.
func _part():
	if name == "a":
		mail.peer.disconnect_from_host()
		yield(until(mail, "is_closed", [], TIMEOUT, "a's end"), "completed")
		return
	var a_left = ["peer_disconnected %d" % mail.ids["a"]]
	yield(until(mail, "has", a_left, TIMEOUT, "a leaves"), "completed")
	mail.tell(1)
	if name != "b":
		var b_left = ["peer_disconnected %d" % mail.ids["b"]]
		yield(until(mail, "has", b_left, TIMEOUT, "b leaves"), "completed")
		mail.tell(2)
	yield(until(mail, "is_closed", [], TIMEOUT, "the end"), "completed")
	# 3.6 calls a lost connection a failed one.
	check_eq(mail.events[-1], "connection_failed", "last event")
