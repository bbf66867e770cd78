"""The `cloudserve` command, and the embedded platform it composes from the services."""
