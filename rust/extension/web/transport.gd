extends RefCounted
## One WebSocket connection of a web export: the engine's [WebSocketPeer] behind the gate of gate.js.
##
## The gate owns the browser's socket, queues what arrives, also while no frame runs, and hands it to the engine's class as the game polls.
## Where the gate cannot run (a page that forbids eval and has no static gate, or a native engine in a test) the engine's class works alone.
## It has no class name: the classes of a web export load it by path.
## [codeblock]
## const Transport := preload("transport.gd")
## var transport := Transport.new()
## signal woken()                       # run_while_hidden(true) only: the page is hidden, call poll() and let the game take its packets
## func open(url: String, protocols: PackedStringArray, options: Dictionary) -> Error
## func poll() -> void                  # once per frame, before anything is taken
## func state() -> int                  # WebSocketPeer.STATE_*; CLOSED only when everything that was received has been taken
## func available() -> int              # packets that may be taken now; 0 when this poll's share (8 ms or more of the frame, 1 MiB) is used up
## func take() -> PackedByteArray       # the next packet; empty when there is none
## func took_string() -> bool           # whether the packet taken last was a text message
## func send(data: PackedByteArray, text: bool) -> Error
## func close(code := 1000, reason := "") -> void   # closing handshake; a code below 0 drops the connection at once
## func close_code() -> int             # -1: no close frame came
## func close_reason() -> String
## func last_error() -> String          # why the connection failed or ended, in words; "" while there is nothing to say
## func selected_protocol() -> String
## func buffered_bytes() -> int         # bytes the browser has not sent yet, what was sent in this frame included
## func buffered_packets() -> int       # at most so many packets are among them
## func is_congested() -> bool          # the connection did not take its data for 100 ms
## func stalled_msec() -> int           # for how long it has taken none at all while data waits; for write_timeout
## func waiting_bytes() -> int          # received and not taken, in the gate and here
## func waiting_packets() -> int
## func rtt_msec() -> float             # -1: not known
## func set_heartbeat(interval: float, timeout: float) -> void   # seconds, as in the options; at any time
## func run_while_hidden(enabled: bool) -> void                  # emit `woken` every 100 ms while the page is hidden
## func figures() -> Dictionary         # bytes_in, bytes_out, packets_in, packets_out, packets_to_closed, last_receive_msec, last_packet_msec,
##                                      # connected_msec; times are ages in ms; bytes are payload, a browser shows no others
## [/codeblock]
## Options of open(), all optional:
## [codeblock]
## heartbeat_interval: float = 20.0     # seconds without a received byte until the server is asked for a sign of life; 0 = never
## heartbeat_timeout: float = 60.0      # seconds of silence after which the connection counts as lost; 0 = never
##                                      # (both need a server that agrees to `alive`)
## offer_alive: bool = true             # offer it with the query item `godot-multiplayer=alive.v1`
## largest_message: int = 65536         # bytes; a larger message ends the connection with Close 4009
## limit_bytes: int = 16 MiB            # received and not taken; more ends the connection with Close 4013, after what was accepted has been taken
## limit_messages: int = 65536          # likewise
## tls_options: TLSOptions = null       # a native engine only: a browser decides about certificates itself
## [/codeblock]
## open() answers ERR_ALREADY_IN_USE while a connection is open, ERR_INVALID_PARAMETER for a URL that is not one of ws:// or wss://. What only the
## browser refuses (mixed content, a bad port, a bad subprotocol) makes state() CLOSED at the next poll(), with the browser's words in last_error().
## send() answers ERR_UNCONFIGURED while the connection is not open. To a remote that is gone it answers OK and counts packets_to_closed.
## Codes 1001..2999 cannot be sent by a page: 4000 + the last three digits goes out instead (1013: 4013). A reason is cut to 123 bytes.
