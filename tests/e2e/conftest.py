"""The steps of a walk-through build on each other: once one failed, the later ones are skipped."""

from typing import Any

import pytest

_broken = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[Any]") -> Any:
    """Remembers the first step of a module that failed."""
    report = yield
    if report.failed and item.parent is not None and item.parent.get_closest_marker("steps"):
        item.parent.stash.setdefault(_broken, item.name)
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a step after one that failed."""
    if item.parent is not None and (step := item.parent.stash.get(_broken, None)):
        pytest.skip(f"{step} failed")
