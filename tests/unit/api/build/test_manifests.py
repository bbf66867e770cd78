"""What a manifest asks for is read as npm and pip read it; what is not the registry's is refused by name."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.api.build.imports_js import is_package_name
from cloudserve.api.build.manifest_node import read_package_json
from cloudserve.api.build.manifest_python import read_requirements
from cloudserve.core.errors import Problem


def refusal(folder: Path, read: object) -> str:
    """Returns the message of a 422, which has a remedy."""
    with pytest.raises(Problem) as raised:
        read(folder)  # type: ignore[operator]
    assert raised.value.status == 422
    assert raised.value.errors[0].remedy
    return raised.value.message


def package_json(folder: Path, content: object) -> Path:
    """Writes a package.json."""
    (folder / "package.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_package_json_asks_for_packages(tmp_path: Path) -> None:
    """Dependencies and optional ones; not those for development."""
    content = {
        "dependencies": {"a": "^1.2.0", "@s/b": "latest", "c": "", "d": ">=1 <2 || 3.x", "e": "npm:@s/other@~1.0"},
        "optionalDependencies": {"f": "*"},
        "devDependencies": {"typescript": "file:../typescript"},
    }
    assert read_package_json(package_json(tmp_path, content)) == {
        "a": "^1.2.0",
        "@s/b": "latest",
        "c": "*",
        "d": ">=1 <2 || 3.x",
        "e": "npm:@s/other@~1.0",
        "f": "*",
    }


@pytest.mark.parametrize("content", [None, {}, {"dependencies": {}}, {"dependencies": None}])
def test_package_json_may_ask_for_nothing(tmp_path: Path, content: object) -> None:
    """Or not be there."""
    if content is not None:
        package_json(tmp_path, content)
    assert read_package_json(tmp_path) == {}


@pytest.mark.parametrize(
    "wanted",
    [
        "file:../x",
        "link:../x",
        "workspace:*",
        "git+https://example.com/a.git",
        "git://example.com/a",
        "github:a/b",
        "a/b",
        "https://example.com/a.tgz",
        "./local",
        ".",
        "..",
        ".hidden",
        " ..",
        "local.tgz",
        "local.tar.gz ",
        "npm:../x@1",
        "npm:a@file:x",
        "1\n2/",
        7,
        None,
        {},
    ],
)
def test_what_is_not_the_registrys_is_refused(tmp_path: Path, wanted: object) -> None:
    """By name."""
    assert "`evil`" in refusal(package_json(tmp_path, {"dependencies": {"evil": wanted}}), read_package_json)


@pytest.mark.parametrize("name", ["", "../a", "a b", "@a", "@a/b/c", "--global", "a" * 300])
def test_no_package_name_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing reaches npm that could be a path or an option."""
    if name == "--global":  # a hyphen is a letter of a name; it only ever stands in package.json
        assert read_package_json(package_json(tmp_path, {"dependencies": {name: "1"}})) == {name: "1"}
    else:
        assert "no package name" in refusal(package_json(tmp_path, {"dependencies": {name: "1"}}), read_package_json)


@pytest.mark.parametrize("content", ["{", "[]", "null", '"x"', '{"dependencies": ["a"]}', "\xff", "[" * 100_000])
def test_a_package_json_that_can_not_be_read_is_refused(tmp_path: Path, content: str) -> None:
    """With what is wrong with it."""
    assert "package.json" in refusal(package_json(tmp_path, content), read_package_json)


@given(name=st.text(max_size=20), wanted=st.text(max_size=20))
def test_whatever_is_asked_for_is_a_name_and_a_range(
    tmp_path_factory: pytest.TempPathFactory, name: str, wanted: str
) -> None:
    """Or a 422; a range has neither a path nor an address in it, but for an alias."""
    folder = package_json(tmp_path_factory.mktemp("node"), {"dependencies": {name: wanted}})
    try:
        asked = read_package_json(folder)
    except Problem as problem:
        status = problem.status
    else:
        status = 200
        assert all(is_package_name(key) and "/" not in value for key, value in asked.items())
    assert status in {200, 422}


