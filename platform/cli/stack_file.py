"""Reads single settings of a stack's file, without Pulumi, which verbs that only look should not need."""

import re

from cloudserve.cli import folders


def setting(stack: str, name: str) -> str | None:
    """Returns the plain value of `cloudserve:<name>`; None where the file, or the setting in it, is missing."""
    file = folders.checkout() / "infra" / "stacks" / f"Pulumi.{stack}.yaml"
    try:
        text = file.read_text("utf-8")
    except OSError:
        return None
    found = re.search(rf"^\s+['\"]?cloudserve:{name}['\"]?:[ \t]*['\"]?([^'\"#\s]+)", text, re.MULTILINE)
    return found[1] if found else None
