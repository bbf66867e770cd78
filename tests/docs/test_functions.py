"""`docs/functions.md` names every reason that the data plane gives, and every limit with its default."""

import re
from pathlib import Path
from typing import get_args

from cloudserve.core.config import Settings
from cloudserve.core.models.function import Limits
from cloudserve.sandbox.abc import Reason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "functions.md").read_text()


def _rows(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]


def test_every_reason_is_on_the_page() -> None:
    """And none that nothing gives."""
    gateway = "".join(path.read_text() for path in (ROOT / "platform" / "gateway").glob("*.py"))
    given = set(re.findall(r'\breason="([a-z-]+)"', gateway)) | {"no-key", "paused", "not-deployed"}
    told = {name for row in _rows("When it goes wrong") for name in re.findall(r"`([a-z]+(?:-[a-z]+)*)`", row[1])}
    assert told == given | set(get_args(Reason))


def test_every_bound_is_on_the_page_with_its_default() -> None:
    """As the settings have it."""
    told = {row[2].strip("`"): row[1].split()[0] for row in _rows("Limits") if row[2].startswith("`max")}
    names = {
        "".join(part.title() if at else part for at, part in enumerate(name.split("_"))): name
        for name in ("max_processes", "max_open_files", "max_disk_mb", "max_inodes", "max_log_kb", "max_response_mb")
    }
    assert told == {camel: str(Settings.model_fields[name].default) for camel, name in names.items()}


def test_a_functions_own_limits_are_on_the_page_with_their_defaults() -> None:
    """As the model has them."""
    told = {row[2]: row[1].split()[0] for row in _rows("Limits")}
    limits = Limits()
    assert told["`--memory`"] == str(limits.memory_mb)
    assert told["`--concurrency`"] == str(limits.concurrency)
    assert told["`limits.maxWorkers` in the API"] == str(limits.max_workers)
    assert told["`limits.minWarm` in the API"] == str(limits.min_warm)
    assert f"| {limits.timeout_seconds:g} s | `--timeout` |" in PAGE
