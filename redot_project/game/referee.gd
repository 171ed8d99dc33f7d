extends Node
## The rules, on the server: spawns gems, decides who takes them, handles dashes, runs the clock.
##
## Clients only read the values of the `Clock` synchronizer.

const Arena := preload("res://game/arena.gd")
const Player := preload("res://game/player.gd")
const Gem := preload("res://game/gem.gd")
const Palette := preload("res://game/palette.gd")
const Session := preload("res://net/session.gd")
const ComputerPlayer := preload("res://game/computer_player.gd")

const ROUND_SECONDS := 120
const PAUSE_SECONDS := 8
const GEMS_ALWAYS := 9
const GEMS_PER_PLAYER := 2
const GEMS_AT_MOST := 24
const GOLD_VALUE := 5
const GOLD_CHANCE := 0.09
const SHIELD_SECONDS := 1.5
const KNOCK_SPEED := 760.0

## Replicated.
var seconds_left := ROUND_SECONDS
var pause_left := 0
var banner := ""

var _session: Session
var _arena: Arena
var _second := 0.0
var _gem_wait := 0.0
var _next_colour := 0
## Player id -> engine time in msec until which no other player can steal their gems.
var _shield := {}
## Kept here, because a disc only keeps the function that steers it.
var _computers: Array[ComputerPlayer] = []


func set_up(session: Session, arena: Arena) -> void:
	_session = session
	_arena = arena
	session.joined.connect(_on_joined)
	session.left.connect(_on_left)


func start(bots: int) -> void:
	seconds_left = ROUND_SECONDS
	banner = ""
	_second = 0.0
	pause_left = 0
	_next_colour = 0
	_shield.clear()
	_computers.clear()
	for number in bots:
		var its_name := ComputerPlayer.NAMES[number % ComputerPlayer.NAMES.size()]
		# From the end of the list of colours; people get colours from its beginning.
		var disc := _arena.add_player(-1 - number, its_name, -1 - number, _free_spot(220.0))
		var computer := ComputerPlayer.new(disc, _arena)
		disc.steering = computer.steer
		_computers.append(computer)


func _physics_process(delta: float) -> void:
	if _session == null or not _session.is_hosting():
		return
	_tick_clock(delta)
	_put_gems_out(delta)
	if pause_left == 0:
		_collect()
		_settle_dashes()


func _on_joined(id: int, player_name: String) -> void:
	if not _session.is_hosting() or (id == 1 and not _session.host_plays):
		return
	_arena.add_player(id, player_name, _next_colour, _free_spot(220.0))
	_next_colour += 1


func _on_left(id: int, _player_name: String) -> void:
	if _session.is_hosting():
		_arena.remove_player(id)
		_shield.erase(id)


func _tick_clock(delta: float) -> void:
	if _arena.players().is_empty():
		seconds_left = ROUND_SECONDS
		return
	_second += delta
	if _second < 1.0:
		return
	_second -= 1.0
	if pause_left > 0:
		pause_left -= 1
		if pause_left == 0:
			_new_round()
		elif pause_left > 2:
			_celebrate()
		return
	seconds_left -= 1
	if seconds_left <= 0:
		pause_left = PAUSE_SECONDS
		banner = _verdict()
		_celebrate()


func _new_round() -> void:
	for player in _arena.players():
		player.score = 0
	seconds_left = ROUND_SECONDS
	banner = ""


func _celebrate() -> void:
	for player in _arena.players():
		if player.is_leader:
			_arena.effects.burst.rpc(player.net_position, player.colour, "")


func _verdict() -> String:
	var ranking := _arena.ranking()
	var best: Player = ranking[0]
	if best.score == 0:
		return "Nobody found a gem"
	if ranking.size() > 1 and ranking[1].score == best.score:
		return "A draw at %d" % best.score
	return "%s wins with %d" % [best.display_name, best.score]


func _put_gems_out(delta: float) -> void:
	_gem_wait -= delta
	if _gem_wait > 0.0:
		return
	var wanted := mini(GEMS_AT_MOST, GEMS_ALWAYS + GEMS_PER_PLAYER * _arena.players().size())
	if _arena.gems().size() >= wanted:
		return
	_gem_wait = 1.0 / (2.0 + _arena.players().size())
	_arena.add_gem(_free_spot(130.0), GOLD_VALUE if randf() < GOLD_CHANCE else 1)


func _collect() -> void:
	var players := _arena.players()
	for gem in _arena.gems():
		for player in players:
			var reach := Player.RADIUS + Gem.RADIUS
			if player.net_position.distance_to(gem.position) < reach:
				player.score += gem.value
				_arena.effects.burst.rpc(gem.position, gem.colour, "+%d" % gem.value)
				gem.queue_free()
				break


func _settle_dashes() -> void:
	var players := _arena.players()
	for thief in players:
		if not thief.dashing:
			continue
		for victim in players:
			if victim == thief or victim.dashing or _is_shielded(victim):
				continue
			if thief.net_position.distance_to(victim.net_position) < Player.RADIUS * 2.3:
				_rob(thief, victim)


func _rob(thief: Player, victim: Player) -> void:
	_shield[victim.player_id] = Time.get_ticks_msec() + int(SHIELD_SECONDS * 1000.0)
	var away := thief.net_position.direction_to(victim.net_position)
	victim.knock.rpc_id(victim.owner_id, away * KNOCK_SPEED)
	victim.blink.rpc()
	var loot := mini(victim.score, 2)
	victim.score -= loot
	thief.score += loot
	var text := "stole %d" % loot if loot > 0 else "bump"
	_arena.effects.burst.rpc(victim.net_position, thief.colour, text)


func _is_shielded(player: Player) -> bool:
	return Time.get_ticks_msec() < int(_shield.get(player.player_id, 0))


## The best of some random spots: away from the walls, the discs and the other gems.
func _free_spot(distance: float) -> Vector2:
	var inside := Arena.BOUNDS.grow(-80.0)
	var best := inside.get_center()
	var best_room := -1.0
	for attempt in 12:
		var spot := inside.position + Vector2(randf(), randf()) * inside.size
		var room := INF
		for player in _arena.players():
			room = minf(room, spot.distance_to(player.net_position))
		for gem in _arena.gems():
			room = minf(room, spot.distance_to(gem.position))
		if room > best_room:
			best = spot
			best_room = room
		if room > distance:
			break
	return best
