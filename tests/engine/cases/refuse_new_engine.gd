# refuse_new_connections, as clients of the engine's own class see it: they fail at once too.
# processes: server client:old client:new
# timeout: 30
# args: server=ours clients=engine
# expect: ^ERROR: Invalid status code. Got: '503', expected '101'
# expect: ^ERROR: Invalid response headers
extends "res://cases/refuse_new.gd"
