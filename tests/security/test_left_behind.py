"""Functions that leave something for another function, in every place that could outlast a call."""

import json
from typing import Any

import pytest

from tests.security.hosts import RUNTIMES, Host, secret

COVERS = ("left-behind",)


@pytest.mark.parametrize("finder", RUNTIMES)
def test_nothing_is_left_for_another_function(host: Host, runtime: str, finder: str) -> None:
    """Neither while the one that left it still lives, nor for a worker that is started after it has ended."""
    mark = secret("left")
    leaver, early, late = (f"{role}-{runtime}-{finder}" for role in ("leaver", "early", "late"))
    for name, language in ((leaver, runtime), (early, finder), (late, finder)):
        host.deploy_attacker(language, name)
    targets = {"python": str(host.place.interpreter), "mark": mark}
    left = host("call", name=leaver, body={"attack": "leave", "targets": targets})
    assert json.loads(left["body"])["got"], "nothing could be left at all, not even in its own folder"
    found = [_find(host, early, {**targets, "late": False})]
    host("retire", name=leaver)
    found.append(_find(host, late, {**targets, "late": True}))
    for name in (early, late):
        host("retire", name=name)
    if host.tier == "none":
        assert any(found)
    else:
        assert found == [{}, {}]


def _find(host: Host, name: str, targets: dict[str, Any]) -> dict[str, str]:
    without = {key: value for key, value in targets.items() if key != "mark"}
    answer = host("call", name=name, body={"attack": "find", "targets": without})
    got: dict[str, str] = json.loads(answer["body"])["got"]
    return got
