"""Tools run in a clean environment, and none of them outlives its build."""

import asyncio
import sys
from pathlib import Path

import pytest

from cloudserve.api.build import toolchain
from cloudserve.api.build.environment import environment
from cloudserve.api.build.exclusive import exclusive
from cloudserve.api.build.toolchain import ToolchainMissing, esbuild
from cloudserve.api.build.tools import MEMORY_BYTES, Output, run
from tests.unit.api.build.waiting import has_ended, until


def test_the_environment_keeps_the_way_to_the_registries_alone(tmp_path: Path) -> None:
    """The host's own configuration of one installer, proxies and certificates; no secret of the platform."""
    home = tmp_path / "home"
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").touch()
    (home / ".npmrc").touch()
    host = {
        "PATH": "/bin",
        "HOME": str(home),
        "https_proxy": "http://proxy",
        "SSL_CERT_FILE": "/ca.pem",
        "npm_config_registry": "http://npm",
        "PIP_INDEX_URL": "http://pip",
        "CLOUDSERVE_INSTANCE": "token",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "NODE_OPTIONS": "--inspect",
        "PYTHONPATH": "/x",
    }
    npm, pip = (environment(installer, tmp_path / "own", host=host) for installer in ("npm", "pip"))
    for made, own in ((npm, "npm_config_registry"), (pip, "PIP_INDEX_URL")):
        kept = {name: made[name] for name in made if name in host and made[name] == host[name]}
        assert sorted(kept, key=str.lower) == sorted(["PATH", "SSL_CERT_FILE", "https_proxy", own], key=str.lower)
        assert made["HOME"] == str(tmp_path / "own")
        assert not {"CLOUDSERVE_INSTANCE", "AWS_SECRET_ACCESS_KEY", "NODE_OPTIONS", "PYTHONPATH"} & set(made)
    assert npm["NPM_CONFIG_USERCONFIG"] == str(home / ".npmrc")
    assert pip["PIP_CONFIG_FILE"] == str(home / ".config" / "pip" / "pip.conf")


def test_a_chosen_configuration_file_is_kept(tmp_path: Path) -> None:
    """What the operator has set wins over what lies in the home folder."""
    host = {"HOME": str(tmp_path), "npm_config_userconfig": "/etc/npmrc", "PIP_CONFIG_FILE": "/etc/pip.conf"}
    (tmp_path / ".npmrc").touch()
    npm = environment("npm", tmp_path / "own", host=host)
    assert npm["npm_config_userconfig"] == "/etc/npmrc"
    assert "NPM_CONFIG_USERCONFIG" not in npm
    assert environment("pip", tmp_path / "own", host=host)["PIP_CONFIG_FILE"] == "/etc/pip.conf"


@pytest.mark.parametrize("guarded", [False, True])
async def test_output_arrives_line_by_line(tmp_path: Path, guarded: bool) -> None:
    """Standard error too; the code is the tool's own."""
    lines: list[str] = []
    script = "import sys; print('a\\nb', flush=True); sys.stderr.write('c'); sys.exit(3)"
    finished = await run(
        [sys.executable, "-c", script], folder=tmp_path, environment={}, guarded=guarded, on_line=lines.append
    )
    assert (finished.code, finished.text, lines) == (3, "a\nb\nc", ["a", "b", "c"])


async def test_what_a_tool_has_started_ends_when_it_is_given_up(tmp_path: Path) -> None:
    """Its whole process group."""
    pid = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {pid}.new; mv {pid}.new {pid}; wait"
    tool = run(["/bin/sh", "-c", script], folder=tmp_path, environment={"PATH": "/bin:/usr/bin"})
    running = asyncio.create_task(tool)
    await until(pid.exists)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    await until(lambda: has_ended(int(pid.read_text())))


async def test_a_talkative_tool_fills_no_memory(tmp_path: Path) -> None:
    """The first 256 KiB are kept, of what it prints and of what a build shows."""
    script = "import sys; sys.stdout.write(('y' * 79 + '\\n') * 50_000)"
    finished = await run([sys.executable, "-c", script], folder=tmp_path, environment={})
    assert 256 * 1024 <= len(finished.text) < 400 * 1024
    output = Output()
    for _ in range(10_000):
        output.write("z" * 79)
    assert len(output.text) < 300 * 1024
    assert output.text.endswith("… the rest of the output was dropped.\n")


async def test_a_greedy_tool_fills_no_memory(tmp_path: Path) -> None:
    """One process has so much and no more; a source that imports /dev/zero would take all there is."""
    script = f"b = bytearray({MEMORY_BYTES + 1})"
    finished = await run([sys.executable, "-c", script], folder=tmp_path, environment={})
    assert (finished.code, "MemoryError" in finished.text) == (1, True)


async def test_one_holds_a_lock_and_others_wait(tmp_path: Path) -> None:
    """In turn; whoever gives up waiting holds nothing."""
    order: list[str] = []

    async def hold(name: str) -> None:
        async with exclusive(tmp_path / "lock"):
            order.append(f"{name} in")
            await asyncio.sleep(0.05)
            order.append(f"{name} out")

    first = asyncio.create_task(hold("a"))
    await asyncio.sleep(0.01)
    given_up, second = asyncio.create_task(hold("b")), asyncio.create_task(hold("c"))
    await asyncio.sleep(0.01)
    given_up.cancel()
    await asyncio.gather(first, given_up, second, return_exceptions=True)
    assert order == ["a in", "a out", "c in", "c out"]


def test_the_toolchain_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into the cache, from the lock, which holds hashes and no addresses; the second time no npm is needed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = esbuild()
    assert program.is_relative_to(tmp_path / "cloudserve" / "toolchain")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert esbuild() == program
    assert {path.name for path in (tmp_path / "cloudserve" / "toolchain").iterdir()} == {
        toolchain.folder().name,
        f"{toolchain.folder().name}.lock",
    }
    lock = (Path(toolchain.__file__).parent / "package-lock.json").read_text()
    assert "integrity" in lock
    assert "http" not in lock.replace("https://opencollective.com", "")


def test_a_toolchain_that_can_not_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without npm, and without a registry; nothing half-made stays."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
    monkeypatch.setenv("NPM_CONFIG_FETCH_RETRIES", "0")
    with pytest.raises(ToolchainMissing, match="Check the way to the npm registry"):
        esbuild()
    assert not toolchain.folder().exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainMissing, match=r"Install Node\.js 20 or newer"):
        esbuild()
