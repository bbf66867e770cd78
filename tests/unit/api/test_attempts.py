"""Whom a limit on guessing counts as one caller."""

import pytest
from starlette.requests import Request

from cloudserve.api.attempts import Attempts, address_of
from cloudserve.core.errors import Problem


def request_from(address: str) -> Request:
    """Returns a request of a caller."""
    return Request({"type": "http", "client": (address, 50000), "headers": []})


@pytest.mark.parametrize(
    ("address", "known_as"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_what_one_subscriber_has(address: str, known_as: str) -> None:
    """For IPv6 that is a whole /64, of which everyone has more addresses than can be counted."""
    assert address_of(request_from(address)) == known_as


def test_a_request_over_a_unix_socket_has_no_address() -> None:
    """All of them count as one caller."""
    assert address_of(Request({"type": "http", "client": None, "headers": []})) == ""


def test_signing_in_forgets_the_tries_before() -> None:
    """Somebody else's guesses don't keep an owner out who gets in once; the address is still counted."""
    attempts = Attempts()
    for number in range(30):
        if number % 10 == 0:
            attempts.signed_in("ada@example.com")
        attempts.login(request_from("203.0.113.7"), "ada@example.com")
    with pytest.raises(Problem) as refused:
        attempts.login(request_from("198.51.100.7"), "ada@example.com")
    assert refused.value.status == 429
    attempts.signed_in("ada@example.com")
    attempts.login(request_from("198.51.100.7"), "ada@example.com")


def test_accounts_are_made_at_a_bounded_rate() -> None:
    """From one address."""
    attempts = Attempts()
    for _ in range(20):
        attempts.signup(request_from("203.0.113.7"))
    with pytest.raises(Problem):
        attempts.signup(request_from("203.0.113.7"))
    attempts.signup(request_from("203.0.113.8"))


def test_another_spelling_is_no_other_account() -> None:
    """Else each letter that folds to another would double the tries."""
    attempts = Attempts()
    spellings = [f"je{ending}@example.com" for ending in ("ss", "s\u017f", "\u017fs", "\u017f\u017f", "ß")]
    for number in range(10):
        attempts.login(request_from("203.0.113.7"), spellings[number % 5])
    with pytest.raises(Problem):
        attempts.login(request_from("203.0.113.7"), "jess@example.com")
    for number in range(5):
        attempts.send_code(request_from("203.0.113.7"), spellings[number])
    with pytest.raises(Problem):
        attempts.send_code(request_from("203.0.113.7"), "jess@example.com")
