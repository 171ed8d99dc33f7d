# gdlint:disable=max-public-methods,load-constant-name
extends MultiplayerPeerExtension
## The members that the three multiplayer classes of a web export share: signals, properties, and what an object that is not open answers.

## Emitted in multiplayer mode from [code]poll()[/code] when a packet can be read, once per packet, in the order of arrival.
@warning_ignore("unused_signal")
signal peer_packet(peer_source: int)
## Emitted when a packet of [param size] bytes to several peers was not sent to peer [param id].
## [br][br]
## [b]Web:[/b] never emitted, because a client has one peer only.
@warning_ignore("unused_signal")
signal packet_refused(id: int, size: int)
## Emitted when a peer accepts no more data for now, and more than half of its output buffer is in use.
@warning_ignore("unused_signal")
signal peer_congested(id: int)
## Emitted when all data that waited for a congested peer has been sent.
@warning_ignore("unused_signal")
signal peer_drained(id: int)
## Emitted in multiplayer mode when a peer has lost its connection and may come back. On a client, [param id] is 1, and the client connects again
## by itself.
## [br][br]
## [b]Web:[/b] needs [code]resume_enabled = true[/code]. What a hidden page has missed of it is told when it is shown: at most one pair.
@warning_ignore("unused_signal")
signal peer_suspended(id: int)
## Emitted in multiplayer mode when a suspended peer has come back. No reliable packet was lost. On a client, [param id] is 1.
@warning_ignore("unused_signal")
signal peer_resumed(id: int)
## Emitted when a peer is closed because it did not accept its packets fast enough (see [constant OVERFLOW_DISCONNECT]).
@warning_ignore("unused_signal")
signal peer_overflowed(id: int)
## Emitted on a client in multiplayer mode when it is connected and has its peer id.
@warning_ignore("unused_signal")
signal connection_succeeded
## Emitted on a client in multiplayer mode when it could not connect. [method get_last_error] returns the reason.
@warning_ignore("unused_signal")
signal connection_failed
## Emitted on a client in multiplayer mode when an established connection was lost or closed. [method get_last_error] returns the reason.
@warning_ignore("unused_signal")
signal server_disconnected

const _Checks = preload("checks.gd")
const _Handle = preload("buffered_web_socket_peer.gd")
const _Settings = preload("project_settings.gd")
const _WireFormat = preload("wire_format.gd")

## The wire format of 4.x engines: packets without a header; the first message contains the peer id.
const WIRE_FORMAT_GODOT4: int = 0
## The wire format of the 3.x classes: a header of 9 bytes before each packet.
const WIRE_FORMAT_GODOT3: int = 1
## A peer that does not accept its reliable packets fast enough is closed with code 1013 (in a web export 4013).
const OVERFLOW_DISCONNECT: int = 0
## [method put_packet] returns [constant @GlobalScope.ERR_OUT_OF_MEMORY] while a peer has no room for the packet.
const OVERFLOW_REFUSE: int = 1
## Messages are not compressed.
const COMPRESSION_OFF: int = 0
## Each message is compressed by itself.
const COMPRESSION_SHARED: int = 1
## Each message is compressed with those before it.
const COMPRESSION_DEDICATED: int = 2

const _COMPRESSION: String = "network/websocket/compression_"
const _MOST_THRESHOLD: int = 1024 * 1024 * 1024
const _FIGURES: Array[String] = [
	"peers",
	"pending",
	"bytes_in",
	"bytes_out",
	"packets_in",
	"packets_out",
	"deflated_out_bytes",
	"compressed_out_bytes",
	"compressed_in_bytes",
	"inflated_in_bytes",
	"compression_bytes",
	"packets_relayed",
	"bytes_relayed",
	"packets_folded",
	"packets_refused",
	"packets_dropped_unreliable",
	"packets_to_closed",
	"peers_overflowed",
	"peers_violated",
	"peers_timed_out",
	"reads_paused",
	"peers_suspended",
	"sessions_resumed",
	"sessions_expired",
	"pings_unanswered",
	"handshakes_refused",
	"refused_malformed",
	"refused_address",
	"refused_origin",
	"refused_full",
	"refused_handler",
	"refused_busy",
	"refused_resume",
	"refused_too_soon",
	"handshakes_timed_out",
	"pending_evicted",
	"health_checks",
	"accept_errors",
	"poll_usec",
	"io_wakeups",
]

