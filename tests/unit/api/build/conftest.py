"""What tests of builds share."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.unit.api.build import jails


@pytest.fixture(scope="session", autouse=True)
def shared_keeper() -> Iterator[None]:
    """Ends what jailers are forked from, at the end."""
    yield
    asyncio.run(jails.keeper().close())
