"""Which npm packages JavaScript and TypeScript import.

esbuild itself reads the sources (comments, strings, type-only imports and unused TypeScript imports are no imports to
it); what it leaves in the bundle is told apart here: Node's own modules, packages, and what is no package at all.
"""

import re
from collections.abc import Iterable
from typing import Final

BUILTINS: Final = frozenset(
    [
        "assert",
        "async_hooks",
        "buffer",
        "child_process",
        "cluster",
        "console",
        "constants",
        "crypto",
        "dgram",
        "diagnostics_channel",
        "dns",
        "domain",
        "events",
        "fs",
        "http",
        "http2",
        "https",
        "inspector",
        "module",
        "net",
        "os",
        "path",
        "perf_hooks",
        "process",
        "punycode",
        "querystring",
        "readline",
        "repl",
        "stream",
        "string_decoder",
        "sys",
        "timers",
        "tls",
        "trace_events",
        "tty",
        "url",
        "util",
        "v8",
        "vm",
        "wasi",
        "worker_threads",
        "zlib",
    ]
)
"""What `require` finds without a package and without `node:` (module.builtinModules of Node 20)."""

_PACKAGE: Final = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*", re.IGNORECASE)
"""https://github.com/npm/validate-npm-package-name; upper case is in some old names."""

MAX_NAME_LENGTH: Final = 214


def is_package_name(name: str) -> bool:
    """Tells whether npm could know a package of this name."""
    return len(name) <= MAX_NAME_LENGTH and _PACKAGE.fullmatch(name) is not None


def package_of(specifier: str) -> str | None:
    """Returns the package an import asks for: `@scope/x` for `@scope/x/y`; None when it asks for none.

    Relative and absolute paths, addresses, `#internal` names, Node's own modules and `node:` ask for none.
    """
    if specifier.startswith((".", "/", "#")) or ":" in specifier:
        return None
    parts = specifier.split("/")
    name = "/".join(parts[:2]) if specifier.startswith("@") else parts[0]
    if name in BUILTINS and specifier.rstrip("/") == specifier:
        return None
    return name if is_package_name(name) else None


def packages_of(specifiers: Iterable[str]) -> list[str]:
    """Returns the packages that imports ask for, sorted, each once."""
    return sorted({name for specifier in specifiers if (name := package_of(specifier)) is not None})
