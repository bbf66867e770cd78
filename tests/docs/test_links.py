"""What the documents point at is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
SOURCE = re.compile(r"`((?:api|cli|core|gateway|sandbox)/[\w/]+\.py)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_of_this_repository(document: Path) -> None:
    """Relative ones, pictures included."""
    missing = [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_modules_that_are_named_exist(document: Path) -> None:
    """The walks through the house pass rooms that are there."""
    named = SOURCE.findall(document.read_text())
    assert [name for name in named if not (ROOT / "platform" / name).exists()] == []
