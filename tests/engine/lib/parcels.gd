extends Node
## Sends packets of known content with `send_bytes`, has them sent back, and compares every byte.
##
## One packet is in flight at a time, because the engine's own class drops packets beyond its 64
## KiB.

const Party := preload("res://lib/party.gd")
const Pattern := preload("res://lib/pattern.gd")
const TIMEOUT := 10.0
## Kind, size and seed stand before the content.
const HEAD := 9
const FORTH := 1
const BACK := 2

var party: Party
var api: SceneMultiplayer
var faults: Array[String] = []
## The packets received from others, by sender.
var received := {}
var _echo := PackedByteArray()
var _echo_from := 0
var _has_echo := false


static func attach(to: Party) -> Node:
	var parcels: Node = new()
	parcels.party = to
	parcels.name = "Parcels"
	to.case.root.add_child(parcels)
	return parcels


func _ready() -> void:
	api = multiplayer as SceneMultiplayer
	api.peer_packet.connect(_on_packet)


## Sends `size` bytes to `whom`, and waits until the same bytes return.
func round_trip(whom: String, size: int, seed_number: int) -> void:
	var packet := _packed(FORTH, size, seed_number)
	var what := "%d bytes from %s to %s" % [size, party.case.name, whom]
	_has_echo = false
	var error := api.send_bytes(packet, party.ids[whom], MultiplayerPeer.TRANSFER_MODE_RELIABLE)
	party.case.check_eq(error, OK, what + ": send_bytes")
	await party.case.until(func() -> bool: return _has_echo, TIMEOUT, what + ": coming back")
	party.case.check_eq(_echo_from, party.ids[whom], what + ": who sent it back")
	var wanted := _packed(BACK, size, seed_number)
	var difference := Pattern.difference(_echo, wanted)
	party.case.check(difference.is_empty(), "%s: echo: %s" % [what, difference])


func _on_packet(from: int, packet: PackedByteArray) -> void:
	var sender := party.name_of(from)
	if packet.size() < HEAD:
		faults.append("%d bytes from %s" % [packet.size(), sender])
		return
	if packet[0] == BACK:
		_echo = packet
		_echo_from = from
		_has_echo = true
		return
	received[sender] = received.get(sender, 0) + 1
	var size := packet.decode_u32(1)
	var seed_number := packet.decode_u32(5)
	var difference := Pattern.difference(packet, _packed(FORTH, size, seed_number))
	if difference:
		faults.append("from %s: %s" % [sender, difference])
	packet[0] = BACK
	var error := api.send_bytes(packet, from, MultiplayerPeer.TRANSFER_MODE_RELIABLE)
	if error != OK:
		faults.append("sending back to %s: %s" % [sender, error_string(error)])


func _packed(kind: int, size: int, seed_number: int) -> PackedByteArray:
	var packet := PackedByteArray()
	packet.resize(HEAD)
	packet[0] = kind
	packet.encode_u32(1, size)
	packet.encode_u32(5, seed_number)
	packet.append_array(Pattern.bytes(size - HEAD, seed_number))
	return packet
