extends "res://lib/case.gd"

const Correspondence = preload("res://lib/correspondence.gd")
const TIMEOUT = 30.0

var mail


func run():
	var server = WebSocketServer.new()
	check_eq(server.listen(port, PoolStringArray(), true), OK, "listen")
	mail = Correspondence.new(self, server)
	ready_line()
	yield(mail.introduce(), "completed")
	yield(mail.write_to_everybody(), "completed")

	# a disconnects, b is disconnected by the server, at last the server closes.
	var a_left = ["peer_disconnected %d" % mail.ids["a"]]
	yield(until(mail, "has", a_left, TIMEOUT, "a leaves"), "completed")
	for one in ["b", "c"]:
		yield(until(mail, "has_told", [one, 1], TIMEOUT, "%s sees it" % one), "completed")
	server.disconnect_peer(mail.ids["b"])
	var b_left = ["peer_disconnected %d" % mail.ids["b"]]
	yield(until(mail, "has", b_left, TIMEOUT, "b leaves"), "completed")
	yield(until(mail, "has_told", ["c", 2], TIMEOUT, "c sees it"), "completed")
	server.stop()
