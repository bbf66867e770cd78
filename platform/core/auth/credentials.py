"""What opens the data of a platform: kept beside the data, so that both are kept or lost together.

Two files of mode 0600: `secrets.key`, 32 random bytes in URL-safe base 64, and `machine.key`, the API key that the
infrastructure program signs in with. Whoever comes first, the program or the platform, makes them.
"""

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path

from cloudserve.core.auth.sealing import KEY_BYTES
from cloudserve.core.auth.tokens import new_api_key


@dataclass(frozen=True, slots=True)
class Credentials:
    """The keys of one platform."""

    secrets_key: bytes = field(repr=False)
    machine_key: str = field(repr=False)

    @classmethod
    def load_or_create(cls, folder: Path) -> "Credentials":
        """Reads the files, and makes those that are missing. Safe when several processes do so at once."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        secrets_key = _load_or_create(folder / "secrets.key", base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode())
        machine_key = _load_or_create(folder / "machine.key", new_api_key())
        return cls(secrets_key=base64.urlsafe_b64decode(secrets_key), machine_key=machine_key)


def _load_or_create(path: Path, fresh: str) -> str:
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(fresh)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass  # another process was first: its file is the one that counts
        finally:
            draft.unlink()
    return path.read_text().strip()
