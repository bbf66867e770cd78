"""What the driver raises becomes an error of the contract."""

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from cloudserve.core.store.abc import StoreError, Taken, Unavailable
from cloudserve.core.store.mongo.client import connect, translated


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("connection closed"),
        NetworkTimeout("timed out"),
        NotPrimaryError("not primary"),
        ServerSelectionTimeoutError("no servers found yet"),
        WaitQueueTimeoutError("no connection free"),
        ExecutionTimeout("operation exceeded time limit", 50),
        WTimeoutError("waiting for replication timed out", 64),
        OperationFailure("interrupted at shutdown", 11600),
        OperationFailure("primary stepped down", 189),
        BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}]}),
        BulkWriteError({"writeErrors": [{"code": 11000}, {"code": 10107}]}),
    ],
    ids=repr,
)
def test_an_absent_backend_is_unavailable(error: PyMongoError) -> None:
    """However the driver comes to know."""
    with pytest.raises(Unavailable), translated():
        raise error


@pytest.mark.parametrize(
    ("index", "field"),
    [
        ("name", "name"),
        ("email_folded", "email"),
        ("owner_id_name", "name"),
        ("owner_id_function_id_number", "number"),
        ("key_hash", "key_hash"),
        ("_id_", "id"),
    ],
)
def test_a_duplicate_is_told_of_by_its_attribute(index: str, field: str) -> None:
    """As the model calls it."""
    text = f'E11000 duplicate key error collection: db.things index: {index} dup key: {{ x: "index: no" }}'
    with pytest.raises(Taken, match=rf"^{field} is taken"), translated():
        raise DuplicateKeyError(text, 11000)


def test_a_refusal_says_what_to_look_at() -> None:
    """Trying again would not help, so it is not `Unavailable`."""
    with pytest.raises(StoreError, match="check the name, the password and its rights") as caught, translated():
        raise OperationFailure("Authentication failed.", 18)
    assert not isinstance(caught.value, Unavailable)


@pytest.mark.parametrize(
    "error", [OperationFailure("unknown operator", 2), BulkWriteError({"writeErrors": [{"code": 2}]}), KeyError("x")]
)
def test_a_mistake_of_ours_stays_as_it_is(error: Exception) -> None:
    """It must be seen, not tried again."""
    with pytest.raises(type(error)) as caught, translated():
        raise error
    assert caught.value is error


@pytest.mark.parametrize("url", ["http://ann:s3cr3t@host", "mongodb://ann:s3cr3t@:x", "mongodb://ann:s3:cr3t@h:1"])
def test_a_bad_url_is_refused_without_showing_its_password(url: str) -> None:
    """Its author knows it, the log must not."""
    with pytest.raises(StoreError, match="give one like mongodb://") as caught:
        connect(url)
    seen: list[BaseException | None] = [caught.value, caught.value.__cause__]
    assert "cr3t" not in repr(seen)


async def test_writes_are_confirmed_by_a_majority_and_never_repeated() -> None:
    """Whatever the URL says."""
    client = connect("mongodb://h/?retryWrites=true&w=0&readPreference=secondary&readConcernLevel=local")
    assert client.write_concern.document == {"w": "majority", "j": True}
    assert client.read_concern.level == "majority"
    assert client.read_preference.mode == 0
    assert not client.options.retry_writes
    assert client.options.retry_reads
    await client.close()
