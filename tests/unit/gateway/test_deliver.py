"""Delivery: each execution reaches the store once, whatever goes wrong on the way."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from cloudserve.core.ids import new_id
from cloudserve.core.models.execution import ExecutionLog, Usage
from cloudserve.core.models.function import Egress, Function, Limits
from cloudserve.core.store.abc import Unavailable
from cloudserve.core.store.sqlite import SqliteStore
from cloudserve.gateway import deliver
from cloudserve.gateway.deliver import Delivery
from cloudserve.gateway.record import Begun, encode
from cloudserve.gateway.spool import Spool
from cloudserve.sandbox.abc import Deployment, Outcome

OWNER = new_id()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A real store."""
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def function(store: SqliteStore) -> Function:
    """A function whose calls are recorded."""
    function = Function(owner_id=OWNER, name="hello")
    await store.functions.add(function)
    return function


def line(function: Function) -> bytes:
    """Returns the record of a call of a moment ago."""
    deployment = Deployment(
        version_id=new_id(),
        function_id=function.id,
        owner_id=function.owner_id,
        number=3,
        runtime="node",
        code=Path("code"),
        entry="index.cjs",
        handler=None,
        layer=None,
        limits=Limits(),
        egress=Egress(),
        environment={},
    )
    now = time.time()
    return encode(Begun(new_id(), now - 1, deployment, None), 200, now, Outcome("success", 5, 6))


async def arrived(store: SqliteStore, function: Function, count: int) -> Sequence[Usage]:
    """Returns the usage records when there are `count` of them."""
    while True:
        page = await store.usages.list(OWNER, function.id, limit=10_000)
        if len(page.rows) >= count:
            return page.rows
        await asyncio.sleep(0.02)


async def test_records_arrive_and_are_counted_once(tmp_path: Path, store: SqliteStore, function: Function) -> None:
    """Also when a batch is delivered twice, as after a kill between the store and the spool."""
    spool = Spool(tmp_path / "spool")
    lines = [line(function) for _ in range(50)]
    for one in lines + lines[:20]:
        spool.append(one)
    delivery = Delivery(spool, store)
    await delivery.start()
    await arrived(store, function, 50)
    await delivery.close()
    row = await store.functions.get(OWNER, function.id)
    assert row is not None
    assert (row.stats.executed, row.stats.avg_latency, row.stats.avg_memory) == (50, 5, 6)
    assert len((await store.logs.list(OWNER, function.id, limit=1_000)).rows) == 50
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_store_that_is_away_is_waited_for(
    tmp_path: Path, store: SqliteStore, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and nothing is asked of the caller."""
    monkeypatch.setattr(deliver, "RETRY_SECONDS", 0.01)
    tries = 0
    record = store.logs.record

    async def away(logs: object) -> None:
        nonlocal tries
        tries += 1
        if tries < 5:
            raise Unavailable("gone")
        await record(logs)  # type: ignore[arg-type]

    monkeypatch.setattr(store.logs, "record", away)
    spool = Spool(tmp_path / "spool")
    delivery = Delivery(spool, store)
    await delivery.start()
    for _ in range(10):
        spool.append(line(function))
    await arrived(store, function, 10)
    assert tries >= 5
    await delivery.close()


async def test_one_bad_record_holds_no_other_up(
    tmp_path: Path, store: SqliteStore, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that can't be read and a record that the store refuses are passed over."""
    lines = [line(function) for _ in range(20)]
    bad = lines[7].split(b'"')[1].decode()
    record = store.usages.record

    async def strict(usages: Sequence[Usage]) -> None:
        if any(usage.id == bad for usage in usages):
            raise ValueError("refused")
        await record(usages)

    monkeypatch.setattr(store.usages, "record", strict)
    spool = Spool(tmp_path / "spool")
    for number, one in enumerate(lines):
        spool.append(one)
        if number == 12:
            spool.append(b'["torn", 1\n')
    delivery = Delivery(spool, store)
    await delivery.start()
    ids = {usage.id for usage in await arrived(store, function, 19)}
    assert ids == {one.split(b'"')[1].decode() for one in lines} - {bad}
    await delivery.close()


async def test_no_record_is_lost_to_a_store_that_fails_in_an_unknown_way(
    tmp_path: Path, store: SqliteStore, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record counts as refused only by a store that answers otherwise."""
    monkeypatch.setattr(deliver, "RETRY_SECONDS", 0.01)
    tries = 0

    async def broken(_logs: object) -> None:
        nonlocal tries
        tries += 1
        raise RuntimeError("shutting down")

    async def away() -> None:
        raise Unavailable("gone")

    spool = Spool(tmp_path / "spool")
    for _ in range(10):
        spool.append(line(function))
    delivery = Delivery(spool, store)
    with monkeypatch.context() as outage:
        outage.setattr(store.logs, "record", broken)
        outage.setattr(store, "ping", away)
        await delivery.start()
        while tries < 20:  # noqa: ASYNC110 - polls what has no event
            await asyncio.sleep(0.01)
    await arrived(store, function, 10)
    await delivery.close()


async def test_a_store_that_does_not_answer_is_tried_again(
    tmp_path: Path, store: SqliteStore, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that went dead without a word holds the records up for a while, not for ever."""
    monkeypatch.setattr(deliver, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(deliver, "ANSWER_SECONDS", 0.05)
    record = store.logs.record
    tries = 0

    async def dead_at_first(logs: Sequence[ExecutionLog]) -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:
            await asyncio.Event().wait()
        await record(logs)

    monkeypatch.setattr(store.logs, "record", dead_at_first)
    spool = Spool(tmp_path / "spool")
    spool.append(line(function))
    delivery = Delivery(spool, store)
    await delivery.start()
    await arrived(store, function, 1)
    assert tries >= 3
    await delivery.close()


async def test_single_records_are_delivered_together(
    tmp_path: Path, store: SqliteStore, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that takes as long as it is to the next call is not given each call's record by itself."""
    batches = 0
    record = store.logs.record

    async def slow(logs: Sequence[ExecutionLog]) -> None:
        nonlocal batches
        batches += 1
        await asyncio.sleep(0.01)
        await record(logs)

    monkeypatch.setattr(store.logs, "record", slow)
    spool = Spool(tmp_path / "spool")
    delivery = Delivery(spool, store)
    await delivery.start()
    began = time.monotonic()
    for _ in range(100):
        spool.append(line(function))
        await asyncio.sleep(0.005)
    assert batches <= 2 + (time.monotonic() - began) / deliver.IDLE_SECONDS
    await arrived(store, function, 100)
    await delivery.close()


async def test_closing_delivers_what_waits(tmp_path: Path, store: SqliteStore, function: Function) -> None:
    """An orderly end leaves nothing on disk."""
    spool = Spool(tmp_path / "spool")
    delivery = Delivery(spool, store)
    await delivery.start()
    for _ in range(1_000):
        spool.append(line(function))
    await delivery.close()
    assert len(await arrived(store, function, 1_000)) == 1_000
    assert list((tmp_path / "spool").iterdir()) == []


async def test_closing_while_the_store_is_away_leaves_the_records_on_disk(
    tmp_path: Path, store: SqliteStore, function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process delivers them."""

    async def away(_logs: object) -> None:
        raise Unavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(store.logs, "record", away)
        spool = Spool(tmp_path / "spool")
        delivery = Delivery(spool, store)
        await delivery.start()
        spool.append(line(function))
        await delivery.close()
    successor = Delivery(Spool(tmp_path / "spool"), store)
    await successor.start()
    await arrived(store, function, 1)
    await successor.close()