## The wire format of packets in multiplayer mode. [constant WIRE_FORMAT_GODOT4] (the default) is compatible with 4.x engines, including their
## own [WebSocketMultiplayerPeer]; [constant WIRE_FORMAT_GODOT3] is compatible with the 3.x classes. Cannot be changed while open. Raw mode
## ignores it.
var wire_format: int = WIRE_FORMAT_GODOT4:
	set = set_wire_format

## How often the server is asked for a sign of life, in seconds. If 0, it is asked three times in [member heartbeat_timeout]. Must be less than
## [member heartbeat_timeout], unless that is 0.
## [br][br]
## [b]Web:[/b] a page cannot send pings. The value has an effect on servers of this addon, in multiplayer mode with the wire format of 4.x.
var heartbeat_interval: float = 20.0:
	set = set_heartbeat_interval

## If nothing is received for this time, in seconds, the connection is dropped. If 0, it is never dropped for silence.
## [br][br]
## [b]Web:[/b] as for [member heartbeat_interval]. Of other servers a page hears neither pings nor that the network is gone.
var heartbeat_timeout: float = 60.0:
	set = set_heartbeat_timeout

## If data waits to be sent, and no byte is sent for this time, in seconds, the connection is dropped. If 0, it is never dropped for this.
var write_timeout: float = 30.0:
	set = set_write_timeout

## The time that connecting may take, in seconds: from the call until the peer is connected. Must be greater than 0.
## [br][br]
## [b]Web:[/b] time in which the game does not poll, as in a hidden tab, does not count. After many failed attempts, Chrome delays each new one
## by 2 to 3 s.
var handshake_timeout: float = 3.0:
	set = set_handshake_timeout

## The time that the other side has to answer a Close frame, in seconds. Then the connection is dropped. Must be greater than 0.
var close_timeout: float = 3.0:
	set = set_close_timeout

## The size of the largest message that is accepted, in KiB, 1 to 1048576. The default is the size of the input buffer. A larger message closes
## the connection with code 1009.
## [br][br]
## [b]Web:[/b] cannot be changed while open. The code is 4009.
var max_message_size_kb: int = 64:
	get = get_max_message_size_kb,
	set = set_max_message_size_kb

## What happens in multiplayer mode if a peer does not accept its reliable packets fast enough. [constant OVERFLOW_DISCONNECT] (the default)
## closes the peer after [member overflow_grace]. [constant OVERFLOW_REFUSE] makes [method put_packet] return [constant
## @GlobalScope.ERR_OUT_OF_MEMORY] until there is room. RPCs and synchronizers ignore this error, so their refused packets are lost.
var overflow_policy: int = OVERFLOW_DISCONNECT:
	set = set_overflow_policy

## The time that a congested peer may stay above its output limits, in seconds, with [constant OVERFLOW_DISCONNECT].
var overflow_grace: float = 1.0:
	set = set_overflow_grace

## If more than this waits for a congested peer, in KiB, unreliable packets for this peer are dropped. If 0, this
## limit does not apply: they are dropped where there is no room, and while the peer is suspended.
var unreliable_backlog_kb: int = 16:
	set = set_unreliable_backlog_kb

## Whether messages are compressed. Cannot be changed while open.
## [br][br]
## [b]Web:[/b] has no effect: the browser compresses if the server agrees.
var compression_mode: int = _Settings.read(_COMPRESSION + "mode", COMPRESSION_OFF, 0, 2):
	set = set_compression_mode

## Messages that are smaller are not compressed, in bytes, 0 to 1073741824. Cannot be changed while open. [b]Web:[/b] has no effect.
var compression_threshold: int = _Settings.read(
	_COMPRESSION + "threshold", 1024, 0, _MOST_THRESHOLD
):
	set = set_compression_threshold

