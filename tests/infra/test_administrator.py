"""The resource `Administrator` against a real control plane: whatever is cut off, nobody is locked out."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pulumi_cloudserve.provider import administrator as module
from pulumi_cloudserve.provider.administrator import AdministratorHandler
from tests.unit.api.serving import Served, serving

CONTEXT: Any = None  # the handler asks nothing of the engine


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A control plane without an administrator."""
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def inputs(served: Served, tmp_path: Path) -> dict[str, Any]:
    """What the program gives to the resource."""
    return {
        "url": served.url,
        "credentials": str(tmp_path / "credentials"),
        "email": "admin@cloudserve.localhost",
        "userName": "admin",
        "fullName": "Administrator",
    }


def opens(served: Served, key: str) -> bool:
    """Tells whether a key is the administrator's."""
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx2.get(f"{served.url}/api/auth/me", headers=headers, trust_env=False)
    return answer.status_code == 200 and bool(answer.json()["user"]["isAdmin"])


def test_what_is_handed_out_opens_the_platform(served: Served, inputs: dict[str, Any]) -> None:
    """And is kept in a private file."""
    _, outputs = AdministratorHandler().create(inputs, CONTEXT)
    assert opens(served, outputs["apiKey"])
    assert not outputs["apiKeyStale"]
    assert not outputs["passwordStale"]
    file = Path(inputs["credentials"]) / module.KEPT
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_answer_that_is_lost_loses_no_key(
    served: Served, inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next `up` hands out the very key that the account was made with."""
    call = module._call

    def cut_off(*arguments: Any) -> Any:
        call(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_call", cut_off)
    with pytest.raises(KeyboardInterrupt):
        AdministratorHandler().create(inputs, CONTEXT)
    monkeypatch.undo()
    _, outputs = AdministratorHandler().create(inputs, CONTEXT)
    assert opens(served, outputs["apiKey"])
    assert not outputs["apiKeyStale"]


def test_an_account_of_before_keeps_its_key(served: Served, inputs: dict[str, Any]) -> None:
    """When the file is lost, no key is made up for it."""
    _, first = AdministratorHandler().create(inputs, CONTEXT)
    file = Path(inputs["credentials"]) / module.KEPT
    file.unlink()
    _, second = AdministratorHandler().create(inputs, CONTEXT)
    assert opens(served, first["apiKey"])
    assert (second["apiKey"], second["apiKeyStale"]) == ("", True)
    assert "apiKey" not in json.loads(file.read_text())
