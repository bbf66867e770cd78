"""Dependencies are locked with hashes, installed without running any of their code, and shared as layers."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloudserve.api.build import dependencies_node, dependencies_python
from cloudserve.api.build.installed_tree import InstalledTree
from cloudserve.api.build.request import SingleFile
from cloudserve.core.trees import unpack_tree
from tests.unit.api.build.deploying import Deploying, archive, deploying

LODASH = "import fp from 'lodash/fp'; export const handler = () => fp.map((x: number) => x + 1)([1, 2]).join();"
YAML = "import yaml, six\ndef handler(context): return yaml.safe_load('a: 1')['a']\n"


async def result(one: Deploying, function: Any, folder: Path) -> str:
    """Runs the live version's handler the way a worker does, with its layer, and returns what it gave back."""
    version = await one.version(function)
    await one.objects.fetch(version.bundle_path, folder / "bundle.tar.gz", sha256=version.bundle_hash)
    await asyncio.to_thread(unpack_tree, folder / "bundle.tar.gz", folder / "code")
    layer = folder / "layer"
    if version.layer_path is not None:
        await one.objects.fetch(version.layer_path, folder / "layer.tar.gz", sha256=version.layer_hash)
        await asyncio.to_thread(unpack_tree, folder / "layer.tar.gz", layer)
        if version.spec.runtime == "node":
            (folder / "code" / "node_modules").symlink_to(layer / "node_modules")
    if version.spec.runtime == "node":
        script = (
            f"import('./{version.bundle_entry}').then(async m => console.log(await (m.handler ?? m.default)({{}})))"
        )
        command = ["node", "-e", script]
    else:
        module = version.bundle_entry.removesuffix(".py")
        command = [sys.executable, "-I", "-S", "-c"]
        command += [f"import sys; sys.path[:0] = ['.', {str(layer)!r}]; import {module} as m; print(m.handler(None))"]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder / "code", capture_output=True, text=True, check=True, timeout=60
    )
    return str(done.stdout.strip())


async def test_npm_packages_are_inlined(one: Deploying, tmp_path: Path) -> None:
    """Found by the imports, locked, and in the one file: pure JavaScript needs no layer."""
    function, build = await one.deploy("hello", SingleFile("index.ts", LODASH))
    version = await one.version(function)
    assert (build.error, version.layer_path) == (None, None)
    assert await result(one, function, tmp_path) == "2,3"
    assert version.lock is not None
    lock = json.loads(version.lock)
    assert lock["packages"][""]["dependencies"] == {"lodash": "*"}
    assert lock["packages"]["node_modules/lodash"]["integrity"].startswith("sha512-")
    assert "resolved" not in version.lock
    assert "http" not in version.lock
    assert build.output.startswith("Locking 1 npm package: lodash *\nChosen: lodash 4.")


async def test_python_packages_are_a_layer(one: Deploying, tmp_path: Path) -> None:
    """Found by the imports under the names of the index; the layer is named after its lock."""
    function, _ = await one.deploy("hello", SingleFile("main.py", YAML))
    version = await one.version(function)
    assert version.lock is not None
    pins = [line for line in version.lock.splitlines() if not line.startswith("#")]
    assert [pin.split("==")[0] for pin in pins] == ["pyyaml", "six"]
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "http" not in version.lock
    assert version.layer_path == f"deps/{version.dep_hash}/layer.tar.gz"
    assert await result(one, function, tmp_path) == "1"
    caches = list((tmp_path / "layer" / "yaml" / "__pycache__").iterdir())
    # Bytecode that stays good although packing drops all times: PEP 552, flags 0b01.
    assert caches
    assert all(path.read_bytes()[4:8] == b"\x01\x00\x00\x00" for path in caches)


async def test_a_manifest_wins_over_the_imports(one: Deploying) -> None:
    """Its ranges are what is locked."""
    manifest = '{"dependencies": {"is-number": "^6.0.0"}}'
    code = "const n = require('is-number'); module.exports = () => n(1);"
    function, _ = await one.deploy("node", archive(package__json=manifest, index__js=code))
    assert '"version": "6.0.0"' in str((await one.version(function)).lock)
    function, _ = await one.deploy("py", archive(requirements__txt="idna==3.7\n", main__py="import idna"))
    assert "idna==3.7 --hash" in str((await one.version(function)).lock)


async def test_a_package_for_another_node_is_told(one: Deploying) -> None:
    """It may work all the same, so the build goes on; npm itself chooses among versions where it may."""
    manifest = '{"dependencies": {"better-sqlite3": "13.2.0"}}'
    _, build = await one.deploy("hello", archive(package__json=manifest, index__js="module.exports = 1"))
    assert build.status == "active"
    shown = await asyncio.to_thread(subprocess.run, ["node", "--version"], capture_output=True, text=True, check=True)
    version = str(shown.stdout).strip()
    warning = f"Warning: better-sqlite3@13.2.0 is made for Node.js >=22; here it gets {version}, and may not work.\n"
    assert (warning in build.output) == (int(version[1:].partition(".")[0]) < 22)


