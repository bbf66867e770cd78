"""What the sources are is found by their files, unless the user says it; else a 422 says what to do."""

import json
from pathlib import Path

import pytest

from cloudserve.api.build.detect import Detected, detect
from cloudserve.core.errors import Problem
from cloudserve.core.models.function import Runtime


def folder(tmp_path: Path, *names: str, **contents: str) -> Path:
    """Makes empty files, and package.json with a content."""
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    if "package" in contents:
        (tmp_path / "package.json").write_text(contents["package"])
    return tmp_path


@pytest.mark.parametrize(
    ("names", "runtime", "language", "entry"),
    [
        (["index.ts", "index.js"], "node", "typescript", "index.ts"),
        (["index.mts"], "node", "typescript", "index.mts"),
        (["index.js", "util.js"], "node", "javascript", "index.js"),
        (["index.cjs"], "node", "javascript", "index.cjs"),
        (["main.py", "handler.py"], "python", "python", "main.py"),
        (["lambda_function.py", "util.py"], "python", "python", "lambda_function.py"),
        (["hello.mjs"], "node", "javascript", "hello.mjs"),
        (["hello.py", "README.md"], "python", "python", "hello.py"),
        (["hello.ts", "types.d.ts"], "node", "typescript", "hello.ts"),
        (["index.js", "main.py", "requirements.txt"], "python", "python", "main.py"),
        (["index.js", "main.py", "package.json"], "node", "javascript", "index.js"),
    ],
)
def test_the_known_names_are_found(
    tmp_path: Path, names: list[str], runtime: Runtime, language: str, entry: str
) -> None:
    """In their order; a single file of a known ending will do, and a manifest decides between two languages."""
    detected = detect(folder(tmp_path, *names))
    assert (detected.runtime, detected.language, detected.entry) == (runtime, language, entry)


@pytest.mark.parametrize(
    ("main", "names", "entry"),
    [
        ("src/app.js", ["src/app.js", "index.js"], "src/app.js"),
        ("./src/app", ["src/app.ts"], "src/app.ts"),
        ("lib", ["lib/index.js"], "lib/index.js"),
        ("dist/index.js", ["index.ts"], "index.ts"),
        ("../index.js", ["index.js"], "index.js"),
        ("/etc/passwd", ["index.js"], "index.js"),
    ],
)
def test_main_of_package_json_is_the_entry(tmp_path: Path, main: str, names: list[str], entry: str) -> None:
    """Where it names a source; what a compiler would have made is looked for under the known names."""
    assert detect(folder(tmp_path, *names, package=f'{{"main": "{main}"}}')).entry == entry


def test_a_broken_package_json_is_left_to_its_reader(tmp_path: Path) -> None:
    """It has no `main`, that is all."""
    for package in ("{", "[]", '{"main": 7}'):
        assert detect(folder(tmp_path, "index.js", package=package)).entry == "index.js"


def test_what_the_user_says_wins(tmp_path: Path) -> None:
    """Entry and runtime."""
    sources = folder(tmp_path, "index.js", "main.py", "src/fn.tsx")
    assert detect(sources, entry="src/fn.tsx") == Detected("node", "typescript", "src/fn.tsx")
    assert detect(sources, entry="./src//fn.tsx").entry == "src/fn.tsx"
    assert detect(sources, runtime="python").entry == "main.py"
    assert detect(sources, runtime="node").entry == "index.js"


@pytest.mark.parametrize(
    ("names", "runtime", "entry", "field"),
    [
        (["index.js", "main.py"], None, None, "entry"),
        (["a.js", "b.js"], None, None, "entry"),
        (["README.md"], None, None, "entry"),
        (["index.js"], "python", None, "entry"),
        (["index.js"], None, "other.js", "entry"),
        (["index.js"], None, "INDEX.js", "entry"),
        (["index.js"], None, "../index.js", "entry"),
        (["index.js"], None, "/index.js", "entry"),
        (["index.js"], None, "", "entry"),
        (["index.js"], None, "a\nb.js", "entry"),
        (["index.js", "data.json"], None, "data.json", "entry"),
        (["index.js"], "python", "index.js", "runtime"),
    ],
)
def test_what_can_not_be_told_is_asked(
    tmp_path: Path, names: list[str], runtime: Runtime | None, entry: str | None, field: str
) -> None:
    """With the field and the remedy."""
    with pytest.raises(Problem) as raised:
        detect(folder(tmp_path, *names), runtime=runtime, entry=entry)
    assert raised.value.status == 422
    assert raised.value.errors[0].field == field
    assert raised.value.errors[0].remedy


@pytest.mark.parametrize("main", ["a" * 300, "é" * 150, "index.js/" * 100])
def test_a_main_that_no_file_can_have_is_passed_over(tmp_path: Path, main: str) -> None:
    """It is as good as one that is not there."""
    assert detect(folder(tmp_path, "index.js", package=json.dumps({"main": main}))).entry == "index.js"


def test_an_entry_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    """With the words for one that is not there, however long it is in bytes."""
    with pytest.raises(Problem) as raised:
        detect(folder(tmp_path, "index.js"), entry="é" * 150 + ".js")
    assert raised.value.errors[0].field == "entry"
