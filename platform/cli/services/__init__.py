"""The services as processes of their own: how each is composed, run, watched and ended."""
