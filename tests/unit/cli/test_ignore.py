"""What is left out of a deploy follows the rules of gitignore."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.cli.ignore import ALWAYS, IgnoreRules

CASES = [
    ("*.log", "a.log", True),
    ("*.log", "deep/down/a.log", True),
    ("*.log", "a.log.txt", False),
    ("/a.txt", "a.txt", True),
    ("/a.txt", "sub/a.txt", False),
    ("docs/*.md", "docs/a.md", True),
    ("docs/*.md", "docs/deep/a.md", False),
    ("docs/*.md", "x/docs/a.md", False),
    ("**/tmp.txt", "tmp.txt", True),
    ("**/tmp.txt", "a/b/tmp.txt", True),
    ("a/**/z", "a/z", True),
    ("a/**/z", "a/b/c/z", True),
    ("a/**", "a/b", True),
    ("file?.txt", "file1.txt", True),
    ("file?.txt", "file10.txt", False),
    ("[ab].txt", "a.txt", True),
    ("[!ab].txt", "a.txt", False),
    ("[!ab].txt", "c.txt", True),
    (r"\#a", "#a", True),
    (r"\!a", "!a", True),
    ("# comment", "# comment", False),
    ("", "a", False),
    ("a.b", "axb", False),
]


@pytest.mark.parametrize(("pattern", "path", "ignored"), CASES)
def test_a_pattern_matches_as_in_git(pattern: str, path: str, ignored: bool) -> None:
    """Anchored with a slash, at any depth without."""
    assert IgnoreRules([pattern]).ignores(path, is_folder=False) is ignored


def test_git_agrees_with_every_case(tmp_path: Path) -> None:
    """The cases above are what git itself says."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for pattern, path, ignored in CASES:
        (tmp_path / ".gitignore").write_text(pattern + "\n")
        answer = subprocess.run(["git", "-C", tmp_path, "check-ignore", "-q", path], check=False)
        assert (answer.returncode == 0) is ignored, (pattern, path)


def test_a_slash_at_the_end_means_folders_alone() -> None:
    """A file of that name goes along."""
    rules = IgnoreRules(["build/"])
    assert rules.ignores("sub/build", is_folder=True)
    assert not rules.ignores("sub/build", is_folder=False)


def test_the_last_pattern_that_matches_decides() -> None:
    """So that `!` takes a path back in."""
    rules = IgnoreRules(["*.txt", "!keep.txt"])
    assert rules.ignores("a.txt", is_folder=False)
    assert not rules.ignores("keep.txt", is_folder=False)


@pytest.mark.parametrize("name", sorted(ALWAYS))
def test_what_never_belongs_to_a_function_is_always_left_out(name: str) -> None:
    """At any depth, and no pattern takes it back in."""
    assert IgnoreRules([f"!{name}"]).ignores(f"sub/{name}", is_folder=True)


@given(st.lists(st.text(max_size=20), max_size=5), st.text(alphabet="ab./*[]!\\", min_size=1, max_size=12))
def test_no_pattern_is_an_error(lines: list[str], path: str) -> None:
    """Whatever a person writes, the rules answer."""
    assert IgnoreRules(lines).ignores(path, is_folder=False) in {True, False}


@given(st.text(alphabet="abc[]!^-\\*?/.", max_size=10), st.text(alphabet="abc-", min_size=1, max_size=5))
def test_no_glob_is_an_error(pattern: str, path: str) -> None:
    """Nor brackets that never close."""
    assert IgnoreRules([pattern]).ignores(path, is_folder=False) in {True, False}
