# refuse_new_connections with clients of the engine's own class: they fail at once, too.
# processes: server client:old client:new
# timeout: 30
# args: server=ours clients=engine
# expect: ^ERROR: Invalid status code. Got: '503', expected '101'
# expect: ^ERROR: Invalid response headers
extends "res://cases/refuse_new.gd"