async def test_native_code_that_would_have_to_be_built_is_refused(one: Deploying) -> None:
    """By name, with the reason: no install script runs."""
    manifest = '{"dependencies": {"better-sqlite3": "12.2.0"}}'
    code = "module.exports = require('better-sqlite3')"
    _, build = await one.deploy("hello", archive(package__json=manifest, index__js=code))
    assert build.error is not None
    assert build.error.startswith("The package `better-sqlite3` has native code that an install script would have to")


async def test_what_the_manifest_lacks_is_named(one: Deploying) -> None:
    """With file, line and the remedy."""
    manifest = '{"dependencies": {"is-number": "7.0.0"}}'
    upload = archive(package__json=manifest, index__js="require('is-number');\nrequire('lodash')")
    _, build = await one.deploy("hello", upload)
    assert build.error is not None
    assert build.error.startswith("index.js:2:9: The package `lodash` is not installed. Add it to `dependencies`")


@pytest.mark.parametrize("runtime", ["node", "python"])
async def test_a_redeploy_keeps_the_lock_and_the_layer(
    one: Deploying, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it asks for the same: nothing is resolved or installed again, no registry is asked."""
    name, code = ("index.js", "require('is-number'); module.exports = {}") if runtime == "node" else ("main.py", YAML)
    function, _ = await one.deploy("hello", SingleFile(name, code.format(1) if runtime == "node" else code))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    function, build = await one.redeploy(function, upload=SingleFile(name, f"{code}\n"))
    old, new = await one.version(function, 1), await one.version(function, 2)
    assert (build.error, build.output) == (None, "Version 2 is ready.\n")
    assert (new.lock, new.dep_hash, new.layer_path, new.layer_hash) == (
        old.lock,
        old.dep_hash,
        old.layer_path,
        old.layer_hash,
    )


async def test_equal_locks_share_one_layer_that_is_made_once(one: Deploying) -> None:
    """Also when both are built at the same time."""
    asked = [await one.ask(name, archive(requirements__txt="six==1.17.0\n", main__py=name)) for name in ("a", "b")]
    done = [await one.done(*each) for each in asked]
    first, second = [await one.version(function) for function, _ in done]
    assert first.layer_path == second.layer_path
    assert first.layer_hash == second.layer_hash
    assert sum("Installing" in build.output for _, build in done) == 1


@pytest.mark.parametrize(
    ("upload", "error"),
    [
        (SingleFile("index.js", "require('no-such-package-5f2c')"), "There is no npm package `no-such-package-5f2c`."),
        (SingleFile("main.py", "import no_such_package_5f2c"), "There is no Python package `no_such_package_5f2c`."),
        (
            archive(package__json='{"dependencies": {"is-number": "^99.0.0"}}', index__js=""),
            "The npm package `is-number` has no version `^99.0.0`.",
        ),
        (
            archive(requirements__txt="six==99.0", main__py=""),
            f"`six==99.0` has no release with a wheel for Python {sys.version_info.major}.{sys.version_info.minor}",
        ),
    ],
)
async def test_an_unknown_package_fails_the_build_by_name(one: Deploying, upload: Any, error: str) -> None:
    """In plain words; nothing is live."""
    function, build = await one.deploy("hello", upload)
    assert (function.status, function.live_version) == ("failed", None)
    assert build.error is not None
    assert build.error.startswith(error)
    assert build.error in build.output


@pytest.mark.parametrize(
    "upload", [SingleFile("index.js", "require('is-number')"), SingleFile("main.py", "import six")]
)
async def test_a_registry_that_is_away_is_told_from_an_unknown_package(
    one: Deploying, upload: SingleFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of the user's."""
    for name, value in {
        "NPM_CONFIG_REGISTRY": "http://127.0.0.1:9/",
        "NPM_CONFIG_FETCH_RETRIES": "0",
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_RETRIES": "1",
        "PIP_DEFAULT_TIMEOUT": "2",
    }.items():
        monkeypatch.setenv(name, value)
    _, build = await one.deploy("hello", upload)
    assert build.error is not None
    assert "could not be reached" in build.error


async def test_a_build_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its tools, by a limit that the error names."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\nsleep 600 & wait\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:{os.environ['PATH']}")
    async with deploying(tmp_path / "data") as one:
        one.deployments._builder._settings = one.settings.model_copy(update={"build_timeout_seconds": 1})
        _, build = await one.deploy("hello", SingleFile("index.js", "require('is-number')"))
    assert build.error == "The build was stopped: it did not finish within 1 seconds."


