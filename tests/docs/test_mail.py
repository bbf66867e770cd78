"""`docs/mail.md` names every setting and every letter, and tells the times and bounds that hold."""

import re
from pathlib import Path

from cloudserve.core.auth.codes import ATTEMPTS, LIFETIME
from cloudserve.core.connections import Connections
from cloudserve.core.mail.smtp import Patience

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mail.md").read_text("utf-8")
NUMBERS = {4: "Four", 5: "five"}


def test_every_setting_is_on_the_page() -> None:
    """And none that there is not."""
    settings = {
        f"CLOUDSERVE_{name.upper()}" for name in Connections.model_fields if name.startswith(("smtp_", "mail_"))
    }
    table = PAGE.partition("## Settings")[2].partition("\nA provider's")[0]
    assert set(re.findall(r"`(CLOUDSERVE_(?:SMTP|MAIL)_\w+)`", table)) == settings


def test_every_letter_is_on_the_page() -> None:
    """By its subject."""
    source = (ROOT / "platform" / "api" / "letters.py").read_text("utf-8")
    subjects = re.findall(r'^        to,\n        "([^"]+)",$', source, re.MULTILINE)
    table = PAGE.partition("| letter |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| ([A-Z][^|]+) \|", table, re.MULTILINE)) == set(subjects)


def test_the_times_and_bounds_are_those_that_hold() -> None:
    """Of codes, attempts, connections and waiting mails."""
    patience = Patience()
    text = " ".join(PAGE.split())
    assert f"good for {LIFETIME.total_seconds() / 60:.0f} minutes and {NUMBERS[ATTEMPTS]} tries" in text
    assert f"asked {NUMBERS[len(patience.pauses_seconds) + 1]} times" in text
    assert 80 <= sum(patience.pauses_seconds) <= 95  # a minute and a half
    assert f"{patience.connect_seconds:.0f} seconds to the greeting and {patience.hand_over_seconds:.0f} in all" in text
    assert f"{NUMBERS[patience.connections]} connections at once and {patience.mails} mails waiting" in text
    assert f"waited for {patience.give_up_seconds / 60:.0f} minutes" in text
