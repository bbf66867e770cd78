"""Reads what requirements.txt or pyproject.toml asks for, and refuses what does not come from the index."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from cloudserve.core.errors import FieldError, Problem, invalid

_FIELD: Final = "dependencies"
_COMMENT: Final = re.compile(r"(?:^|\s)#.*$")
_HASH: Final = re.compile(r"\s--hash[= ]\S+")
_ADDRESS: Final = re.compile(r"^(?:[a-z+]+:|\.{0,2}/|~)|^[^\s;@\[]*[/\\]|\.(?:whl|zip|tar\.gz)$", re.IGNORECASE)


def read_requirements(folder: Path) -> list[str]:
    """Returns the requirements that hold for this Python, from requirements.txt or else from pyproject.toml.

    Nothing when there is neither. Raises the 422 for lines that can't be read, and for what is not the index's.
    """
    asked: dict[str, str] = {}
    for line, place in _lines(folder):
        requirement = _read(line, place)
        if not _holds(requirement, place):
            continue
        requirement.marker = None
        asked[str(requirement)] = str(requirement)
    return sorted(asked, key=str.lower)


def _lines(folder: Path) -> Iterator[tuple[str, str]]:
    requirements, project = folder / "requirements.txt", folder / "pyproject.toml"
    if requirements.is_file():
        text = requirements.read_bytes().decode("utf-8-sig", errors="replace").replace("\\\n", " ")
        for number, line in enumerate(text.splitlines(), 1):
            content = _HASH.sub("", _COMMENT.sub("", line)).strip()
            if content:
                yield content, f"line {number} of requirements.txt"
    elif project.is_file():
        for line in _project_dependencies(project):
            yield line.strip(), "pyproject.toml"


def _project_dependencies(path: Path) -> list[str]:
    try:
        document: dict[str, Any] = tomllib.loads(path.read_bytes().decode())
    except (ValueError, RecursionError) as error:
        message = f"pyproject.toml is no valid TOML: {error}."
        raise _refused(message, None, "Correct the file.", field="pyproject.toml") from None
    project = document.get("project")
    lines = project.get("dependencies", []) if isinstance(project, dict) else []
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise _refused("`project.dependencies` of pyproject.toml is no list of strings.", None, "Correct the file.")
    return lines


def _read(line: str, place: str) -> Requirement:
    shown = line if len(line) <= 80 else f"{line[:80]}…"
    if line.startswith("-"):
        raise _refused(
            f"`{shown}` on {place} is an option of pip; a deploy takes requirements alone.",
            "name and version",
            "Remove the line. What `-r` or `-e` names belongs into requirements.txt or the sources themselves.",
        )
    try:
        requirement = None if _ADDRESS.search(line) else Requirement(line)
    except InvalidRequirement as error:
        message = f"`{shown}` on {place} is no requirement: {str(error).splitlines()[0]}."
        raise _refused(message, "name and version", "Write it such as `requests>=2.32`.") from None
    if requirement is None or requirement.url is not None:
        raise _refused(
            f"`{shown}` on {place} does not come from the package index.",
            "name and version",
            "Ask for a release such as `requests>=2.32`, and add local code to the sources themselves.",
        )
    return requirement


def _holds(requirement: Requirement, place: str) -> bool:
    """Tells whether a requirement is for this Python."""
    try:
        return requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    except (UndefinedComparison, UndefinedEnvironmentName):
        message = f"Whether the condition of `{requirement.name}` on {place} holds can't be told."
        raise _refused(message, None, "Write it such as `python_version >= '3.11'`.") from None


def _refused(message: str, limit: str | None, remedy: str, *, field: str = _FIELD) -> Problem:
    return invalid(FieldError(field, message, limit, remedy))