## Simulates the latency of a bad network.
## [br][br]
## [b]Web:[/b] has no effect, like all [code]simulate_*[/code] properties: use the network panel of the browser's developer tools.
var simulate_latency_msec: int = 0:
	set = set_simulate_latency_msec

## Simulates the jitter of a bad network. [b]Web:[/b] has no effect.
var simulate_jitter_msec: int = 0:
	set = set_simulate_jitter_msec

## Simulates the bandwidth of a bad network. [b]Web:[/b] has no effect.
var simulate_bandwidth_kbps: int = 0:
	set = set_simulate_bandwidth_kbps

## Simulates the stalls of a bad network. [b]Web:[/b] has no effect.
var simulate_stall_every_sec: int = 0:
	set = set_simulate_stall_every_sec

## Simulates a network that loses connections. [b]Web:[/b] has no effect.
var simulate_disconnect_every_sec: int = 0:
	set = set_simulate_disconnect_every_sec

## The seed of the simulated jitter, stalls and cuts. [b]Web:[/b] has no effect.
var simulate_seed: int = 0:
	set = set_simulate_seed

## What lines call this object, and what opens it.
var _name: String = ""
var _opener: String = ""
var _input_bytes: int = 65536
var _input_packets: int = 1024
var _output_bytes: int = 65536
var _output_packets: int = 1024
## 0: as large as the input buffer.
var _max_message: int = 0
var _transfer_mode: MultiplayerPeer.TransferMode = MultiplayerPeer.TRANSFER_MODE_RELIABLE
var _transfer_channel: int = 0
var _target: int = 0
var _refuses: bool = false


func set_wire_format(format: int) -> void:
	if format != WIRE_FORMAT_GODOT4 and format != WIRE_FORMAT_GODOT3:
		var why: String = (
			"%d is unknown; use WIRE_FORMAT_GODOT4 (0) or WIRE_FORMAT_GODOT3 (1)" % format
		)
		_Checks.error(_name + ".wire_format", why)
	elif _may_change("wire_format"):
		wire_format = format


func get_wire_format() -> int:
	return wire_format


func set_heartbeat_interval(seconds: float) -> void:
	var where: String = _name + ".heartbeat_interval"
	if (
		_Checks.is_time(where, seconds, true)
		and _Checks.is_heartbeat(where, seconds, heartbeat_timeout)
	):
		heartbeat_interval = seconds
		_apply()


func get_heartbeat_interval() -> float:
	return heartbeat_interval


func set_heartbeat_timeout(seconds: float) -> void:
	var where: String = _name + ".heartbeat_timeout"
	if (
		_Checks.is_time(where, seconds, true)
		and _Checks.is_heartbeat(where, heartbeat_interval, seconds)
	):
		heartbeat_timeout = seconds
		_apply()


func get_heartbeat_timeout() -> float:
	return heartbeat_timeout


func set_write_timeout(seconds: float) -> void:
	if _Checks.is_time(_name + ".write_timeout", seconds, true):
		write_timeout = seconds


func get_write_timeout() -> float:
	return write_timeout


func set_handshake_timeout(seconds: float) -> void:
	if _Checks.is_time(_name + ".handshake_timeout", seconds, false):
		handshake_timeout = seconds


func get_handshake_timeout() -> float:
	return handshake_timeout


func set_close_timeout(seconds: float) -> void:
	if _Checks.is_time(_name + ".close_timeout", seconds, false):
		close_timeout = seconds


func get_close_timeout() -> float:
	return close_timeout


func set_max_message_size_kb(size_kb: int) -> void:
	if (
		_Checks.is_in_range(_name + ".max_message_size_kb", size_kb, 1, _Checks.MOST)
		and _may_change("max_message_size_kb")
	):
		_max_message = size_kb * 1024


func get_max_message_size_kb() -> int:
	return ceili(_largest_message() / 1024.0)


