extends RefCounted
## Counts the messages that one process sends and receives in a scripted session, and names missing ones.
##
## `sent` counts per receiver: each receiver of a kind must get exactly this number.

const CHAT := "chat"
const SERVER_RPC := "server_rpc"
const RELAY_RPC := "relay_rpc"
const UNRELIABLE := "unreliable_rpc"
const BROADCAST := "broadcast"
const KINDS: Array[String] = [CHAT, SERVER_RPC, RELAY_RPC, UNRELIABLE, BROADCAST]

var sent := {}
## kind -> sender's name -> count
var received := {}
var problems: Array[String] = []


func _init() -> void:
	for kind in KINDS:
		sent[kind] = 0
		received[kind] = {}


func note_sent(kind: String) -> void:
	sent[kind] += 1


## `number` counts from 1 for each sender and kind, so a lost or swapped message is detected at once.
func note_received(kind: String, from: String, number: int) -> void:
	var count: int = received[kind].get(from, 0) + 1
	received[kind][from] = count
	if number != count:
		complain("%s %d from %s came as number %d" % [kind, number, from, count])


func expect(kind: String, from: String, wanted: int) -> void:
	var got: int = received[kind].get(from, 0)
	if got != wanted:
		complain("%s from %s: %d of %d" % [kind, from, got, wanted])


func complain(problem: String) -> void:
	if not problems.has(problem):
		problems.append(problem)
