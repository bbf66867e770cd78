"""Tools of builds run behind walls: they see and reach what they need and nothing else, and leave nothing behind."""

import asyncio
import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.jail import Access, Bounds, Jail, JailBroken
from cloudserve.api.build.jailer.inside import give_away
from cloudserve.api.build.tools import PYTHON, Finished
from cloudserve.core.config import MEBIBYTE
from cloudserve.core.confine.tiers import TIERS, Tier, detect
from tests.unit.api.build import jails
from tests.unit.api.build.waiting import has_ended, until

HERE = [tier for tier in TIERS if tier != "none" and detect(tier).tier == tier]
"""The tiers that this machine can make."""


@pytest.fixture(params=HERE)
def tier(request: pytest.FixtureRequest) -> Tier:
    """Each of them in turn."""
    found: Tier = request.param
    return found


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder of a build, beside one of another's with a secret in it."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("hunter2")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


async def python(jail: Jail, work: Path, script: str, **access: Any) -> Finished:
    """Runs Python in a jail, in the one folder that it may write to."""
    command = [PYTHON, "-I", "-S", "-c", script]
    return await jail.run(command, folder=work, environment={}, access=Access(write=(work,), **access))


def _sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in sorted(folder.iterdir())]


def _count() -> tuple[int, int, int, int]:
    """Counts descriptors and mounts, of this process and of that which jailers are forked from, and its children."""
    process = jails.keeper()._process
    assert process is not None
    own, keeper = Path("/proc/self"), Path(f"/proc/{process.pid}")
    children = (keeper / "task" / str(process.pid) / "children").read_text().split()
    mounts = (own / "mounts").read_text().count("\n")
    return len([*(own / "fd").iterdir()]), len([*(keeper / "fd").iterdir()]), len(children), mounts


@contextmanager
def server() -> Iterator[int]:
    """A server on this host's loopback interface that greets; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                with one:
                    one.sendall(b"hello")

        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_this_machine_has_walls() -> None:
    """Else nothing below would try any."""
    assert HERE


async def test_a_tool_sees_its_build_alone(tier: Tier, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another's folder, nor the host's files, nor the environment of the platform; whatever it guesses."""
    monkeypatch.setenv("CLOUDSERVE_TEST_TOKEN", "hunter2")
    script = f"""
import os
def tried(path):
    try: return open(path, errors="replace").read()
    except OSError as error: return type(error).__name__
for path in {str(work.parent / "other" / "secret")!r}, "/etc/shadow", {__file__!r}, "/proc/{os.getpid()}/environ":
    print(tried(path).strip()[:20])
print(sorted({{*os.environ}} - {{"PATH", "RES_OPTIONS", "LC_CTYPE"}}))
for pid in range({os.getpid()} - 50, {os.getpid()} + 50):
    assert "hunter2" not in tried(f"/proc/{{pid}}/environ"), pid
open("made", "w").write("by the tool")
try: open("/usr/made", "w")
except OSError as error: print("refused")
"""
    finished = await python(jails.jail(work.parent, tier), work, script)
    lines = finished.text.splitlines()
    assert finished.code == 0, finished.text
    assert {*lines[:4]} <= {"FileNotFoundError", "PermissionError"}
    assert lines[4:] == ["[]", "refused"]
    assert (work / "made").read_text() == "by the tool"


async def test_a_source_is_read_and_never_written(tier: Tier, work: Path) -> None:
    """Not even where it belongs to the tool's user."""
    source = work.with_name("source")
    source.mkdir(0o700)
    (source / "main.py").write_text("1")
    script = f"""
print(open({str(source / "main.py")!r}).read())
try: open({str(source / "main.py")!r}, "w")
except OSError: print("refused")
"""
    finished = await python(jails.jail(work.parent, tier), work, script, sources=(source,))
    assert finished.text == "1\nrefused\n"
    assert (source / "main.py").read_text() == "1"


async def test_only_the_hosts_of_a_run_are_reached(tier: Tier, work: Path) -> None:
    """Also one on this host, since its operator has named it; every other place is refused, and told."""
    script = """
import errno, socket
def tried(host, port):
    try: return socket.create_connection((host, port), 5).recv(5).decode()
    except OSError as error: return "refused" if error.errno == errno.EACCES else type(error).__name__
for host, port in ("localhost", %d), ("127.0.0.1", %d), ("169.254.169.254", 80), ("elsewhere.example", 443):
    print(tried(host, port))
"""
    with server() as named, server() as unnamed:
        finished = await python(
            jails.jail(work.parent, tier), work, script % (named, unnamed), hosts=(f"localhost:{named}",)
        )
    assert finished.text.splitlines() == ["hello", "refused", "refused", "gaierror"]
    assert finished.refused == (f"127.0.0.1:{unnamed}", "169.254.169.254:80", "elsewhere.example")


async def test_a_run_without_hosts_makes_no_connection(tier: Tier, work: Path) -> None:
    """Its calls fail one and all."""
    script = "import socket\ntry: socket.create_connection(('127.0.0.1', %d))\nexcept OSError: print('none')"
    with server() as port:
        finished = await python(jails.jail(work.parent, tier), work, script % port)
    assert finished.text == "none\n"


async def test_what_a_tool_leaves_behind_dies_with_its_run(tier: Tier, work: Path) -> None:
    """Also what has a session of its own and no parent any more."""
    script = """
import os, time
for name in "ab":
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(name, "a") as file:
                while True:
                    file.write("."); file.flush(); time.sleep(0.01)
        os._exit(0)
while not (os.path.exists("a") and os.path.exists("b")): time.sleep(0.01)
"""
    finished = await python(jails.jail(work.parent, tier), work, script)
    assert finished.code == 0, finished.text
    sizes = _sizes(work)
    assert len(sizes) == 2
    await asyncio.sleep(0.1)
    assert _sizes(work) == sizes


