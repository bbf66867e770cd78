"""Who someone is: passwords, keys, sessions and codes."""
