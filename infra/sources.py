"""What code the platform runs."""

import hashlib
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[1]


def code_hash(checkout: Path = CHECKOUT) -> str:
    """Returns a hash of the platform's sources and locked packages: when it changes, the platform must restart."""
    digest = hashlib.sha256()
    sources = [
        path for path in (checkout / "platform").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    for path in sorted([*sources, checkout / "requirements" / "base.txt"]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(checkout)} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]