func set_overflow_policy(policy: int) -> void:
	if policy == OVERFLOW_DISCONNECT or policy == OVERFLOW_REFUSE:
		overflow_policy = policy
		return
	var why: String = "%d is unknown; use OVERFLOW_DISCONNECT (0) or OVERFLOW_REFUSE (1)" % policy
	_Checks.error(_name + ".overflow_policy", why)


func get_overflow_policy() -> int:
	return overflow_policy


func set_overflow_grace(seconds: float) -> void:
	if _Checks.is_time(_name + ".overflow_grace", seconds, true):
		overflow_grace = seconds


func get_overflow_grace() -> float:
	return overflow_grace


func set_unreliable_backlog_kb(size_kb: int) -> void:
	if _Checks.is_in_range(_name + ".unreliable_backlog_kb", size_kb, 0, _Checks.MOST):
		unreliable_backlog_kb = size_kb
		_apply()


func get_unreliable_backlog_kb() -> int:
	return unreliable_backlog_kb


func set_compression_mode(mode: int) -> void:
	if mode < COMPRESSION_OFF or mode > COMPRESSION_DEDICATED:
		var why: String = (
			"%d is unknown; use COMPRESSION_OFF (0), COMPRESSION_SHARED (1) or COMPRESSION_DEDICATED (2)"
			% mode
		)
		_Checks.error(_name + ".compression_mode", why)
	elif _may_change("compression_mode"):
		compression_mode = mode


func get_compression_mode() -> int:
	return compression_mode


func set_compression_threshold(bytes: int) -> void:
	if (
		_Checks.is_in_range(_name + ".compression_threshold", bytes, 0, _MOST_THRESHOLD)
		and _may_change("compression_threshold")
	):
		compression_threshold = bytes


func get_compression_threshold() -> int:
	return compression_threshold


func set_simulate_latency_msec(msec: int) -> void:
	if _is_simulation("simulate_latency_msec", msec, 10000):
		simulate_latency_msec = msec


func get_simulate_latency_msec() -> int:
	return simulate_latency_msec


func set_simulate_jitter_msec(msec: int) -> void:
	if _is_simulation("simulate_jitter_msec", msec, 10000):
		simulate_jitter_msec = msec


func get_simulate_jitter_msec() -> int:
	return simulate_jitter_msec


func set_simulate_bandwidth_kbps(kbps: int) -> void:
	if _is_simulation("simulate_bandwidth_kbps", kbps, 1000000):
		simulate_bandwidth_kbps = kbps


func get_simulate_bandwidth_kbps() -> int:
	return simulate_bandwidth_kbps


func set_simulate_stall_every_sec(seconds: int) -> void:
	if _is_simulated_period("simulate_stall_every_sec", seconds):
		simulate_stall_every_sec = seconds


func get_simulate_stall_every_sec() -> int:
	return simulate_stall_every_sec


func set_simulate_disconnect_every_sec(seconds: int) -> void:
	if _is_simulated_period("simulate_disconnect_every_sec", seconds):
		simulate_disconnect_every_sec = seconds


func get_simulate_disconnect_every_sec() -> int:
	return simulate_disconnect_every_sec


@warning_ignore("shadowed_global_identifier")
func set_simulate_seed(seed: int) -> void:
	simulate_seed = seed


func get_simulate_seed() -> int:
	return simulate_seed


## Returns the handle of a connected peer: always the same object while the peer is connected. For an unknown id, prints an error and returns
## null. A client has only the peer 1, its server, which exists from the moment the client starts to connect. In the handlers of a disconnect
## signal, the handle still exists, with the close code and reason.
func get_peer(peer_id: int) -> _Handle:
	_report_unknown_peer("get_peer", peer_id)
	return null


