extends Node
## RPCs of every kind, and a record of who called what, in which order.

const Party := preload("res://lib/party.gd")
const Pattern := preload("res://lib/pattern.gd")

var party: Party
## "kind sender" -> numbers in the order of arrival.
var heard := {}
## What was wrong with the calls themselves.
var faults: Array[String] = []


static func attach(to: Party) -> Node:
	var talker: Node = new()
	talker.party = to
	talker.name = "Talker"
	to.case.root.add_child(talker)
	return talker


func count(kind: String, sender: String) -> int:
	return heard.get("%s %s" % [kind, sender], []).size()


## Returns an empty string if `kind` arrived from `sender` exactly `wanted` times and in order.
func complaint(kind: String, sender: String, wanted: int) -> String:
	var numbers: Array = heard.get("%s %s" % [kind, sender], [])
	if numbers != range(wanted):
		return "%s from %s: %d of %d: %s" % [kind, sender, numbers.size(), wanted, numbers]
	return ""


@rpc("any_peer", "call_remote", "reliable")
func reliable(kind: String, number: int, payload: PackedByteArray) -> void:
	_note(kind, number)
	_examine(kind, number, payload)


@rpc("any_peer", "call_remote", "unreliable")
func unreliable(kind: String, number: int, payload: PackedByteArray) -> void:
	_note(kind, number)
	_examine(kind, number, payload)


@rpc("any_peer", "call_remote", "unreliable_ordered")
func ordered(kind: String, number: int, payload: PackedByteArray) -> void:
	_note(kind, number)
	_examine(kind, number, payload)


@rpc("any_peer", "call_remote", "reliable", 3)
func on_channel(kind: String, number: int, payload: PackedByteArray) -> void:
	_note(kind, number)
	_examine(kind, number, payload)


@rpc("any_peer", "call_local", "reliable")
func also_here(number: int) -> void:
	var id := multiplayer.get_remote_sender_id()
	_note("also_here", number, "self" if id == multiplayer.get_unique_id() else party.name_of(id))


@rpc("authority", "call_remote", "reliable")
func from_authority(number: int) -> void:
	_note("from_authority", number)


func payload(number: int) -> PackedByteArray:
	return Pattern.bytes(7 + number * 13, number)


func _note(kind: String, number: int, sender := "") -> void:
	var key := "%s %s" % [kind, sender if sender else party.sender()]
	if not heard.has(key):
		heard[key] = []
	heard[key].append(number)


func _examine(kind: String, number: int, bytes: PackedByteArray) -> void:
	var difference := Pattern.difference(bytes, payload(number))
	if difference:
		faults.append("%s %d from %s: %s" % [kind, number, party.sender(), difference])
