"""Reads what package.json asks for, and refuses what does not come from the registry."""

import json
import re
from pathlib import Path
from typing import Any, Final

from cloudserve.api.build.imports_js import is_package_name
from cloudserve.core.errors import FieldError, Problem, invalid

_FIELD: Final = "dependencies"
_KINDS: Final = ("dependencies", "optionalDependencies")
_RANGE: Final = re.compile(r"(?!\s*\.)(?!.*\.(?:tgz|tar|tar\.gz)\s*$)[\w.^~<>=|*+ -]*", re.IGNORECASE)
"""A version, a range, a tag or nothing. What has neither `/` nor `:`, begins with no dot and has no archive's ending
comes from the registry: npm takes the rest for files and folders."""
_ALIAS: Final = re.compile(r"npm:((?:@[^/@]+/)?[^/@]+)(?:@(.*))?")


def read_package_json(folder: Path) -> dict[str, str]:
    """Returns the packages and ranges that package.json asks for; nothing when there is none.

    Raises the 422 for a file that can't be read, and for packages that are not the registry's.
    """
    try:
        document: Any = json.loads((folder / "package.json").read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (ValueError, RecursionError) as error:
        message = f"package.json is no valid JSON: {error}."
        raise _refused(message, None, "Correct the file.", field="package.json") from None
    if not isinstance(document, dict):
        raise _refused("package.json is no JSON object.", None, "Correct the file.", field="package.json")
    asked: dict[str, str] = {}
    for kind in _KINDS:
        section = document.get(kind) or {}
        if not isinstance(section, dict):
            raise _refused(f"`{kind}` of package.json is no object.", None, "Write it as name and range.")
        for name, wanted in section.items():
            _check(name, wanted)
            asked[name] = wanted.strip() or "*"
    return asked


def _check(name: str, wanted: Any) -> None:
    if not is_package_name(name):
        raise _refused(f"`{name[:80]}` in package.json is no package name.", None, "Correct or remove it.")
    if isinstance(wanted, str):
        if _RANGE.fullmatch(wanted):
            return
        alias = _ALIAS.fullmatch(wanted)
        if alias is not None and is_package_name(alias[1]) and _RANGE.fullmatch(alias[2] or ""):
            return
    raise _refused(
        f"`{name}` in package.json does not come from the registry.",
        "registry packages",
        "Ask for a version or a range such as `^1.2.0`, and add local code to the sources themselves.",
    )


def _refused(message: str, limit: str | None, remedy: str, *, field: str = _FIELD) -> Problem:
    return invalid(FieldError(field, message, limit, remedy))
