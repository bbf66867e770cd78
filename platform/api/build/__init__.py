"""From sources to an immutable version: archive, bundle, dependencies, layer."""
