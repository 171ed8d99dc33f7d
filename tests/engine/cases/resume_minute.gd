# As the case `resume`, for a minute, with every kind of loss, plain and encrypted.
# processes: server client:a client:b
# timeout: 180
# long
# variant: plain server=ours clients=ours,ours4 loss=end,reset,silence pace=1 seconds=60
# variant: tls server=ours4 clients=ours4,ours loss=end,reset,silence pace=1 seconds=60 tls=yes
# variant: beside_engine server=ours clients=ours,engine loss=reset pace=1 seconds=60
extends "res://cases/resume.gd"
