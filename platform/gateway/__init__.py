"""The data plane: resolves, admits and forwards calls, and records what became of them."""
