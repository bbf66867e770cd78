"""The keys that open a platform's data: made once, private, and never shown."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cloudserve.core.auth.credentials import Credentials


def test_everyone_who_makes_the_credentials_at_once_gets_the_same(tmp_path: Path) -> None:
    """Eight starters, one set of keys."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Credentials.load_or_create(tmp_path / "credentials"), range(8)))
    assert len({(one.secrets_key, one.machine_key) for one in made}) == 1
    assert sorted(path.name for path in (tmp_path / "credentials").iterdir()) == ["machine.key", "secrets.key"]


def test_the_files_are_private(tmp_path: Path) -> None:
    """Nobody but their owner reads them."""
    Credentials.load_or_create(tmp_path / "credentials")
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "credentials").iterdir())


def test_the_keys_show_in_no_repr(tmp_path: Path) -> None:
    """So that no log line holds one."""
    made = Credentials.load_or_create(tmp_path)
    assert made.machine_key not in repr(made)
    assert repr(made.secrets_key) not in repr(made)
