"""The walls around code that is not ours: what they are made of, and what they bound."""
