"""Functions that speak the worker's protocol themselves: they can spoil their own calls, and nothing else."""

import ast
from pathlib import Path

import pytest

from tests.security.hosts import RUNTIMES, Host

COVERS = ("forged-frames",)


def _kinds() -> list[str]:
    """Returns what the attacker can write, from its source."""
    source = Path(__file__).parent / "functions" / "python" / "forging.py"
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            return [str(ast.literal_eval(key)) for key in node.value.keys if key is not None]
    raise AssertionError("the attacker's frames have moved")


@pytest.mark.parametrize("kind", _kinds())
def test_a_forger_spoils_its_own_calls_alone(host: Host, kind: str) -> None:
    """Whatever it writes, neighbours get their own answers from the workers they had, and the platform stays small."""
    host.deploy_attacker("python", "forger", limits={"timeout_seconds": 5})
    before = host("look")
    for victim in RUNTIMES:
        host.visit(victim)
    for _ in range(2):
        forged = host.order("call", name="forger", body={"attack": "forge", "targets": {"kind": kind}})
        for victim in RUNTIMES:
            answer = host.visit(victim)
            assert int(answer["body"]) > 0
            assert answer["cold"] is False
        answer = forged.result(30)
        assert answer["status"] in (200, 500, 502, 504), answer
        assert 0 <= answer["duration_ms"] < 30_000
    after = host("look")
    assert after["peak_mb"] < before["peak_mb"] + 60
    assert after["platform"][0] == before["platform"][0]
    host("retire", name="forger")
