"""How the suites ask a store: many times at once, and page by page."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cloudserve.core.store.abc import Page, Taken


async def outcomes(*attempts: Awaitable[Any]) -> tuple[int, list[str]]:
    """Makes attempts at once; returns how many succeeded, and the field that was taken for each of the others."""
    results = await asyncio.gather(*attempts, return_exceptions=True)
    lost = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(error, Taken) for error in lost), lost
    return len(results) - len(lost), [error.field for error in lost if isinstance(error, Taken)]


async def all_pages(page: Callable[..., Awaitable[Page[Any]]]) -> list[str]:
    """Follows the cursors from page to page; returns the ids."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        rows = await page(cursor=cursor)
        found += [row.id for row in rows.rows]
        if rows.next_cursor is None:
            return found
        cursor = rows.next_cursor
