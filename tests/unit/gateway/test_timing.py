"""The `Server-Timing` header: valid, whatever modules are called."""

import re

from hypothesis import given
from hypothesis import strategies as st

from cloudserve.gateway.timing import server_timing
from cloudserve.sandbox.abc import ColdStart

METRIC = r"[a-z]+(?:;desc=\"(?:[ !#-\[\]-~]|\\[\"\\])*\")?;dur=\d+\.\d"


@given(st.lists(st.tuples(st.text(max_size=20), st.floats(0, 1e6)), max_size=5))
def test_any_name_of_a_module_makes_a_valid_header(imports: list[tuple[str, float]]) -> None:
    """Quoted as RFC 9110 has it, in ASCII."""
    value = server_timing(ColdStart(1, 2, 3, imports), None).decode("ascii")
    assert re.fullmatch(f"{METRIC}(?:, {METRIC})*", value)


def test_a_stream_has_no_time_of_its_handler_yet() -> None:
    """It begins before the handler has ended."""
    assert server_timing(ColdStart(1, 2, 3), None) == b"cold;dur=6.0, spawn;dur=1.0, walls;dur=2.0, load;dur=3.0"
    assert server_timing(ColdStart(1, 2, 3), 4).endswith(b", handler;dur=4.0")
