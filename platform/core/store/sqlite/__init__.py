"""The store over one SQLite file: the embedded default."""

from cloudserve.core.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
