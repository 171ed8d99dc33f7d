extends RefCounted
## Has an object of the addon from the moment in which this script is loaded.

static var server := WebSocketServer.new()
