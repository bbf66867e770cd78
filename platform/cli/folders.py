"""Where the command line keeps things, and where the checkout is that it belongs to."""

import os
from pathlib import Path

from cloudserve.cli.output import CommandError


def data_home() -> Path:
    """Returns `$XDG_DATA_HOME/cloudserve`."""
    return _base("XDG_DATA_HOME", ".local/share") / "cloudserve"


def config_home() -> Path:
    """Returns `$XDG_CONFIG_HOME/cloudserve`."""
    return _base("XDG_CONFIG_HOME", ".config") / "cloudserve"


def cache_home() -> Path:
    """Returns `$XDG_CACHE_HOME/cloudserve`; what is in it can be made anew."""
    return _base("XDG_CACHE_HOME", ".cache") / "cloudserve"


def checkout() -> Path:
    """Returns the checkout with the Pulumi program. Raises `CommandError` where there is only the package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "Pulumi.yaml").exists():
        raise CommandError(
            "This verb needs the infrastructure program, which is not part of the package. Remedy: clone CloudServe's "
            "repository and run `./cloudserve` there.",
            reason="no-checkout",
        )
    return root


def _base(variable: str, default: str) -> Path:
    chosen = os.environ.get(variable)
    return Path(chosen) if chosen else Path.home() / default
