"""Any set of rows, exported and imported into a fresh home, equals the original; a second import changes nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudserve.core.models.function import Cors, Egress, Limits, VersionSpec
from cloudserve.core.transfer.home import Home
from tests.contract.records import a_build, a_function, a_key, a_log, a_usage, an_owner
from tests.homes import content, imported, local_home, put_secret, put_version, written

MEMORY = Path("/dev/shm")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
MOMENTS = st.integers(0, 4_000_000_000_000).map(
    lambda milliseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
)
MAYBE_MOMENT = st.none() | MOMENTS
MAYBE_TEXT = st.none() | TEXT
SPECS = st.builds(
    VersionSpec,
    runtime=st.sampled_from(["node", "python"]),
    language=st.sampled_from(["javascript", "typescript", "python"]),
    entry=TEXT,
    handler=MAYBE_TEXT,
    limits=st.builds(Limits, timeout_seconds=st.floats(0.1, 900), memory_mb=st.integers(64, 4096)),
    egress=st.builds(Egress, mode=st.sampled_from(["none", "public", "list"]), allow=st.lists(TEXT, max_size=3)),
    environment=st.dictionaries(TEXT, TEXT, max_size=3),
    secrets=st.lists(TEXT, max_size=3),
)
OWNERS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["user", "team"]),
        "full_name": TEXT,
        "has_email": st.booleans(),
        "password_hash": MAYBE_TEXT,
        "is_verified": st.booleans(),
        "is_admin": st.booleans(),
        "is_active": st.booleans(),
        "password_changed_at": MAYBE_MOMENT,
        "created_at": MOMENTS,
        "updated_at": MOMENTS,
    }
)
KEYS = st.fixed_dictionaries(
    {
        "name": TEXT,
        "hint": TEXT,
        "scopes": st.lists(st.sampled_from(["invoke", "read", "deploy", "admin"]), max_size=4),
        "function_ids": st.none() | st.lists(TEXT, max_size=2),
        "expires_at": MAYBE_MOMENT,
        "last_used_at": MAYBE_MOMENT,
        "created_at": MOMENTS,
    }
)
CALLS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["success", "error", "timeout"]),
        "duration": st.floats(0, 1e6),
        "memory_used": st.floats(0, 4096),
        "start_time": MOMENTS,
        "created_at": MOMENTS,
    }
)
FUNCTIONS = st.fixed_dictionaries(
    {
        "row": st.fixed_dictionaries(
            {
                "is_active": st.booleans(),
                "status": st.sampled_from(["pending", "deploying", "active", "failed"]),
                "deploy_error": MAYBE_TEXT,
                "auth": st.sampled_from(["key", "public"]),
                "cors": st.none() | st.builds(Cors, credentials=st.booleans()),
                "created_at": MOMENTS,
            }
        ),
        "versions": st.lists(SPECS, max_size=3),
        "live": st.booleans(),
        "rollback": st.booleans(),
        "builds": st.lists(st.sampled_from(["pending", "deploying", "active", "failed"]), max_size=3),
        "secrets": st.dictionaries(st.sampled_from(["A", "B", "C"]), TEXT, max_size=3),
        "calls": st.lists(CALLS, max_size=4),
        "logs": st.lists(st.fixed_dictionaries({"error": MAYBE_TEXT, "truncated": st.booleans()}), max_size=2),
    }
)
HOMES = st.lists(
    st.tuples(OWNERS, st.lists(KEYS, max_size=2), st.booleans(), st.lists(FUNCTIONS, max_size=2)), max_size=3
)


async def _fill(
    home: Home, rows: list[tuple[dict[str, Any], list[dict[str, Any]], bool, list[dict[str, Any]]]]
) -> None:
    for number, (values, keys, has_default, functions) in enumerate(rows):
        email = f"Owner{number}@example.org" if values.pop("has_email") else None
        owner = an_owner(email=email, **values)
        await home.store.owners.add(owner)
        for index, key in enumerate(keys):
            await home.store.keys.add(a_key(owner.id, kind="default" if has_default and index == 0 else "named", **key))
        for function in functions:
            await _add_function(home, owner.id, function)


async def _add_function(home: Home, owner_id: str, given: dict[str, Any]) -> None:
    function = a_function(owner_id, **given["row"])
    store, ids = home.store, (owner_id, function.id)
    await store.functions.add(function)
    for number, spec in enumerate(given["versions"], 1):
        await put_version(home, function, number, spec=spec)
        taken = await store.functions.next_version(*ids)
        if given["live"] and taken is not None:
            await store.functions.go_live(*ids, number=number, sequence=taken[1], at=function.created_at)
    if given["rollback"] and given["versions"]:
        sequence = await store.functions.next_sequence(*ids)
        assert sequence is not None
        await store.functions.go_live(*ids, number=1, sequence=sequence, at=function.created_at)
    for number, status in enumerate(given["builds"], len(given["versions"]) + 1):
        source = await home.objects.put(f"{function.id}/src/{number}/source.tar.gz", b"%d" % number)
        await store.builds.add(
            a_build(function, number, status=status, source_path=source.key, source_hash=source.sha256)
        )
    for name, value in given["secrets"].items():
        await put_secret(home, function, name, value)
    await store.usages.record([a_usage(function, **call) for call in given["calls"]])
    await store.logs.record([a_log(function, **log) for log in given["logs"]])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(rows=HOMES)
def test_what_comes_out_is_what_went_in(rows: Any) -> None:
    """Every attribute, to the last bit of an average; only what nothing refers to is left behind."""

    async def move(folder: Path) -> None:
        async with local_home(folder / "origin") as origin, local_home(folder / "target") as target:
            await _fill(origin, rows)
            file = await written(origin, folder / "file.tar")
            await imported(target, file)
            original, copy = await content(origin), await content(target)
            referenced = await origin.store.versions.referenced_objects()
            original["objects"] = {key: value for key, value in original["objects"].items() if key in referenced}
            assert copy == original
            cursor = await target.store.last_change()
            await imported(target, file)
            assert await content(target) == copy
            assert await target.store.last_change() == cursor

    # Thousands of rows are synced one by one, which a disk takes long for and memory does not.
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        asyncio.run(move(Path(folder)))
