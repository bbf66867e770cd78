"""Each host is of the tier that it stands for, or all that follows would prove something else."""

import json

from tests.security.hosts import Host


def test_the_tier_found_is_the_tier_meant(host: Host) -> None:
    """The platform itself, given leave for the best walls, finds the ones that this place allows."""
    assert host.facts["protection"]["tier"] == host.tier, host.facts["protection"]["layersOff"]


def test_what_is_open_stays_open(host: Host, runtime: str) -> None:
    """A public address can be reached by name, so that being refused elsewhere is no accident."""
    target = f"http://open.test/redirect?http://{host.targets(runtime)['open'][0]}/"
    report = host.attack("rebinding", runtime, closed=[target.partition("?")[2]], names=["open.test"], ports=[80])
    assert [got for got in report.got.values() if "200" in got], json.dumps([report.got, report.refused])
