"""Records and rows: times to the millisecond, and nothing that JSON would mask."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from cloudserve.core.store.sqlite.deploys import BUILDS, VERSIONS
from cloudserve.core.store.sqlite.executions import LOGS, USAGES
from cloudserve.core.store.sqlite.functions import FUNCTIONS, SECRETS
from cloudserve.core.store.sqlite.owners import CODES, KEYS, OWNERS, SESSIONS
from cloudserve.core.store.sqlite.rows import Table, milliseconds, moment

TABLES = [OWNERS, KEYS, SESSIONS, CODES, FUNCTIONS, VERSIONS, BUILDS, SECRETS, USAGES, LOGS]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_secrets_and_bytes_are_columns(table: Table[Any]) -> None:
    """In a document they would be asterisks, or text."""
    for name, field in table.model.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        if kinds & {SecretStr, bytes}:
            assert name in table.columns


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7, minutes=-30))])))
def test_times_are_kept_to_the_millisecond(time: datetime) -> None:
    """Before 1970 too, in UTC, and in their order."""
    kept = moment(milliseconds(time))
    assert kept is not None
    assert timedelta(0) <= time - kept < timedelta(milliseconds=1)
    assert kept.tzinfo is UTC
    assert milliseconds(kept) == milliseconds(time)