async def test_a_run_that_is_given_up_dies_whole(tier: Tier, work: Path) -> None:
    """When its caller is cancelled, all of it is dead by the time that the caller knows."""
    script = """
import os, time
if os.fork() == 0: os.setsid()
with open(f"beat{os.getpid()}", "a") as file:
    while True:
        file.write("."); file.flush(); time.sleep(0.01)
"""
    running = asyncio.create_task(python(jails.jail(work.parent, tier), work, script))
    await until(lambda: len(_sizes(work)) == 2 and min(_sizes(work)) > 0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    sizes = _sizes(work)
    await asyncio.sleep(0.1)
    assert _sizes(work) == sizes


@pytest.mark.parametrize(
    ("script", "bounds", "error"),
    [
        (
            "import os, time\nfor _ in range(200):\n    if os.fork() == 0: time.sleep(60)\n"
            "print('all')\ntime.sleep(60)",
            Bounds(processes=30),
            "30 processes|BlockingIOError",
        ),
        (
            "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        b = bytearray(30 * 2**20)\n"
            "        time.sleep(60)\ntime.sleep(60)",
            Bounds(memory_bytes=100 * MEBIBYTE),
            "MiB of memory, of 100 MiB",
        ),
        (
            "n = 0\nwhile True:\n    open(str(n), 'wb').write(bytes(2**20))\n    n += 1",
            Bounds(disk_bytes=50 * MEBIBYTE),
            "MiB of disk, of 50 MiB",
        ),
        ("n = 0\nwhile True:\n    open(str(n), 'w').close()\n    n += 1", Bounds(files=500), r"\d+ files, of 500"),
    ],
    ids=["processes", "memory", "disk", "files"],
)
async def test_a_greedy_run_is_ended(tier: Tier, work: Path, script: str, bounds: Bounds, error: str) -> None:
    """Whatever it fills, all of its processes together; the error has both figures."""
    jail = Jail(detect(tier), work.parent / "homes", jails.keeper(), bounds=bounds)
    try:
        finished = await python(jail, work, script)
    except BuildFailed as failure:
        text = str(failure)
        assert text.startswith(f"The build was stopped: {Path(PYTHON).name} used ")
    else:
        assert finished.code != 0
        text = finished.text
    assert re.search(error, text)


async def test_exit_codes_are_the_tools_own(tier: Tier, work: Path) -> None:
    """And output arrives line by line."""
    lines: list[str] = []
    jail = jails.jail(work.parent, tier)
    script = "import sys; print('a\\nb', flush=True); sys.stderr.write('c'); sys.exit(3)"
    command = [PYTHON, "-I", "-S", "-c", script]
    finished = await jail.run(command, folder=work, environment={}, access=Access(write=(work,)), on_line=lines.append)
    assert (finished.code, finished.text, lines) == (3, "a\nb\nc", ["a", "b", "c"])


async def test_runs_leave_nothing_behind(tier: Tier, work: Path) -> None:
    """No process, no descriptor, no mount, no file of the jailer's own; whether they end well or not."""
    jail = jails.jail(work.parent, tier)

    async def several() -> None:
        await python(jail, work, "print(1)")
        await python(jail, work, "import os; os._exit(1)", hosts=("localhost:9",))
        with contextlib.suppress(JailBroken):
            await python(jail, work.parent / "missing", "print(1)")
        given_up = asyncio.create_task(python(jail, work, "import time; time.sleep(60)"))
        await asyncio.sleep(0.05)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        await asyncio.sleep(0.05)  # a transport closes its end in the loop's next turn

    await several()
    await until(lambda: _count()[2] == 0)
    before = _count()
    await several()
    await until(lambda: _count() == before)
    assert _sizes(work) == []


async def test_walls_that_do_not_stand_are_the_platforms_fault(tier: Tier, work: Path) -> None:
    """No tool is run without them."""
    with pytest.raises(JailBroken, match="could not be run behind walls"):
        await python(jails.jail(work.parent, tier), work.parent / "missing", "print(1)")


async def test_a_keeper_that_died_is_replaced(tier: Tier, work: Path) -> None:
    """And the runs that it had begun go on to their end."""
    jail = jails.jail(work.parent, tier)
    running = asyncio.create_task(
        python(jail, work, "import os, time\nopen('on', 'w').close()\nwhile os.path.exists('on'): time.sleep(0.01)")
    )
    await until((work / "on").exists)
    process = jails.keeper()._process
    assert process is not None
    process.kill()
    await until(lambda: has_ended(process.pid))
    assert (await python(jail, work, "print('again')")).text == "again\n"
    (work / "on").unlink()
    assert (await running).code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away; CI runs this as root")
def test_what_is_given_away_is_no_more_than_what_is_there(tmp_path: Path) -> None:
    """A link among it is given away itself, and what it leads to stays whose it was."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "file").touch()
    (tmp_path / "build" / "sub").mkdir(parents=True)
    (tmp_path / "build" / "sub" / "file").touch()
    (tmp_path / "build" / "folder").symlink_to(tmp_path / "host")
    (tmp_path / "build" / "link").symlink_to(tmp_path / "host" / "file")
    give_away([str(tmp_path / "build")], 12345)
    given = [tmp_path / "build", *(tmp_path / "build").rglob("*")]
    assert {path.lstat().st_uid for path in given} == {12345}
    assert {path.stat().st_uid for path in (tmp_path / "host", tmp_path / "host" / "file")} == {0}
