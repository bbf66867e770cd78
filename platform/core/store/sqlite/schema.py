"""The tables, as an ordered list of migrations.

`PRAGMA user_version` says how many of them code must know to use a file; the table `schema` counts those that the file
has had (`core.store.schema`). A file without that table is of the first release, whose only one needs itself.

A table has a column for whatever is looked up, ordered by or changed in place, and the rest of the record as JSON in
`document`. Times are milliseconds since 1970. Ids sort by time, so that "newest first" is the order of an index.

All SQL of this package is plain enough for SQLite 3.34, which Python is linked with on RHEL 9: no RETURNING, no STRICT.
"""

import sqlite3
from typing import Final

from cloudserve.core.store.schema import Level, Migration
from cloudserve.core.store.sqlite.connection import transaction

_FIRST: Final = """
CREATE TABLE owners (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    email_folded TEXT UNIQUE,
    google_subject TEXT UNIQUE,
    password_hash TEXT,
    document TEXT NOT NULL
);

CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    key_hash TEXT NOT NULL UNIQUE,
    last_used_at INTEGER,
    document TEXT NOT NULL
);
CREATE INDEX keys_of_owner ON keys (owner_id, id);
CREATE UNIQUE INDEX default_key_of_owner ON keys (owner_id) WHERE kind = 'default';

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX sessions_of_owner ON sessions (owner_id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

CREATE TABLE codes (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (owner_id, purpose)
);

CREATE TABLE functions (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    name TEXT NOT NULL,
    is_active INTEGER NOT NULL,
    status TEXT NOT NULL,
    deploy_error TEXT,
    deployed_at INTEGER,
    live_version INTEGER,
    latest_version INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    live_sequence INTEGER NOT NULL,
    auth TEXT NOT NULL,
    cors TEXT,
    executed INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    total_latency REAL NOT NULL,
    total_memory REAL NOT NULL,
    last_executed INTEGER,
    updated_at INTEGER NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (owner_id, id),
    UNIQUE (owner_id, name)
);

CREATE TABLE versions (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    function_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    source_path TEXT NOT NULL,
    bundle_path TEXT NOT NULL,
    layer_path TEXT,
    document TEXT NOT NULL,
    UNIQUE (owner_id, function_id, number),
    FOREIGN KEY (owner_id, function_id) REFERENCES functions (owner_id, id) ON DELETE CASCADE
);

CREATE TABLE builds (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    function_id TEXT NOT NULL,
    source_path TEXT NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    output TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    claimed_by TEXT,
    claimed_until INTEGER,
    started_at INTEGER,
    finished_at INTEGER,
    document TEXT NOT NULL,
    FOREIGN KEY (owner_id, function_id) REFERENCES functions (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX builds_of_function ON builds (owner_id, function_id, id);
CREATE INDEX unfinished_builds ON builds (id) WHERE status IN ('pending', 'deploying');

CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    function_id TEXT NOT NULL,
    name TEXT NOT NULL,
    ciphertext BLOB NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (owner_id, function_id, name),
    FOREIGN KEY (owner_id, function_id) REFERENCES functions (owner_id, id) ON DELETE CASCADE
);

CREATE TABLE usages (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    function_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    document TEXT NOT NULL,
    FOREIGN KEY (owner_id, function_id) REFERENCES functions (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX usages_of_owner ON usages (owner_id, id);
CREATE INDEX usages_of_function ON usages (owner_id, function_id, id);
CREATE INDEX usages_by_age ON usages (created_at);

CREATE TABLE logs (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    function_id TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    document TEXT NOT NULL,
    FOREIGN KEY (owner_id, function_id) REFERENCES functions (owner_id, id) ON DELETE CASCADE
);
CREATE INDEX logs_of_function ON logs (owner_id, function_id, id);
CREATE INDEX logs_by_status ON logs (owner_id, function_id, status, id);
CREATE INDEX logs_by_age ON logs (created_at);

CREATE TABLE changes (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    UNIQUE (kind, id)
);
"""

MIGRATIONS: Final[tuple[Migration[str], ...]] = (Migration(_FIRST, needs=1),)
"""Statements end with a semicolon at the end of a line."""


def migrate(db: sqlite3.Connection, migrations: tuple[Migration[str], ...]) -> None:
    """Brings a file up to date, all or nothing; several processes may do so at once.

    Raises `StoreError` for a file that needs a newer CloudServe.
    """
    with transaction(db):
        before = _level(db)
        after = before.after(migrations)
        for migration in migrations[before.applied :]:
            for statement in migration.change.split(";\n"):
                db.execute(statement)
        db.execute("DELETE FROM schema")
        db.execute("INSERT INTO schema (applied) VALUES (?)", (after.applied,))
        db.execute(f"PRAGMA user_version = {after.needs}")


def _level(db: sqlite3.Connection) -> Level:
    (needs,) = db.execute("PRAGMA user_version").fetchone()
    db.execute("CREATE TABLE IF NOT EXISTS schema (applied INTEGER NOT NULL)")
    row = db.execute("SELECT applied FROM schema").fetchone()
    return Level(applied=needs if row is None else row[0], needs=needs)
