extends RefCounted
## The wire formats of multiplayer mode: what a message looks like, and what a client reads in it.
##
## GODOT4: the server's first message is the client's id; every later message is a bare packet.
## [br][br]
## GODOT3: nine bytes stand before each packet, in both directions. All numbers are little-endian.
## [codeblock]
## offset 0  u8   type: 0 a packet, 1 a peer has joined, 2 a peer has left, 3 the receiver's id
## offset 1  i32  the sender
## offset 5  i32  the target: 0 all, 1 the server, above 1 that peer, below 0 all but that peer
## offset 9       the packet; for the other types an i32, the peer
## [/codeblock]

const GODOT4: int = 0
const GODOT3: int = 1

## Types of GODOT3.
const PACKET: int = 0
const JOINED: int = 1
const LEFT: int = 2
const ID: int = 3
## A message that is none of GODOT3.
const NONE: int = -1

const _HEADER_SIZE: int = 9
## A header and a peer.
const _SYSTEM_SIZE: int = 13
const _ID_SIZE: int = 4
## Bits and numbers of the packets of a [SceneMultiplayer].
const _COMMAND_MASK: int = 7
const _COMMAND_SYNC: int = 6
const _COMMAND_SYS: int = 7
const _SYS_RELAY: int = 3
const _DELTA_FLAG: int = 16
## A command, a subcommand and a peer.
const _RELAY_HEADER_SIZE: int = 6


## The bytes before each packet.
static func header_size(format: int) -> int:
	return _HEADER_SIZE if format == GODOT3 else 0


## The id in the server's first message. 0: the message has none.
static func client_id(message: PackedByteArray, format: int) -> int:
	var id: int = 0
	if format == GODOT4 and message.size() == _ID_SIZE:
		id = message.decode_s32(0)
	elif format == GODOT3 and type_of(message) == ID:
		id = peer_of(message)
	return id if id > 1 else 0


## A packet of a client as a message.
static func encode(
	packet: PackedByteArray, format: int, sender: int, target: int
) -> PackedByteArray:
	if format == GODOT4:
		return packet
	var message: PackedByteArray = PackedByteArray()
	var error: int = message.resize(_HEADER_SIZE)
	if error != OK:
		return message
	message[0] = PACKET
	message.encode_s32(1, sender)
	message.encode_s32(5, target)
	message.append_array(packet)
	return message


## The type of a message of GODOT3.
static func type_of(message: PackedByteArray) -> int:
	if message.size() < _HEADER_SIZE or message[0] > ID:
		return NONE
	if message[0] != PACKET and (message.size() != _SYSTEM_SIZE or peer_of(message) < 1):
		return NONE
	return message[0]


## The peer of a message of GODOT3 that is not a packet.
static func peer_of(message: PackedByteArray) -> int:
	return message.decode_s32(_HEADER_SIZE)


## The sender of a packet of GODOT3.
static func sender_of(message: PackedByteArray) -> int:
	return message.decode_s32(1)


## The packet in a message of GODOT3.
static func packet_of(message: PackedByteArray) -> PackedByteArray:
	return message.slice(_HEADER_SIZE)


## Whether a packet is recognisably the state of a [MultiplayerSynchronizer], which the next one replaces: bare, or relayed.
static func is_state_sync(packet: PackedByteArray) -> bool:
	if packet.is_empty():
		return false
	var first: int = packet[0]
	if first & _COMMAND_MASK == _COMMAND_SYS and packet.size() > 1 and packet[1] == _SYS_RELAY:
		if packet.size() <= _RELAY_HEADER_SIZE:
			return false
		first = packet[_RELAY_HEADER_SIZE]
	return first & _COMMAND_MASK == _COMMAND_SYNC and first & _DELTA_FLAG == 0
