"""The connection to the server, how long it is waited for, and what its errors mean to the services.

Only operations are used that every server with MongoDB's wire protocol has: no session, no transaction, no update by
pipeline. Reads and writes are `majority` on the primary, so that what was read or confirmed is never rolled back when
another member becomes the primary (https://www.mongodb.com/docs/manual/reference/read-concern-majority/).

The driver repeats a read that a broken connection has cut off, but never a write: telling a repeated write from a first
one takes a session, and counting something up twice is worse than an error that says to try again.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from cloudserve.core.store.abc import StoreError, Taken, Unavailable
from cloudserve.core.store.mongo.indexes import INDEXES

Document = dict[str, Any]
Client = AsyncMongoClient[Document]

ANSWER_SECONDS: Final = 20.0
"""One operation, with the wait for a connection and a repetition. The server gives up at the same time."""

PRIMARY_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 10.0
"""A connection's making, and a heartbeat: when one fails, so does all that is under way. A busy moment must not do."""

MOST_CONNECTIONS: Final = 20
"""Of one process. What is asked beyond that waits in line here, where it costs the server nothing."""

_IDLE_SECONDS: Final = 300.0

DUPLICATE: Final = 11000
_UNKNOWN_KEY: Final = "id"
_INDEX: Final = re.compile(r"index: (\S+)")

# Codes by which a server says that it can't serve now:
# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_UNAVAILABLE: Final = {
    *(6, 7, 24, 50, 64, 79, 89, 91, 100, 112, 134, 189, 202, 246, 262, 317, 358),
    *(9001, 10058, 10107, 11600, 11602, 13435, 13436, 14031),
}
_REFUSED: Final = {13, 18, 8000}


def connect(url: str) -> Client:
    """Returns a client, which connects when it is first used. Raises `StoreError` for a URL that is none."""
    try:
        return AsyncMongoClient(
            url,
            appname="cloudserve",
            tz_aware=True,
            readPreference="primary",
            readConcernLevel="majority",
            w="majority",
            journal=True,
            retryReads=True,
            retryWrites=False,
            serverSelectionTimeoutMS=int(PRIMARY_SECONDS * 1000),
            connectTimeoutMS=int(CONNECT_SECONDS * 1000),
            timeoutMS=int(ANSWER_SECONDS * 1000),
            maxPoolSize=MOST_CONNECTIONS,
            maxIdleTimeMS=int(_IDLE_SECONDS * 1000),
        )
    except (PyMongoError, ValueError) as error:  # its text may have the URL, which has the password
        raise StoreError(
            f"the store's URL can't be used ({type(error).__name__}): give one like mongodb://user:password@host:27017"
        ) from None


@contextmanager
def translated() -> Iterator[None]:
    """Turns the driver's errors into those of the contract; what is a mistake of ours stays as it is."""
    try:
        yield
    except DuplicateKeyError as error:
        raise Taken(_taken(str(error))) from error
    except (ConnectionFailure, ExecutionTimeout, WaitQueueTimeoutError, WriteConcernError, InvalidOperation) as error:
        raise Unavailable(f"the database can't be reached just now: {error}") from error
    except BulkWriteError as error:
        codes = {one.get("code") for one in error.details.get("writeErrors", ())}
        if codes & _UNAVAILABLE or error.details.get("writeConcernErrors"):
            raise Unavailable("the database can't write just now") from error
        raise
    except OperationFailure as error:
        if error.code in _UNAVAILABLE:
            raise Unavailable(f"the database can't be used just now: {error}") from error
        if error.code in _REFUSED:
            raise StoreError("the database refuses us: check the name, the password and its rights") from error
        raise
    except ConfigurationError as error:
        raise StoreError(f"the database can't be used: {error}") from error


def _taken(text: str) -> str:
    """Returns the attribute that a duplicate is told of; the index of `_id` is in no table."""
    found = _INDEX.search(text)
    name = found[1] if found else ""
    return next((index.attribute for index in INDEXES if index.name == name), _UNKNOWN_KEY)
