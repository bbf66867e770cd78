"""The setting `egress_allow`: what functions may reach though it is not public."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from cloudserve.core.config import Settings


def test_entries_are_separated_by_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file or in the environment; nothing by default."""
    assert Settings.load(data_dir=tmp_path).egress_permitted() == []
    monkeypatch.setenv("CLOUDSERVE_EGRESS_ALLOW", "10.0.0.5:5432, [fd00::]/8:443,192.168.0.0/16")
    assert Settings.load(data_dir=tmp_path).egress_permitted() == ["10.0.0.5:5432", "[fd00::]/8:443", "192.168.0.0/16"]


@pytest.mark.parametrize("value", ["db.example:5432", "10.0.0.0/40", "10.0.0.1:0"])
def test_what_is_no_network_is_refused_by_name(tmp_path: Path, value: str) -> None:
    """Before anything starts."""
    with pytest.raises(ValidationError, match=value):
        Settings.load(data_dir=tmp_path, egress_allow=value)