def test_a_folder_named_package_json_asks_for_nothing(tmp_path: Path) -> None:
    """As if there were none."""
    (tmp_path / "package.json").mkdir()
    assert read_package_json(tmp_path) == {}


def requirements(folder: Path, text: str, name: str = "requirements.txt") -> Path:
    """Writes a requirements.txt."""
    (folder / name).write_text(text)
    return folder


def test_requirements_are_read(tmp_path: Path) -> None:
    """With comments, continued lines, hashes, extras and markers; each once, in order of their names."""
    text = (
        "# a comment\n\nrequests>=2.32  # why\nPyYAML==6.0.3 \\\n    --hash=sha256:abc \\\n    --hash=sha256:def\n"
        "uvicorn[standard] ~= 0.30\nrequests>=2.32\npywin32>=300; sys_platform == 'win32'\n"
        "idna; python_version >= '3.8'\n"
    )
    assert read_requirements(requirements(tmp_path, text)) == [
        "idna",
        "PyYAML==6.0.3",
        "requests>=2.32",
        "uvicorn[standard]~=0.30",
    ]


def test_pyproject_is_read_where_there_is_no_requirements_txt(tmp_path: Path) -> None:
    """Its `project.dependencies`."""
    requirements(tmp_path, '[project]\nname = "f"\ndependencies = ["idna>=3", "six"]\n', "pyproject.toml")
    assert read_requirements(tmp_path) == ["idna>=3", "six"]
    assert read_requirements(requirements(tmp_path, "PyYAML\n")) == ["PyYAML"]


@pytest.mark.parametrize("text", ["[tool.x]\n", "[project]\nname='f'\n", ""])
def test_pyproject_may_ask_for_nothing(tmp_path: Path, text: str) -> None:
    """As most do."""
    assert read_requirements(requirements(tmp_path, text, "pyproject.toml")) == []


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "--index-url https://example.com/simple",
        "--extra-index-url=https://example.com",
        "-r other.txt",
        "-c constraints.txt",
        "--find-links /tmp",
        "--pre",
        "git+https://example.com/a.git",
        "https://example.com/a.whl",
        "file:///etc/passwd",
        "evil @ https://example.com/a.whl",
        "evil @ file:///tmp/a.whl",
        "./local",
        "../local",
        "/abs/local",
        "~/local",
        "local/package",
        "package.whl",
        "C:\\package.tar.gz",
    ],
)
def test_what_is_not_the_indexs_is_refused(tmp_path: Path, line: str) -> None:
    """By its line, with the remedy."""
    message = refusal(requirements(tmp_path, f"six\n{line}\n"), read_requirements)
    assert f"`{line}` on line 2 of requirements.txt" in message


@pytest.mark.parametrize("line", ["a b", "==1", "a==", "a; nonsense", "\x00"])
def test_no_requirement_is_refused(tmp_path: Path, line: str) -> None:
    """With the reader's own words."""
    assert "is no requirement" in refusal(requirements(tmp_path, line), read_requirements)


def test_a_condition_that_can_not_be_told_is_refused(tmp_path: Path) -> None:
    """Such as one that compares a version with a word."""
    assert "`requests`" in refusal(requirements(tmp_path, "requests; python_version ~= 'x'"), read_requirements)


@pytest.mark.parametrize("text", ["[project", "[project]\ndependencies = 'six'", "[project]\ndependencies = [1]"])
def test_a_pyproject_that_can_not_be_read_is_refused(tmp_path: Path, text: str) -> None:
    """With what is wrong with it."""
    assert "pyproject.toml" in refusal(requirements(tmp_path, text, "pyproject.toml"), read_requirements)


@given(text=st.one_of(st.text(max_size=40), st.text(alphabet="ab-@:/.=<>~[];, \n\\#'", max_size=30)))
def test_whatever_is_asked_for_is_a_requirement_of_the_index(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Or a 422; nothing that pip would take for an option, a path or an address comes out."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "requirements.txt").write_bytes(text.encode(errors="replace"))
    try:
        asked = read_requirements(folder)
    except Problem as problem:
        status = problem.status
    else:
        status = 200
        assert all(line[0].isalnum() and "/" not in line and "@" not in line and "\n" not in line for line in asked)
    assert status in {200, 422}
