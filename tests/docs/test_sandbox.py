"""docs/sandbox.md tells the truth: every layer and what needs it, the settings, and the commands."""

import re
from ipaddress import ip_network
from pathlib import Path

from cloudserve.core.config import Settings
from cloudserve.core.confine import words
from cloudserve.core.confine.attacks import ATTACKS
from cloudserve.core.confine.egress import addresses, lookups, supervised
from cloudserve.core.confine.egress.addresses import special
from cloudserve.core.confine.egress.policy import parse_permitted
from cloudserve.core.confine.layers import NAMES
from cloudserve.core.confine.tiers import NEEDED, TIERS
from cloudserve.sandbox import claims

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sandbox.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_layer_is_on_the_page_with_the_tiers_that_need_it() -> None:
    """In the order in which they are told elsewhere."""
    rows = re.findall(r"^\| `([\w-]+)` \| ([ABC, ]*) ?\|", section("The layers"), re.MULTILINE)
    assert [name for name, _ in rows] == list(NAMES)
    for name, tiers in rows:
        assert [tier for tier in TIERS if name in NEEDED[tier]] == re.findall("[ABC]", tiers), name


def test_the_table_of_attacks_is_on_the_page() -> None:
    """Row by row, as the attack suite holds it."""
    rows = [line for line in section("What becomes of attacks").splitlines() if line.startswith("| `")]
    assert rows == [f"| `{row.name}` | {row.tries} | {row.a} | {row.b} | {row.c} |" for row in ATTACKS]


def test_every_tier_is_on_the_page() -> None:
    """The strongest first."""
    assert re.findall(r"^\| (A|B|C|none) \|", section("The tiers"), re.MULTILINE) == list(TIERS)


def test_the_settings_are_those_that_there_are() -> None:
    """With their defaults."""
    fields = Settings.model_fields
    assert {"minimum_tier", "unsafe_without_walls"} <= set(fields)
    assert f"{fields['minimum_tier'].default} (default)" in section("A minimum")
    assert f"`queue_seconds`, {fields['queue_seconds'].default} s" in PAGE
    settings = (ROOT / "Pulumi.yaml").read_text()
    for name in ("minimumTier", "unsafeWithoutWalls"):
        assert f"cloudserve:{name}:" in PAGE
        assert f"cloudserve:{name}:" in settings


def test_the_commands_are_those_that_a_host_is_told() -> None:
    """What raises a tier is said in one way."""
    raising = section("To raise it")
    assert words.DOCKER_PLAIN in raising
    assert words.AS_ROOT in raising
    source = Path(words.__file__).read_text()
    for command in re.findall(r"sudo sysctl -w [\w.=]+", raising):
        assert command in source


def test_a_claimant_keeps_its_place_as_long_as_the_page_says() -> None:
    """A second."""
    assert claims.SLICE_SECONDS == 1
    assert "keeps its place for a second" in section("Tier C: one owner at a time")
    assert claims.KEPT_SECONDS > claims.RETRY_AFTER_SECONDS


def test_the_addresses_that_nobody_reaches_are_on_the_page() -> None:
    """All that are told are special, and every metadata address is told."""
    egress = section("Egress")
    told = [
        text for row in egress.splitlines() if row[:1] == "|" for text in re.findall(r"`([0-9a-f:.]+(?:/\d+)?)`", row)
    ]
    assert all(special(ip_network(text).network_address) for text in told)
    metadata = {str(ip_network(text).network_address) for text, kind in addresses.KINDS if kind == "metadata address"}
    assert metadata <= set(told)
    assert parse_permitted(re.findall(r"egressAllow: (.*?)  ", egress)[0].split(", "))


def test_the_bounds_of_egress_are_those_that_there_are() -> None:
    """The share of time, the time of a try, and how long an answer holds."""
    egress = section("Egress")
    assert (supervised.SHARE, supervised.LEAST_TTL, supervised.MOST_TTL) == (0.1, 60, 3600)
    assert "a tenth of its time" in egress
    assert "between a minute and an hour" in egress
    assert f"{lookups.TRY_SECONDS} s" in egress
