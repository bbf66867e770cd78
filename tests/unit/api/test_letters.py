"""What the platform writes to people."""

import shlex
from datetime import UTC, datetime

import pytest

from cloudserve.api import letters
from cloudserve.core.mail import Message
from cloudserve.core.models.owner import Owner

URL = "https://faas.example.com"
WHEN = datetime(2026, 11, 24, 3, 17, tzinfo=UTC)
ADA = Owner(name="ada", full_name="Ada Lovelace", email="ada@example.com", is_verified=True)
FRESH = ADA.model_copy(update={"is_verified": False, "full_name": "You won! Go to https://evil.example"})
LETTERS = {
    "verification": letters.verification(FRESH, "123456", to="ada@example.com", url=URL),
    "reset": letters.reset(ADA, "123456", to="ada@example.com", url=URL),
    "password changed": letters.password_changed(ADA, WHEN, to="ada@example.com", url=URL),
    "already known": letters.already_known(to="ada@example.com", url=URL),
    "invitation": letters.invitation("csi_abc", WHEN, to="ada@example.com", url=URL),
    "trial": letters.trial(to="ada@example.com", url=URL),
}


@pytest.mark.parametrize("made", LETTERS.values(), ids=LETTERS)
def test_every_letter_says_where_it_is_from(made: Message) -> None:
    """In both of its parts, and to whom it is."""
    assert made.to == "ada@example.com"
    assert made.text.endswith(f"\n\nCloudServe at {URL}\n")
    assert made.html is not None
    assert f"CloudServe at {URL}" in made.html


def test_a_code_stands_alone() -> None:
    """And the letter says how long it is good for; the subject, which shows on a locked screen, has none."""
    for kind in ("verification", "reset"):
        assert "\n    123456\n" in LETTERS[kind].text
        assert "10 minutes" in LETTERS[kind].text
        assert "123456" not in LETTERS[kind].subject


def test_who_is_not_known_to_own_an_address_has_no_words_in_the_letter_to_it() -> None:
    """Else a sign-up with somebody's address would send them anything in the platform's name."""
    for made in (LETTERS["verification"], letters.reset(FRESH, "123456", to="ada@example.com", url=URL)):
        assert made.text.startswith("Hello ada,")
        assert "evil" not in made.text + str(made.html)


def test_others_are_called_by_their_name() -> None:
    """However long it is and whatever it is written in."""
    for name in ("Ada Lovelace", " ".join(["Αδα"] * 25), "<b>Ada</b>"):
        owner = ADA.model_copy(update={"full_name": name})
        made = letters.reset(owner, "123456", to="ada@example.com", url=URL)
        assert " ".join(made.text.split()).startswith(f"Hello {name},")
        assert "<b>" not in str(made.html)


def test_the_command_of_an_invitation_is_safe_to_copy() -> None:
    """An address may hold signs that mean something to a shell."""
    made = letters.invitation("csi_abc", WHEN, to="`id`&$x@example.com", url=URL)
    [command] = [line.strip() for line in made.text.splitlines() if line.startswith("    ")]
    assert shlex.split(command)[-3:] == ["`id`&$x@example.com", "--invitation", "csi_abc"]
    assert "'`id`&$x@example.com'" in command


def test_a_time_has_its_zone() -> None:
    """Who reads it may be anywhere."""
    assert "2026-11-24 at 03:17 UTC" in LETTERS["password changed"].text
