extends RefCounted
## Holds an object of the addon from the moment when this script is loaded.

static var server := WebSocketServer.new()
