"""Names that a function may not set, because they change how the platform or a runtime works."""

import pytest

from cloudserve.core.environment import is_reserved


@pytest.mark.parametrize(
    "name", ["CLOUDSERVE_URL", "LD_PRELOAD", "NODE_OPTIONS", "PYTHONPATH", "PATH", "HOME", "npm_config_registry"]
)
def test_what_loads_or_steers_code_is_reserved(name: str) -> None:
    """In whichever case it is written."""
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["DATABASE_URL", "NODE_ENV", "TZ", "PATHS", "HOMEPAGE", "OLD_NAME"])
def test_all_else_is_free(name: str) -> None:
    """Also what only looks like one of them."""
    assert not is_reserved(name)
