"""Which functions ask for workers that are warm before the first call (`Limits.min_warm`)."""

from cloudserve.core.store.abc import Store


async def kept_warm(store: Store) -> list[tuple[str, str]]:
    """Returns the names of owner and function of each that is live and asks for it. Raises `StoreError`."""
    names: list[tuple[str, str]] = []
    cursor: str | None = None
    while True:
        page = await store.owners.list(limit=100, cursor=cursor)
        for owner in page.rows:
            for function in await store.functions.list(owner.id):
                if function.live_version is None or not function.is_active:
                    continue
                version = await store.versions.get(owner.id, function.id, function.live_version)
                if version is not None and version.spec.limits.min_warm > 0:
                    names.append((owner.name, function.name))
        cursor = page.next_cursor
        if cursor is None:
            return names
