"""Inviting someone, and trying the mail settings."""

import json

from tests.unit.cli.commands.conftest import Run
from tests.unit.cli.scripted import Scripted

INVITATION = {"invitation": "csi_abc", "email": "bob@example.com", "expiresAt": "2026-12-01T00:00:00Z"}


def test_an_invitation_is_all_there_is_on_standard_output(run: Run, signed_in: Scripted) -> None:
    """Beside it stands where it went, or that it is one's own to pass on."""
    for mailed, told in ((True, "on its way to bob@example.com"), (False, "sends no mail")):
        signed_in.answers("POST", "/api/admin/invitations", INVITATION | {"mailed": mailed}, 201)
        result = run("invite", "bob@example.com")
        assert result.stdout == "csi_abc\n"
        assert told in result.stderr
    assert json.loads(signed_in.bodies[-1]) == {"email": "bob@example.com"}


def test_the_mail_settings_are_tried(run: Run, signed_in: Scripted) -> None:
    """And the mail server's words are shown."""
    signed_in.answers("POST", "/api/admin/mail/test", {"message": "The mail server has taken it."})
    assert "has taken it" in run("mail", "test", "ann@example.com").stdout
    problem = {"message": "The mail server refused the mail: 535 wrong password.", "reason": "mail-failed"}
    signed_in.answers("POST", "/api/admin/mail/test", problem, 502)
    assert "535 wrong password" in run("mail", "test", "ann@example.com", code=1).stderr
