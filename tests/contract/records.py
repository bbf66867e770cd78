"""Records for the tests: valid, each with its own id; name what matters and leave the rest."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cloudserve.core.ids import new_id
from cloudserve.core.models.execution import ExecutionLog, LogLine, Usage
from cloudserve.core.models.function import Build, Function, Version, VersionSpec
from cloudserve.core.models.owner import ApiKey, Code, Owner, Secret, Session

NOW: Final = datetime(2026, 5, 4, 12, 0, 0, 123_000, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
SPEC: Final = VersionSpec(
    runtime="node", language="typescript", entry="index.ts", environment={"A": "ä"}, secrets=["T"]
)


def an_owner(name: str | None = None, **values: Any) -> Owner:
    return Owner(name=name or f"user-{new_id()}", **values)


def a_key(owner_id: str, **values: Any) -> ApiKey:
    values = {"key_hash": os.urandom(32).hex(), "hint": "csk_…abcd", "scopes": ["invoke"]} | values
    return ApiKey(owner_id=owner_id, **values)


def a_session(owner_id: str, **values: Any) -> Session:
    values = {"token_hash": os.urandom(32).hex(), "expires_at": NOW} | values
    return Session(owner_id=owner_id, **values)


def a_code(owner_id: str, **values: Any) -> Code:
    values = {"purpose": "verify", "code_hash": os.urandom(32).hex(), "expires_at": NOW} | values
    return Code(owner_id=owner_id, **values)


def a_function(owner_id: str, name: str | None = None, **values: Any) -> Function:
    return Function(owner_id=owner_id, name=name or f"f-{new_id()}", **values)


def a_version(function: Function, number: int = 1, **values: Any) -> Version:
    values = {
        "spec": SPEC,
        "source_path": f"{function.id}/src/{number}/source.tar.gz",
        "source_hash": "1" * 64,
        "bundle_path": f"{function.id}/bundle/{number}/bundle.tar.gz",
        "bundle_hash": "2" * 64,
        "bundle_entry": "index.cjs",
        "created_by": function.owner_id,
    } | values
    return Version(function_id=function.id, owner_id=function.owner_id, number=number, **values)


def a_build(function: Function, number: int = 1, **values: Any) -> Build:
    values = {
        "sequence": number,
        "spec": SPEC,
        "source_path": f"{function.id}/src/{number}/source.tar.gz",
        "source_hash": "1" * 64,
        "created_by": function.owner_id,
    } | values
    return Build(function_id=function.id, owner_id=function.owner_id, number=number, **values)


def a_secret(function: Function, name: str = "TOKEN", **values: Any) -> Secret:
    values = {"ciphertext": b"\x00\xff\x80sealed"} | values
    return Secret(function_id=function.id, owner_id=function.owner_id, name=name, **values)


def _call(function: Function) -> dict[str, Any]:
    return {
        "owner_id": function.owner_id,
        "function_id": function.id,
        "version": 1,
        "status": "success",
        "start_time": NOW,
        "end_time": NOW + timedelta(milliseconds=250),
        "duration": 250.5,
        "memory_used": 30.25,
    }


def a_usage(function: Function, **values: Any) -> Usage:
    return Usage(**_call(function) | {"status_code": 200} | values)


def a_log(function: Function, **values: Any) -> ExecutionLog:
    line = LogLine(level="info", message="hello", timestamp=NOW)
    identifier = new_id()
    return ExecutionLog(**_call(function) | {"id": identifier, "execution_id": identifier, "logs": [line]} | values)
