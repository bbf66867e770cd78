"""The warden: the one process behind a sandbox that stays outside of the walls.

It runs no code but the platform's own. It mounts code into workers that are walled off already (`mounts`) and makes
their connections for them, each by the rules of its function. The zygote is its child and ends with it.
"""
