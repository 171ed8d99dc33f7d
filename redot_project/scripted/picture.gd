extends RefCounted
## Saves a picture of the window and quits: `picture=FILE after=S` on the command line.


static func take(tree: SceneTree, file: String, after: float) -> void:
	await tree.create_timer(after).timeout
	await RenderingServer.frame_post_draw
	var error := tree.root.get_texture().get_image().save_png(file)
	print("PICTURE %s" % file if error == OK else "DEMO FAILED: cannot save %s" % file)
	tree.quit(0 if error == OK else 1)
