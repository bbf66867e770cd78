"""Invitations say whom they are for, and nobody can write one but the platform."""

import json
import os
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.core.auth import invitations as module
from cloudserve.core.auth.invitations import Invitations
from cloudserve.core.auth.sealing import Sealer


def test_an_invitation_names_its_address() -> None:
    """To the platform that wrote it."""
    key = os.urandom(32)
    invitation, expires_at = Invitations(Sealer(key)).issue("ada@example.com")
    assert Invitations(Sealer(key)).invited(invitation) == "ada@example.com"
    assert Invitations(Sealer(os.urandom(32))).invited(invitation) is None
    assert expires_at > module.utc_now() + timedelta(days=6)


def test_an_invitation_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a week."""
    invitations = Invitations(Sealer(os.urandom(32)))
    invitation, expires_at = invitations.issue("ada@example.com")
    monkeypatch.setattr(module, "utc_now", lambda: expires_at)
    assert invitations.invited(invitation) is None


def test_what_was_sealed_for_something_else_is_none() -> None:
    """A secret of a function can't pass for one."""
    sealer = Sealer(os.urandom(32))
    sealed = sealer.seal(json.dumps({"email": "eve@example.com", "expires": 9e9}), context="f1/TOKEN")
    assert Invitations(sealer).invited(module.PREFIX + module.base64.urlsafe_b64encode(sealed).decode()) is None


@given(st.text(max_size=200))
def test_nonsense_is_no_invitation(text: str) -> None:
    """Whatever it is."""
    assert Invitations(Sealer(b"k" * 32)).invited(text) is None
