"""Who is a member: lists, names that are looked up, and what look-ups that fail or lack some do not change."""

import asyncio
from collections.abc import Sequence

import pytest

from cloudserve.sandbox.remote import members
from cloudserve.sandbox.remote.members import ABSENCES, Address, BadMembers, Members, parse


def test_a_list_names_hosts_and_names() -> None:
    """With ports, IPv6 in brackets, and spaces where people put them."""
    assert parse("10.0.0.1:7710, [fd00::1]:7711,dns:sandbox.prod.svc:7712") == (
        [Address("10.0.0.1", 7710), Address("fd00::1", 7711)],
        [Address("sandbox.prod.svc", 7712)],
    )


@pytest.mark.parametrize("wrong", ["", "host", "host:", "host:0", "host:70000", "http://host:1", "a:1,,b:2", "dns:a"])
def test_what_can_not_be_read_is_named(wrong: str) -> None:
    """With what to write instead."""
    with pytest.raises(BadMembers, match="host:port"):
        parse(wrong)


async def test_addresses_of_a_name_join_at_once_and_leave_when_they_stay_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer that lacks an address, or none at all, moves nothing."""
    monkeypatch.setattr(members, "LOOK_UP_SECONDS", 0.001)
    answers: list[Sequence[str] | OSError] = [
        ["a", "b"],
        ["b"],
        OSError("no answer"),
        ["a", "b", "c"],
        *[["b", "c"]] * ABSENCES,
    ]
    told: list[list[str]] = []
    done = asyncio.Event()

    async def resolve(name: str, port: int) -> Sequence[str]:
        if not answers:
            done.set()
            await asyncio.Event().wait()
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    followed = Members("dns:sandbox:7710", lambda now: told.append([one.host for one in now]), resolve=resolve)
    await followed.start()
    await done.wait()
    await followed.close()
    assert told == [["a", "b"], ["a", "b", "c"], ["b", "c"]]
