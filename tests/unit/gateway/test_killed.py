"""A gateway process that is killed under load loses no record of a call that it answered."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from cloudserve.core.store.abc import Logs, Usages
from tests.unit.gateway.support import ScriptedSandbox, running

SERVE = """
import asyncio, sys
from pathlib import Path
from tests.unit.gateway.support import ScriptedSandbox, running

async def main():
    async with running(Path(sys.argv[1]), ScriptedSandbox()) as platform:
        owner = await platform.owner()
        function = await platform.function(owner, public=True)
        print(platform.functions.base_url.port, owner.id, function.id, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""
ENOUGH = 300


async def _call_until_dead(port: int, answered: list[str]) -> None:
    """Calls over one connection, and notes each execution whose whole answer has arrived."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            writer.write(b"GET /run/alice/hello HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readexactly(len(b"hello"))
            answered.append(head.partition(b"x-cloudserve-execution-id: ")[2].partition(b"\r\n")[0].decode())
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def test_kill_under_load_loses_no_record_of_an_answered_call(tmp_path: Path) -> None:
    """After the next start every execution that was answered is in the store, once."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(tmp_path), stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": ".src:."}
    )
    try:
        assert process.stdout is not None
        port, owner_id, function_id = (await process.stdout.readline()).decode().split()
        answered: list[str] = []
        callers = [asyncio.create_task(_call_until_dead(int(port), answered)) for _ in range(8)]
        while len(answered) < ENOUGH:  # noqa: ASYNC110 - polls what has no event
            await asyncio.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.gather(*callers)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

    async with running(tmp_path, ScriptedSandbox()) as platform:
        function = await platform.store.functions.get(owner_id, function_id)
        assert function is not None
        await platform.records(function, min(len(answered), 1_000))
        await platform.gateway.close()
        usages = await _all_ids(platform.store.usages, owner_id, function_id)
        logs = await _all_ids(platform.store.logs, owner_id, function_id)
        assert set(answered) <= set(usages)
        assert set(answered) <= set(logs)
        assert len(usages) == len(set(usages))
        counted = await platform.store.functions.get(owner_id, function_id)
        assert counted is not None
        assert counted.stats.executed == len(usages)


async def _all_ids(rows: Usages | Logs, owner_id: str, function_id: str) -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await rows.list(owner_id, function_id, limit=500, cursor=cursor)
        ids += [row.id for row in page.rows]
        cursor = page.next_cursor
        if cursor is None:
            return ids
