extends RefCounted
## Objects that were closed and opened again in one frame: closing emits no signal, and a [MultiplayerAPI] that has not seen the object closed
## still lists its old peers. So their end is told before the first new one connects.


## The MultiplayerAPIs that an object is the peer of, branches of the scene tree included, each with what it has connected to the end of a peer.
static func apis_of(peer: MultiplayerPeer) -> Dictionary:
	var apis: Dictionary = {}
	for connection: Dictionary in peer.get_signal_connection_list("peer_disconnected"):
		var callable: Callable = connection["callable"]
		var api: MultiplayerAPI = callable.get_object() as MultiplayerAPI
		if api != null and not apis.has(api):
			apis[api] = callable
	return apis


## Tells of the end of those peers that are still listed, the server last. False: a handler has closed or opened the object, which
## [param is_still_open] says.
static func tell(peer: MultiplayerPeer, former: PackedInt32Array, is_still_open: Callable) -> bool:
	var apis: Dictionary = apis_of(peer)
	var told: Dictionary = {}
	for api: MultiplayerAPI in apis:
		var end: Callable = apis[api]
		for id: int in _listed(api):
			if not former.has(id):
				# Another client, which the server has relayed: the object has never announced it.
				end.call(id)
			elif not told.has(id):
				told[id] = true
				peer.peer_disconnected.emit(id)
			if not is_still_open.call():
				return false
	return true


## The peers that an API lists, the server last.
static func _listed(api: MultiplayerAPI) -> PackedInt32Array:
	var ids: PackedInt32Array = api.get_peers()
	var scene: SceneMultiplayer = api as SceneMultiplayer
	if scene != null:
		ids.append_array(scene.get_authenticating_peers())
	ids.sort()
	ids.reverse()
	return ids
