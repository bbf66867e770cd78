"""Egress: where code behind walls may connect to, and the supervisor outside that connects for it."""
