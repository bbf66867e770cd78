"""Python's imports become distributions; what is local, optional or for type checkers alone does not."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.api.build import imports_python
from cloudserve.api.build.imports_python import DISTRIBUTIONS, distribution_of, imports_of, inspect


def needed(tmp_path: Path, code: str, **files: str) -> list[str]:
    """Returns what main.py needs; in the names of other files `_SLASH_` stands for a slash."""
    for name, content in {"main": code, **files}.items():
        path = tmp_path / f"{name.replace('_SLASH_', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    report = inspect(tmp_path, "main.py")
    assert report.errors == []
    return report.distributions


@pytest.mark.parametrize(
    ("code", "distributions"),
    [
        ("import yaml", ["PyYAML"]),
        ("import requests, numpy as np", ["numpy", "requests"]),
        ("from sklearn.linear_model import Ridge", ["scikit-learn"]),
        ("import cv2, PIL.Image, bs4", ["opencv-python-headless", "Pillow", "beautifulsoup4"]),
        ("import dateutil.parser, dotenv, jwt", ["python-dateutil", "python-dotenv", "PyJWT"]),
        ("from google.cloud import storage", ["google-cloud-storage"]),
        ("from google.cloud.tasks_v2 import x", ["google-cloud-tasks_v2"]),
        ("import google.protobuf.message", ["protobuf"]),
        ("import os, sys, json, asyncio.subprocess, xml.etree.ElementTree", []),
        ("from __future__ import annotations", []),
        ("def f():\n    import late", ["late"]),
        ("# import nope\nx = 'import nope'\n'''\nimport nope\n'''", []),
        ("importlib.import_module('dyn')\n__import__('dyn2')\nimport_module(x)", ["dyn", "dyn2"]),
        ("try:\n    import ujson as json\nexcept ImportError:\n    import json", []),
        ("try:\n    import ujson\nexcept (AttributeError, ModuleNotFoundError):\n    ujson = None", []),
        ("try:\n    import ujson\nexcept:\n    pass", []),
        ("try:\n    import ujson\nexcept ImportError:\n    raise SystemExit('install ujson')", ["ujson"]),
        ("try:\n    import ujson\nexcept ValueError:\n    pass", ["ujson"]),
        ("try:\n    pass\nexcept ImportError:\n    pass\nelse:\n    import a\nfinally:\n    import b", ["a", "b"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nelse:\n    import b", ["b"]),
        ("import typing\nif not typing.TYPE_CHECKING:\n    import a", ["a"]),
        ("import sys\nif sys.version_info >= (3, 11):\n    import tomllib\nelse:\n    import tomli", []),
        ("import sys\nif sys.version_info < (3, 9, 1):\n    import old", []),
        ("import sys\nif sys.version_info[0] > x:\n    import a\nelse:\n    import b", ["a", "b"]),
        ("from . import sibling\nfrom .other import x\nfrom .. import above", []),
    ],
)
def test_imports_become_distributions(tmp_path: Path, code: str, distributions: list[str]) -> None:
    """By the names that the index knows them by."""
    assert needed(tmp_path, code) == sorted(distributions)


def test_local_modules_are_followed_and_no_dependency(tmp_path: Path) -> None:
    """Modules, packages, namespace packages, relative and optional ones; what nobody imports is not read."""
    distributions = needed(
        tmp_path,
        "import helper\nfrom pkg import part\nfrom space.deep import x\ntry: import maybe\nexcept ImportError: ...",
        helper="import a",
        pkg_SLASH___init__="from .inner import y\nimport b",
        pkg_SLASH_inner="from ..helper import z\nimport c",
        pkg_SLASH_part="import d",
        space_SLASH_deep="import e",
        maybe="import f",
        test_main="import pytest",
    )
    assert distributions == ["a", "b", "c", "d", "e", "f"]


def test_modules_beside_a_nested_entry_are_local(tmp_path: Path) -> None:
    """The folder of the entry is on the path like the top of the sources."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("import helper, top")
    (tmp_path / "src" / "helper.py").write_text("import requests")
    (tmp_path / "top.py").write_text("")
    assert inspect(tmp_path, "src/main.py").distributions == ["requests"]


def test_the_table_holds_no_standard_module() -> None:
    """Each entry says something that its name does not."""
    assert not {name.split(".")[0] for name in DISTRIBUTIONS} & sys.stdlib_module_names
    assert all(distribution_of(name) == found for name, found in DISTRIBUTIONS.items())


def test_the_scanner_runs_alone(tmp_path: Path) -> None:
    """As a script with the standard library alone: that is how a build calls it."""
    (tmp_path / "main.py").write_text("import yaml")
    command = [sys.executable, "-I", "-S", imports_python.__file__, str(tmp_path), "main.py"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout
    assert json.loads(shown) == {"errors": [], "distributions": ["PyYAML"]}


IDENTIFIERS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name.isidentifier() and not __import__("keyword").iskeyword(name)
)
DOTTED = st.lists(IDENTIFIERS, min_size=1, max_size=3).map(".".join)


@given(modules=st.lists(DOTTED, max_size=6), text=st.text(max_size=30))
def test_every_plain_import_is_found(modules: list[str], text: str) -> None:
    """Whatever it is called and whatever strings stand around it; strings themselves never count."""
    code = f"x = {text!r}\n" + "".join(f"import {module} as y\nz = {f'import {module}x'!r}\n" for module in modules)
    assert imports_of(ast.parse(code)).required == set(modules)


@given(module=DOTTED, names=st.lists(IDENTIFIERS, min_size=1, max_size=3), level=st.integers(0, 4))
def test_from_imports_name_the_module_or_what_is_in_it(module: str, names: list[str], level: int) -> None:
    """An absolute one is required, a relative one is never a distribution."""
    found = imports_of(ast.parse(f"from {'.' * level}{module} import {', '.join(names)}"), package=("p", "q"))
    above = {0: "", 1: "p.q.", 2: "p."}.get(level, "")
    expected = {f"{above}{module}.{name}" for name in names}
    assert (found.required, found.optional) == ((set(), expected) if level else (expected, set()))


@given(code=st.text(alphabet="import fromasxy.,()\n\t#'\"=:\\", max_size=60))
def test_any_text_is_read_or_named_as_an_error(tmp_path_factory: pytest.TempPathFactory, code: str) -> None:
    """Never an exception."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "main.py").write_text(code)
    report = inspect(folder, "main.py")
    assert report.errors or report.distributions is not None
