"""Environment variables and secrets of functions: which names are the platform's or the runtime's own."""

from typing import Final

MAX_SECRETS: Final = 100
MAX_SECRET_BYTES: Final = 64 * 1024
NAME_PATTERN: Final = "[A-Z_][A-Z0-9_]{0,127}"

_OWN_PREFIXES: Final = ("CLOUDSERVE_", "DYLD_", "GLIBC_", "LD_", "MALLOC_", "NODE_", "NPM_CONFIG_", "PYTHON")
_OWN_NAMES: Final = frozenset(
    {
        "BASH_ENV",
        "ENV",
        "GCONV_PATH",
        "HOME",
        "IFS",
        "LOGNAME",
        "OPENSSL_CONF",
        "PATH",
        "PWD",
        "SHELL",
        "TMPDIR",
        "USER",
    }
)
_FREE: Final = frozenset({"NODE_ENV"})


def is_reserved(name: str) -> bool:
    """Tells whether a name changes how the platform or a runtime itself works, so that no function may set it."""
    folded = name.upper()
    return folded not in _FREE and (folded in _OWN_NAMES or folded.startswith(_OWN_PREFIXES))
