extends RefCounted
## Objects that were closed and opened again in one frame: closing emits no signal, and a [MultiplayerAPI] that has not seen the object closed
## still lists its old peers. So their end is told before the first new one connects.


## The MultiplayerAPIs that an object is the peer of, branches of the scene tree included: each is connected to its signals.
static func apis_of(peer: MultiplayerPeer) -> Array[MultiplayerAPI]:
	var apis: Array[MultiplayerAPI] = []
	for connection: Dictionary in peer.get_signal_connection_list("peer_disconnected"):
		var callable: Callable = connection["callable"]
		var api: MultiplayerAPI = callable.get_object() as MultiplayerAPI
		if api != null and not apis.has(api):
			apis.push_back(api)
	return apis


## Emits the signal for those peers that are still listed, the server last. False: a handler has closed or opened the object, which
## [param is_still_open] says.
static func tell(peer: MultiplayerPeer, former: PackedInt32Array, is_still_open: Callable) -> bool:
	var listed: Dictionary = {}
	for api: MultiplayerAPI in apis_of(peer):
		for id: int in api.get_peers():
			listed[id] = true
		var scene: SceneMultiplayer = api as SceneMultiplayer
		if scene != null:
			for id: int in scene.get_authenticating_peers():
				listed[id] = true
	var ids: Array = listed.keys()
	ids.sort()
	ids.reverse()
	for id: int in ids:
		if not former.has(id):
			continue
		peer.peer_disconnected.emit(id)
		if not is_still_open.call():
			return false
	return true
