"""Where workers find their code: mounted in a root of their own, or beside their own folder on the host."""

from pathlib import Path

import pytest

from cloudserve.core.confine.tiers import Tier
from cloudserve.core.models.function import Egress, Limits, Runtime
from cloudserve.sandbox.abc import Deployment
from cloudserve.sandbox.layout import lay_out, needs_paths, paths


def a_deployment(tmp_path: Path, runtime: Runtime, *, layer: bool) -> Deployment:
    """Returns a version with files in folders."""
    for name in ("code", "layer/node_modules", "own"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "code" / "main").write_text("code")
    return Deployment(
        version_id="ver_1",
        function_id="fun_1",
        owner_id="own_1",
        number=1,
        runtime=runtime,
        code=tmp_path / "code",
        entry="main",
        handler=None,
        layer=tmp_path / "layer" if layer else None,
        limits=Limits(),
        egress=Egress(),
        environment={},
    )


def target(path: Path) -> Path:
    """Returns what a path is, or leads to."""
    return path.resolve()


@pytest.mark.parametrize(
    ("runtime", "name", "source"), [("python", "deps", "layer"), ("node", "node_modules", "layer/node_modules")]
)
async def test_with_a_root_of_its_own_everything_is_mounted(
    tmp_path: Path, runtime: Runtime, name: str, source: str
) -> None:
    """Code and dependencies have their places below /box, and the host prepares no folder."""
    layout = await lay_out("A", a_deployment(tmp_path, runtime, layer=True), None)
    assert (layout.code, layout.layer) == ("/box/fn", f"/box/{name}")
    assert layout.trees == {"fn": tmp_path / "code", name: tmp_path / source}
    bare = await lay_out("B", a_deployment(tmp_path / "other", runtime, layer=False), None)
    assert set(bare.trees) == {"fn"}


async def test_python_reads_the_host_where_it_has_no_root(tmp_path: Path) -> None:
    """Code and layer are where the host has them."""
    layout = await lay_out("C", a_deployment(tmp_path, "python", layer=True), tmp_path / "own")
    assert (layout.code, layout.layer, layout.trees) == (str(tmp_path / "code"), str(tmp_path / "layer"), {})


async def test_node_finds_its_dependencies_beside_its_code(tmp_path: Path) -> None:
    """Links in the worker's own folder bring both together."""
    layout = await lay_out("C", a_deployment(tmp_path, "node", layer=True), tmp_path / "own")
    assert layout.code == str(tmp_path / "own" / "fn")
    assert target(tmp_path / "own" / "fn") == tmp_path / "code"
    assert target(tmp_path / "own" / "node_modules") == tmp_path / "layer" / "node_modules"


async def test_a_bundle_is_copied_for_a_blank_that_may_read_nothing_else(tmp_path: Path) -> None:
    """At tier C a Node worker without a layer was started before its function was known."""
    layout = await lay_out("C", a_deployment(tmp_path, "node", layer=False), tmp_path / "own")
    assert layout.code == str(target(tmp_path / "own" / "fn")) == str(tmp_path / "own" / "fn")
    assert (tmp_path / "own" / "fn" / "main").read_text() == "code"


@pytest.mark.parametrize(
    ("tier", "runtime", "layer", "expected"),
    [
        ("C", "python", False, True),
        ("C", "python", True, True),
        ("C", "node", False, False),
        ("C", "node", True, True),
        ("A", "python", True, False),
        ("B", "node", True, False),
        ("none", "python", True, False),
    ],
)
def test_only_tier_c_must_know_its_paths_at_the_start(
    tmp_path: Path, tier: Tier, runtime: Runtime, layer: bool, expected: bool
) -> None:
    """Elsewhere code is mounted late, or nothing is walled off."""
    deployment = a_deployment(tmp_path, runtime, layer=layer)
    assert needs_paths(tier, deployment) is expected
    assert paths(deployment) == [str(tmp_path / "code"), *([str(tmp_path / "layer")] if layer else [])]
