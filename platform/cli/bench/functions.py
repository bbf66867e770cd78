"""The functions that the scenarios call, by the hundreds: each with files of its own, so that nothing is shared."""

from pathlib import Path
from typing import Final

from cloudserve.cli.bench.seeding import Seed

HANDLERS: Final = Path(__file__).parent / "handlers"
NODE_BUNDLE_BYTES: Final = 5 * 1024
TITLES: Final = {
    "python": "Python",
    "node": "Node, 5 KB",
    "python-requests": "Python with requests",
    "node-addon": "Node with a native addon",
}
"""The kinds of functions, as reports call them."""


def source(name: str) -> str:
    """Returns the text of a handler."""
    return (HANDLERS / name).read_text("utf-8")


def python(name: str) -> Seed:
    """A Python function without dependencies."""
    return Seed(name, "python", f"{source('hello.py')}\n# {name}\n")


def node(name: str) -> Seed:
    """A Node function as large as a small bundle of esbuild's: `NODE_BUNDLE_BYTES`, of which the engine parses all."""
    return Seed(name, "node", _padded(f"{source('hello.cjs')}\n// {name}\n"))


def python_with_requests(name: str, layer: Path) -> Seed:
    """A Python function that imports `requests` from its layer."""
    return Seed(name, "python", f"{source('requests_hello.py')}\n# {name}\n", layer=layer)


def node_with_addon(name: str, layer: Path) -> Seed:
    """A Node function that loads a native addon from its layer."""
    return Seed(name, "node", f"{source('addon_hello.cjs')}\n// {name}\n", layer=layer)


def spinning(name: str, owner: str) -> Seed:
    """A Python function that computes for a second."""
    return Seed(name, "python", f"{source('spin.py')}\n# {name}\n", owner=owner)


def _padded(text: str) -> str:
    number = 0
    while len(text) < NODE_BUNDLE_BYTES:
        number += 1
        text += (
            f"const part{number} = (value) => (value > {number} ? [value - {number}] : {{ value, next: {number} }});\n"
        )
    return text
