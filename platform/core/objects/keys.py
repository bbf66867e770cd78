"""Keys of objects, and the names that backends keep them under.

The object `a/b` is named `a/b@`: where names make folders, as on a disk and in MinIO and SeaweedFS, `a` and `a/b`
can't both be there, but `a@` and `a/b@` can. No key has an `@`, so that whatever else has one is no object.
"""

import re
from typing import Final

MARK: Final = "@"

_KEY: Final = re.compile(r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)*")


def name_of(key: str) -> str:
    """Returns the name that an object is kept under. Raises ValueError for what is no key."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key: {key!r}; a key is segments of letters, digits, '.', '_' and '-', joined by '/'")
    return key + MARK


def key_of(name: str) -> str | None:
    """Returns the key of the object with this name; None when it is no object's."""
    key = name.removesuffix(MARK)
    return key if key != name and _KEY.fullmatch(key) else None


def begins_keys(prefix: str) -> bool:
    """Tells whether there are keys that begin like this."""
    return _KEY.fullmatch(f"{prefix}x") is not None