def _lock(*packages: tuple[str, dict[str, Any]], asked: dict[str, str] | None = None) -> str:
    entries: dict[str, Any] = {"": {"dependencies": asked or {}}}
    for path, package in packages:
        entries[path] = {"version": "1.0.0", "integrity": f"sha512-{path}", **package}
    return json.dumps({"lockfileVersion": 3, "packages": entries})


def _tree(tmp_path: Path, lock: str, **files: str) -> InstalledTree:
    for path in json.loads(lock)["packages"]:
        if path:
            (tmp_path / path).mkdir(parents=True, exist_ok=True)
            (tmp_path / path / "package.json").write_text("{}")
    for path, content in files.items():
        (tmp_path / path).write_text(content)
    return InstalledTree(lock, tmp_path / "node_modules")


def test_native_packages_are_left_out_of_the_bundle(tmp_path: Path) -> None:
    """With what chooses among them by its optional dependencies; a nested one with the package around it."""
    lock = _lock(
        ("node_modules/plain", {"dependencies": {"chooser": "1"}}),
        ("node_modules/chooser", {"optionalDependencies": {"@native/linux": "1", "@native/mac": "1"}}),
        ("node_modules/@native/linux", {}),
        ("node_modules/around", {}),
        ("node_modules/around/node_modules/nested", {}),
    )
    tree = _tree(
        tmp_path,
        lock,
        **{"node_modules/@native/linux/x.node": "", "node_modules/around/node_modules/nested/x.wasm": ""},
    )
    assert tree.native() == {"chooser", "@native/linux", "around"}


def test_a_layer_holds_a_package_and_all_it_needs(tmp_path: Path) -> None:
    """Each found the way Node.js looks for it, and nothing else; the name is that of these alone."""
    lock = _lock(
        ("node_modules/a", {"dependencies": {"b": "1"}, "peerDependencies": {"d": "1"}}),
        ("node_modules/a/node_modules/b", {"dependencies": {"c": "1"}}),
        ("node_modules/b", {}),
        ("node_modules/c", {"optionalDependencies": {"elsewhere": "1"}}),
        ("node_modules/d", {"dependencies": {"a": "1"}}),
        ("node_modules/unrelated", {}),
    )
    tree = _tree(tmp_path, lock)
    paths = tree.closure(["a"])
    assert paths == ["node_modules/a", "node_modules/a/node_modules/b", "node_modules/c", "node_modules/d"]
    tree.copy(paths, tmp_path / "layer")
    found = {str(path.parent.relative_to(tmp_path / "layer")) for path in (tmp_path / "layer").rglob("package.json")}
    assert found == set(paths)
    assert tree.dep_hash(paths, "node115") != tree.dep_hash([*paths, "node_modules/unrelated"], "node115")
    assert tree.dep_hash(paths, "node115") != tree.dep_hash(paths, "node127")


@pytest.mark.parametrize(
    ("package", "error"),
    [
        ({"resolved": "git+ssh://git@example.com/a.git#1"}, "does not come from the registry"),
        ({"resolved": "file:../x"}, "does not come from the registry"),
        ({"link": True, "resolved": "../x"}, "does not come from the registry"),
        ({"integrity": None}, "no integrity hash"),
    ],
)
def test_a_lock_with_anything_but_the_registrys_is_refused(package: dict[str, Any], error: str) -> None:
    """A registry package may itself ask for such a thing."""
    document = json.loads(_lock(("node_modules/x/node_modules/@s/evil", package)))
    if package.get("integrity", "") is None:
        del document["packages"]["node_modules/x/node_modules/@s/evil"]["integrity"]
    with pytest.raises(Exception, match=f"`@s/evil`.*{error}|{error} for `@s/evil`"):
        dependencies_node._canonical(json.dumps(document))


def test_a_lock_is_found_by_what_was_asked_for() -> None:
    """And for a Python of the same version; a lock of another runtime is none."""
    lock = _lock(("node_modules/a", {}), asked={"a": "1"})
    head = "".join(f"{line}\n" for line in dependencies_python._head(["six"]))
    locks = [head, "", lock]
    assert dependencies_node.find_lock({"a": "1"}, locks) == lock
    assert dependencies_node.find_lock({"a": "2"}, locks) is None
    assert dependencies_python.find_lock(["six"], locks) == head
    assert dependencies_python.find_lock(["six", "idna"], locks) is None
    assert dependencies_python.find_lock(["six"], [head.replace(dependencies_python.ABI, "cp39")]) is None


def test_a_layers_name_depends_on_all_that_makes_it() -> None:
    """But not on the order of the packages or on what was asked for."""
    one = dependencies_python.dep_hash_of("# asked: six\nsix==1 --hash=sha256:1\nidna==1 --hash=sha256:2\n")
    assert one == dependencies_python.dep_hash_of("idna==1 --hash=sha256:2\nsix==1 --hash=sha256:1\n")
    assert one != dependencies_python.dep_hash_of("idna==1 --hash=sha256:2\nsix==1 --hash=sha256:3\n")
