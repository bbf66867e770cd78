"""The provider plugin: how each resource type is made, looked at, changed and removed."""
