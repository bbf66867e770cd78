"""Reads a recipe written as YAML, with a package from PyPI."""

import logging
from typing import Any

import yaml


def handler(context: Any) -> dict[str, Any]:
    """Returns the recipe's name and how many things it needs."""
    recipe = yaml.safe_load(context["body"])
    logging.getLogger(__name__).warning("read %s", recipe["name"])
    return {"name": recipe["name"], "ingredients": len(recipe["needs"])}
