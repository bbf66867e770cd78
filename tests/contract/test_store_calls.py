"""Records of calls: what every store guarantees."""

import asyncio
from functools import partial

from cloudserve.core.models.function import Function, Stats
from cloudserve.core.store.abc import Store
from tests.contract.asking import all_pages
from tests.contract.records import (
    HOUR,
    NOW,
    a_function,
    a_log,
    a_usage,
)


class TestUsages:
    """Light records, and the stats that they are counted in."""

    async def test_records_are_counted_exactly_once(self, store: Store, second: Store, function: Function) -> None:
        """A batch that comes again, from anywhere and at the same time, adds and counts nothing."""
        usages = [a_usage(function, duration=float(i), memory_used=2.0 * i) for i in range(1, 10)]
        usages.append(a_usage(function, status="error", duration=5, memory_used=10, start_time=NOW + HOUR))
        late = a_usage(function, status="timeout", duration=5, memory_used=10)
        batches = [usages, usages[3:], [*usages[:3], usages[0]], usages]
        await asyncio.gather(*((store, second)[i % 2].usages.record(batch) for i, batch in enumerate(batches)))
        await store.usages.record([late, late])
        found = await store.functions.get(function.owner_id, function.id)
        assert found is not None
        assert found.stats == Stats(executed=11, errors=2, avg_latency=5, avg_memory=10, last_executed=NOW + HOUR)
        assert len((await store.usages.list(function.owner_id, function.id, limit=99)).rows) == 11

    async def test_restored_records_are_not_counted(self, store: Store, second: Store, function: Function) -> None:
        """Their function's totals have them already; each is added once, and none of a function that is gone."""
        usages = [a_usage(function) for _ in range(5)]
        await asyncio.gather(*(way.usages.restore(usages) for way in (store, second)))
        await store.usages.restore([*usages, a_usage(a_function(function.owner_id))])
        assert await store.usages.latest(function.owner_id) == usages[::-1]
        await store.usages.record(usages)
        assert await store.functions.get(function.owner_id, function.id) == function

    async def test_records_come_back_as_they_were_added(self, store: Store, function: Function) -> None:
        """Newest first: of a function in pages, of an owner the latest."""
        other = a_function(function.owner_id)
        await store.functions.add(other)
        usages = [a_usage((function, other)[i % 2], cold=i == 0, key_id="k") for i in range(10)]
        await store.usages.record(usages[5:])
        await store.usages.record(usages[:5])
        assert await store.usages.latest(function.owner_id, limit=4) == usages[:5:-1]
        assert await store.usages.get(function.owner_id, function.id, usages[0].id) == usages[0]
        assert await store.usages.get(function.owner_id, other.id, usages[0].id) is None
        expected = [usage.id for usage in reversed(usages) if usage.function_id == function.id]
        for limit in (1, 2, 5, 9):
            page = partial(store.usages.list, function.owner_id, function.id, limit=limit)
            assert await all_pages(page) == expected

    async def test_a_page_is_stable_while_records_come_and_go(self, store: Store, function: Function) -> None:
        """New ones and a deleted cursor neither repeat nor hide a row."""
        usages = [a_usage(function) for _ in range(6)]
        await store.usages.record(usages)
        page = await store.usages.list(function.owner_id, function.id, limit=3)
        await store.usages.record([a_usage(function)])
        await store.usages.delete(function.owner_id, function.id, page.rows[-1].id)
        rest = await store.usages.list(function.owner_id, function.id, limit=3, cursor=page.next_cursor)
        assert [*page.rows, *rest.rows] == usages[::-1]
        assert rest.next_cursor is None

    async def test_records_can_be_deleted(self, store: Store, function: Function) -> None:
        """One or all of a function; its totals stay."""
        usages = [a_usage(function) for _ in range(3)]
        await store.usages.record(usages)
        assert await store.usages.delete(function.owner_id, function.id, usages[0].id) == 1
        assert await store.usages.delete(function.owner_id, function.id, usages[0].id) == 0
        assert await store.usages.delete(function.owner_id, function.id) == 2
        found = await store.functions.get(function.owner_id, function.id)
        assert found is not None
        assert found.stats.executed == 3

    async def test_old_records_are_swept(self, store: Store, function: Function) -> None:
        """However many there are."""
        usages = [a_usage(function, created_at=NOW - HOUR) for _ in range(2_500)]
        kept = [a_usage(function, created_at=NOW), a_usage(function, created_at=NOW + HOUR)]
        await store.usages.record([*usages, *kept])
        assert await store.usages.sweep(NOW) == 2_500
        assert (await store.usages.list(function.owner_id, function.id, limit=9)).rows == kept[::-1]


class TestLogs:
    """Heavy records."""

    async def test_logs_come_back_as_they_were_added(self, store: Store, function: Function) -> None:
        """A record that is there already stays as it is."""
        log = a_log(function, error="boom", reason="crash", status="error", cold_start={"load": 1.5}, truncated=True)
        await store.logs.record([log])
        await store.logs.record([log.model_copy(update={"error": "another"}), other := a_log(function)])
        assert await store.logs.get(function.owner_id, function.id, log.id) == log
        assert (await store.logs.list(function.owner_id, function.id, limit=9)).rows == [other, log]

    async def test_logs_are_filtered_followed_and_paged(self, store: Store, function: Function) -> None:
        """Newest first; by status, and after an id, in any combination."""
        logs = [a_log(function, status=("success", "error", "timeout")[i % 3]) for i in range(12)]
        await store.logs.record(logs)
        for status in (None, "success", "error", "timeout"):
            for after in (None, logs[4].id, logs[-1].id):
                expected = [
                    log.id
                    for log in reversed(logs)
                    if status in (None, log.status) and (after is None or log.id > after)
                ]
                for limit in (1, 3, 50):
                    page = partial(
                        store.logs.list, function.owner_id, function.id, limit=limit, status=status, after=after
                    )
                    assert await all_pages(page) == expected

    async def test_logs_can_be_deleted_and_swept(self, store: Store, function: Function) -> None:
        """One, all of a function, or all that are old."""
        logs = [a_log(function, created_at=NOW + hours * HOUR) for hours in range(-2, 3)]
        await store.logs.record(logs)
        assert await store.logs.sweep(NOW) == 2
        assert await store.logs.delete(function.owner_id, function.id, logs[0].id) == 0
        assert await store.logs.delete(function.owner_id, function.id, logs[2].id) == 1
        assert await store.logs.delete(function.owner_id, function.id) == 2
