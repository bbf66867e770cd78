"""docs/services.md tells the truth: it names every setting and every metric, and none that there is not."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from cloudserve.api.meter import RequestMeter
from cloudserve.cli.services.collectors import About, Gateways, Hosts, Workers
from cloudserve.cli.services.settings import ROLES, ServiceSettings
from cloudserve.core.config import Settings
from cloudserve.core.connections import Connections
from cloudserve.gateway.meters import MOST_NAMED
from cloudserve.sandbox.abc import SandboxStats
from cloudserve.sandbox.remote.client import RemoteSandbox
from cloudserve.sandbox.remote.host import SandboxHost
from tests.unit.gateway.support import ScriptedSandbox, running

PAGE = (Path(__file__).parents[2] / "docs" / "services.md").read_text()
FIELDS = {**Settings.model_fields, **Connections.model_fields, **ServiceSettings.model_fields}


def rows(heading: str) -> dict[str, list[str]]:
    """Returns the cells of the table under a heading, by the first of them."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (`.+) \|$", section, re.MULTILINE)
    return {
        cells[0].strip("`"): cells[1:] for cells in ([cell.strip() for cell in line.split(" | ")] for line in lines)
    }


def shown(field: FieldInfo) -> str:
    """Returns how the table shows a default."""
    if field.is_required():
        return "must be set"
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if isinstance(default, bool):
        default = str(default).lower()
    return "" if default in ("", None) else f"`{default}`"


def test_the_table_of_settings_is_that_of_the_models() -> None:
    """Names, defaults and descriptions."""
    expected = {
        f"CLOUDSERVE_{name.upper()}": [shown(field), (field.description or "").replace("|", "\\|")]
        for name, field in FIELDS.items()
    }
    assert {name: [cells[1], cells[2]] for name, cells in rows("Settings").items()} == expected


def test_the_table_of_settings_names_roles_that_there_are() -> None:
    """For whom a setting is."""
    for name, cells in rows("Settings").items():
        assert {role.strip() for role in cells[0].split(",")} <= {"every", *ROLES}, name


async def test_the_table_of_metrics_is_that_of_the_collectors(tmp_path: Path) -> None:
    """Names and meanings, of all services together."""
    async with running(tmp_path, ScriptedSandbox()) as platform:
        parts = [
            RequestMeter(),
            About("all"),
            Workers(lambda: SandboxStats(0, 0, 0, 0, 0)),
            Hosts(RemoteSandbox("127.0.0.1:7710", tls=None)),
            Gateways(SandboxHost(ScriptedSandbox(), listen="127.0.0.1:0", tls=None, folder=tmp_path)),
            platform.gateway.metrics,
        ]
        families = [family for part in parts for family in part.collect()]
    expected = {
        family.name + ("_total" if family.type == "counter" else ""): [family.type, family.documentation]
        for family in families
    }
    assert {name: cells[:2] for name, cells in rows("Metrics").items()} == expected
    assert f"the {MOST_NAMED} functions" in PAGE


@pytest.mark.parametrize("role", ROLES)
def test_each_service_has_an_example(role: str) -> None:
    """That can be typed."""
    assert f"cloudserve serve {role}\n" in PAGE
