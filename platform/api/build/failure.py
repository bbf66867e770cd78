"""The one error that ends a build."""


class BuildFailed(Exception):  # noqa: N818 - reads as what happened
    """What the user's sources, or the world, make impossible to build; the message is the function's `deployError`."""
