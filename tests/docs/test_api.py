"""`docs/api.md` names every reason that the control plane gives, and every scope that there is."""

import re
from pathlib import Path

from cloudserve.core.models.owner import ALL_SCOPES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()


def test_every_reason_is_on_the_page() -> None:
    """And none that nothing gives."""
    code = "".join(path.read_text() for path in (ROOT / "platform" / "api").rglob("*.py"))
    code += (ROOT / "platform" / "core" / "errors.py").read_text()
    given = set(re.findall(r'reason="([a-z-]+)"', code))
    given |= set(re.findall(r': \("([a-z]+-[a-z-]+)", "', code))  # tables of reasons and messages
    table = PAGE.partition("## Errors")[2]
    told = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", table.partition("| status |")[2].partition("What the data")[0]))
    assert given == told - {"reason"}


def test_every_scope_is_on_the_page() -> None:
    """With what it opens."""
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(ALL_SCOPES)
