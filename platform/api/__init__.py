"""The control plane: owners, keys, functions, deploys and what became of calls."""
