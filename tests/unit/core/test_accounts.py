"""Names of owners and mail addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.core.accounts import RESERVED_NAMES, name_fault, normal_email, suggested_name


@pytest.mark.parametrize("name", ["ada", "ada-lovelace", "a1b", "007", "x" * 39])
def test_good_names(name: str) -> None:
    """Lower case letters, digits and single hyphens between them, 3 to 39 of them."""
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name", ["", "ab", "x" * 40, "Ada", "ada_", "-ada", "ada-", "a--b", "a b", "adä", "٣٣٣", "ada\n"]
)
def test_bad_names(name: str) -> None:
    """The fault names a remedy."""
    fault = name_fault(name)
    assert fault is not None
    assert fault.remedy


@pytest.mark.parametrize("name", ["api", "run", "admin", "www", "healthz", "static", "assets"])
def test_reserved_names(name: str) -> None:
    """Nobody gets one by signing up; the infrastructure program may give one to the administrator."""
    assert name in RESERVED_NAMES
    assert name_fault(name) is not None
    assert name_fault(name, reserved=False) is None


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("admin@cloudserve.localhost", "admin@cloudserve.localhost"),
        ("ada@münchen.example.com", "ada@münchen.example.com"),
        ("ada@XN--MNCHEN-3YA.example.com", "ada@münchen.example.com"),
        ("ada", None),
        ("ada@", None),
        ("a b@example.com", None),
        ("ada@example.com\nbcc: eve@example.com", None),
        ("Ada <ada@example.com>", None),
    ],
)
def test_mail_addresses_have_one_form(text: str, email: str | None) -> None:
    """Of one line, without a display name."""
    assert normal_email(text) == email


@given(st.emails())
def test_a_suggested_name_is_a_good_one(email: str) -> None:
    """Whatever the mail address."""
    assert name_fault(suggested_name(email)) is None


@given(st.text(max_size=300))
def test_normalising_twice_changes_nothing(text: str) -> None:
    """And no text raises."""
    email = normal_email(text)
    assert email is None or normal_email(email) == email