## Sets the limits of the queues: the sizes of the buffers in KiB, and the numbers of packets. Each value, 1 to 1048576, is rounded up to a power
## of two. A packet larger than the output buffer is refused.
## [br][br]
## Returns [constant @GlobalScope.ERR_INVALID_PARAMETER] if a value is out of range, and [constant @GlobalScope.FAILED] while open. In both cases
## nothing is changed.
## [br][br]
## [b]Web:[/b] the browser has the buffers. What was received and not taken may have 16 MiB and 65536 packets, or as much as the input values
## say if that is more: a page cannot slow down a sender. Above that the connection ends with code 4013, after everything before was delivered.
## The output values say how much may wait in the browser.
func set_buffers(
	input_buffer_size_kb: int,
	input_max_packets: int,
	output_buffer_size_kb: int,
	output_max_packets: int
) -> Error:
	var where: String = _name + ".set_buffers()"
	if _is_open():
		var why: String = "buffers can only be set before %s; call close() first" % _opener
		_Checks.error(where, why)
		return FAILED
	var values: Dictionary = {
		"input_buffer_size_kb": input_buffer_size_kb,
		"input_max_packets": input_max_packets,
		"output_buffer_size_kb": output_buffer_size_kb,
		"output_max_packets": output_max_packets,
	}
	for name: String in values:
		var value: int = values[name]
		if value < 1 or value > _Checks.MOST:
			var why: String = "%s is %d; it must be between 1 and 1048576" % [name, value]
			_Checks.error(where, why)
			return ERR_INVALID_PARAMETER
	_input_bytes = nearest_po2(input_buffer_size_kb) * 1024
	_input_packets = nearest_po2(input_max_packets)
	_output_bytes = nearest_po2(output_buffer_size_kb) * 1024
	_output_packets = nearest_po2(output_max_packets)
	return OK


## Sends a packet to the target of [method MultiplayerPeer.set_target_peer] with the current transfer mode.
## [br][br]
## Returns [constant @GlobalScope.ERR_UNCONFIGURED] when not connected, [constant @GlobalScope.FAILED] on a client whose connection is being
## closed, and [constant @GlobalScope.ERR_INVALID_PARAMETER] for an unknown target or an empty packet. Returns [constant
## @GlobalScope.ERR_OUT_OF_MEMORY] for a packet that is larger than the output buffer or, with [constant OVERFLOW_REFUSE], for which there is no
## room.
## [br][br]
## [b]Web:[/b] called through a variable of this class, the engine itself drops an empty packet and returns [constant @GlobalScope.OK].
@warning_ignore("native_method_override")
func put_packet(buffer: PackedByteArray) -> Error:
	return _put_packet_script(buffer)


## Returns the totals since the object was opened, with the same names as on other platforms.
## [br][br]
## [b]Web:[/b] bytes are those of the messages: a browser shows no others. Figures of a server and of sockets are 0.
func get_statistics() -> Dictionary:
	var figures: Dictionary = {}
	for name: String in _FIGURES:
		figures[name] = 0
	return figures


## Returns the statistics of one peer, with the same names as on other platforms. For an unknown id, prints an error and returns an empty
## dictionary.
## [br][br]
## [b]Web:[/b] [code]rtt_msec[/code] is known for servers of this addon, in multiplayer mode with the wire format of 4.x.
## [code]address[/code] is empty if the URL has a name: a browser does not tell where it leads. [code]queued_out_packets[/code] is the number of
## packets that were sent since nothing waited last, so at least as many as wait.
func get_peer_statistics(id: int) -> Dictionary:
	_report_unknown_peer("get_peer_statistics", id)
	return {}


## Returns the reason why the last connection failed or ended, as a text for people; an empty string if there was no error.
## [br][br]
## [b]Web:[/b] a browser does not tell a page why a connection failed: whether nobody listens, the server refused it, or its certificate is not
## trusted. The browser's console may tell people more.
func get_last_error() -> String:
	return ""


## Returns the code of the Close frame that ended the last connection, or -1 if there was none.
func get_close_code() -> int:
	return -1


## Returns the reason in the Close frame that ended the last connection.
func get_close_reason() -> String:
	return ""


## Whether it connects or is connected.
func _is_open() -> bool:
	return false


## Passes changed properties on to what is open.
func _apply() -> void:
	pass


func _largest_message() -> int:
	return _input_bytes if _max_message == 0 else _max_message


