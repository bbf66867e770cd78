"""The process around one run of a build's tool: it raises the walls, watches over the run, and ends all of it."""
