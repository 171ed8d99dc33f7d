extends "res://lib/mover.gd"
## A mover with more data: its states are larger, and its owner sends numbered letters to everybody.
## The others record what arrived and how old it was.

const Letters := preload("res://lib/letters.gd")
const HULL := 300
const CARGO := 4000
const LETTER := 3000

## The ages in seconds of everything that this process receives while it measures.
static var ages := PackedFloat64Array()
static var is_measuring := false

## Replicated always, with `tick`.
var hull := PackedByteArray()
## Replicated when changed, with `lap`.
var cargo := PackedByteArray()

## The owner's next letter.
var letters := 0
## The received state, as plain values that can be stored and reported.
var notes := {letters = _row(), laps = _row(), states = _row(), faults = faults}


static func make(data: Dictionary) -> Node:
	var hauler: Node = new()
	hauler.set_up(data)
	return hauler


## Returns how many numbers are missing, from the first received one to the one before `next`.
static func holes(row: Dictionary, next: int) -> int:
	return next - row.first - row.came


static func _row() -> Dictionary:
	return {first = -1, last = -1, came = 0}


## One step of the owner, at most one between two polls: then each state and each lap leaves once.
func advance() -> void:
	var lap_before := lap
	super()
	hull = Letters.write(title, "states", tick, HULL)
	if lap != lap_before:
		cargo = Letters.write(title, "laps", lap, CARGO)


func write_letter() -> void:
	var now := Time.get_unix_time_from_system()
	letter.rpc(now, Letters.write(title, "letters", letters, LETTER))
	letters += 1


## The owner's next numbers.
func written() -> Dictionary:
	return {letters = letters, laps = lap + 1, states = tick + 1}


## Owner: sets whether the others get its states. They must have the node by then.
func set_shown(shown: bool) -> void:
	for synchronizer: MultiplayerSynchronizer in get_children():
		synchronizer.public_visibility = shown


## Returns true if something of each kind has arrived.
func has_begun() -> bool:
	return ["letters", "laps", "states"].all(
		func(kind: String) -> bool: return notes[kind].came > 0
	)


@rpc("any_peer", "call_remote", "reliable")
func letter(written_at: float, text: PackedByteArray) -> void:
	if multiplayer.get_remote_sender_id() != owner_id:
		faults.append("a letter from %d" % multiplayer.get_remote_sender_id())
	_note("letters", text)
	_measure(written_at)


func _on_synchronized() -> void:
	# Before its first step, and while it rests, the owner repeats its last state.
	var is_new := tick > maxi(notes.states.last, 0)
	super()
	if is_new:
		_note("states", hull)
		if tick != notes.states.last:
			faults.append("tick %d with the load of %d" % [tick, notes.states.last])
		_measure(sent_at)


func _on_changes() -> void:
	if lap == 0:
		return
	_note("laps", cargo)
	if lap != notes.laps.last:
		faults.append("lap %d with the load of %d" % [lap, notes.laps.last])


func _note(kind: String, text: PackedByteArray) -> void:
	var read := Letters.read(text)
	var row: Dictionary = notes[kind]
	if read.fault or read.from != title or read.to != kind:
		faults.append("%s of %s: %s" % [kind, title, read])
	elif read.number <= row.last:
		faults.append("%s of %s: %d after %d" % [kind, title, read.number, row.last])
	else:
		if row.came == 0:
			row.first = read.number
		row.last = read.number
		row.came += 1


func _measure(since: float) -> void:
	if is_measuring:
		ages.append(Time.get_unix_time_from_system() - since)


func _synchronizer(its_name: String, authority: int) -> MultiplayerSynchronizer:
	var synchronizer := super(its_name, authority)
	var config := synchronizer.replication_config
	var is_always := its_name == "Always"
	var property := NodePath(".:hull" if is_always else ".:cargo")
	config.add_property(property)
	config.property_set_spawn(property, false)
	config.property_set_replication_mode(
		property,
		(
			SceneReplicationConfig.REPLICATION_MODE_ALWAYS
			if is_always
			else SceneReplicationConfig.REPLICATION_MODE_ON_CHANGE
		)
	)
	if is_always:
		synchronizer.replication_interval = 0.0
	else:
		synchronizer.delta_synchronized.connect(_on_changes)
	return synchronizer
