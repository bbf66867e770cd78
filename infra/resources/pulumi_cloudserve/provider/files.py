"""Files that only their owner reads, written whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def make_folder(path: Path) -> None:
    """Makes a folder for its owner alone; one that is there is given the same mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def write_text(path: Path, text: str) -> None:
    """Writes a file of mode 0600 by rename, and returns when it is on the disk."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(draft).replace(path)


def write_new(path: Path, text: str) -> None:
    """Writes a file of mode 0600 unless it is there already: then that one counts."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    write_text(draft, text)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """Returns what a file holds; nothing when it is missing or torn."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
