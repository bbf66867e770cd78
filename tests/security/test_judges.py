"""What decides about connections stands whatever a function asks of it."""

from tests.security.hosts import RUNTIMES, Host

COVERS = ("nonsense",)


def test_nonsense_brings_nobody_down(host: Host, runtime: str) -> None:
    """The processes behind the sandbox are the same as before, neighbours too, and what is open is still reached."""
    before = host("look")["platform"][:3]
    host.attack("nonsense", runtime)
    seen = host("look")
    assert seen["platform"][:3] == before
    assert seen["touched"] == {}
    for victim in RUNTIMES:
        assert host.visit(victim)["cold"] is False
    url = f"http://{host.targets(runtime)['open'][0]}/"
    report = host.attack("rebinding", runtime, closed=[url], names=[], ports=[])
    assert [got for got in report.got.values() if "200" in got], report.refused
