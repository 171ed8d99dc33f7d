# Packets of up to 60 KiB between a server and three clients, each to each, compared byte by byte.
# processes: server client:a client:b client:c
# timeout: 60
# variant: ours server=ours clients=ours,ours4,ours
# variant: engine_clients server=ours clients=engine
# variant: engine_server server=engine clients=ours,ours4,ours
# variant: mixed_clients server=ours clients=ours,engine,engine
# variant: mixed_clients4 server=ours4 clients=engine,ours4,engine
# variant: mixed_clients_on_engine server=engine clients=ours,engine,engine
# variant: web server=ours clients=ours,ours4,ours web=client:a,client:b
# variant: web_on_engine server=engine clients=ours,ours4,engine web=client:a,client:b
extends "res://lib/case.gd"

const Party := preload("res://lib/party.gd")
const Parcels := preload("res://lib/parcels.gd")
## Each side of the steps of the frame header: with the API's own byte, and relayed with six more.
const SIZES: Array[int] = [
	9, 118, 119, 120, 123, 124, 125, 126, 127, 1350, 4096, 65527 - 4096, 60 * 1024
]

var party: Party
var parcels: Parcels


func run() -> void:
	party = Party.attach(self)
	parcels = Parcels.attach(party)
	await party.gather()
	var everybody: Array = party.ids.keys()
	everybody.sort()
	for from: String in everybody:
		for to: String in everybody:
			if from == to:
				continue
			if from == name:
				for index in SIZES.size():
					await parcels.round_trip(to, SIZES[index], hash([from, to, index]) & 0x7fffffff)
			await party.barrier("%s to %s" % [from, to])
	check_eq(parcels.faults, [] as Array[String], "packets that came in")
	for from: String in everybody:
		if from != name:
			check_eq(parcels.received.get(from), SIZES.size(), "packets from %s" % from)
	await party.barrier("checked")
	await party.leave_in_turn()
