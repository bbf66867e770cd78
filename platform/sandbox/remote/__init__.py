"""Sandboxes on hosts of their own: `client` in the gateway, `host` beside the workers, and the wire between them."""