## Why the packets of this object cannot be used; empty if they can.
func _packets_fault() -> String:
	return "not open; call %s first" % _opener


## Whether a property that cannot be changed while open may change now; prints a line otherwise.
func _may_change(property: String) -> bool:
	if not _is_open():
		return true
	var why: String = (
		"it cannot change while open; call close() first, or set it before %s" % _opener
	)
	_Checks.error("%s.%s" % [_name, property], why)
	return false


func _report_unknown_peer(method: String, id: int) -> void:
	var why: String = "peer %d is not connected, because nothing is open; call %s first"
	_Checks.error("%s.%s()" % [_name, method], why % [id, _opener])


func _is_simulation(property: String, value: int, most: int) -> bool:
	var fits: bool = _Checks.is_in_range("%s.%s" % [_name, property], value, 0, most)
	if fits:
		_warn_of_simulation(value)
	return fits


func _is_simulated_period(property: String, seconds: int) -> bool:
	var fits: bool = seconds == 0 or (seconds >= 2 and seconds <= 3600)
	if fits:
		_warn_of_simulation(seconds)
	else:
		var why: String = "%d cannot be used; it must be 0 (never), or from 2 to 3600" % seconds
		_Checks.error("%s.%s" % [_name, property], why)
	return fits


func _warn_of_simulation(value: int) -> void:
	if value != 0:
		(
			_Checks
			. warn_once(
				"WebSocket: the simulate_* properties have no effect in a web export; use the network panel of the browser's developer tools."
			)
		)


func _read_limits(folder: String) -> void:
	var most: int = _Checks.MOST
	_input_bytes = nearest_po2(_Settings.read(folder + "max_in_buffer_kb", 64, 1, most)) * 1024
	_input_packets = nearest_po2(_Settings.read(folder + "max_in_packets", 1024, 1, most))
	_output_bytes = nearest_po2(_Settings.read(folder + "max_out_buffer_kb", 64, 1, most)) * 1024
	_output_packets = nearest_po2(_Settings.read(folder + "max_out_packets", 1024, 1, most))


func _poll() -> void:
	pass


func _close() -> void:
	pass


func _disconnect_peer(peer: int, _force: bool) -> void:
	_report_unknown_peer("disconnect_peer", peer)


func _get_available_packet_count() -> int:
	return 0


func _get_max_packet_size() -> int:
	return _output_bytes - _WireFormat.header_size(wire_format)


func _get_packet_script() -> PackedByteArray:
	_Checks.error(_name + ".get_packet()", _packets_fault())
	return PackedByteArray()


func _put_packet_script(_buffer: PackedByteArray) -> Error:
	_Checks.error(_name + ".put_packet()", _packets_fault())
	return ERR_UNCONFIGURED


func _get_packet_channel() -> int:
	return 0


func _get_packet_mode() -> MultiplayerPeer.TransferMode:
	return MultiplayerPeer.TRANSFER_MODE_RELIABLE


func _get_packet_peer() -> int:
	_Checks.error(_name + ".get_packet_peer()", _packets_fault())
	return 1


func _get_connection_status() -> MultiplayerPeer.ConnectionStatus:
	return MultiplayerPeer.CONNECTION_DISCONNECTED


func _get_unique_id() -> int:
	return 0


func _get_transfer_channel() -> int:
	return _transfer_channel


func _set_transfer_channel(channel: int) -> void:
	_transfer_channel = channel


func _get_transfer_mode() -> MultiplayerPeer.TransferMode:
	return _transfer_mode


func _set_transfer_mode(mode: MultiplayerPeer.TransferMode) -> void:
	_transfer_mode = mode


func _set_target_peer(peer: int) -> void:
	_target = peer


func _is_refusing_new_connections() -> bool:
	return _refuses


func _set_refuse_new_connections(enable: bool) -> void:
	_refuses = enable


func _is_server() -> bool:
	return false


# With the 3.x wire format the server relays packets itself.
func _is_server_relay_supported() -> bool:
	return wire_format == WIRE_FORMAT_GODOT4
