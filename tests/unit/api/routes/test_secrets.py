"""Secrets go in, and come out nowhere but in the function."""

from pathlib import Path

import pytest

from cloudserve.core.auth.sealing import SealBroken
from cloudserve.core.models.owner import Secret
from tests.unit.api.support import Platform, User


async def test_a_secret_is_sealed_for_its_function_and_name(platform: Platform, ada: User) -> None:
    """With the platform's key; the store has no plain text."""
    function = await platform.function_of(ada)
    answer = await ada.http.put(f"/api/functions/{function.id}/secrets/API_TOKEN", json={"value": "pssst, a secret"})
    assert answer.status_code == 200
    assert "pssst" not in answer.text
    (row,) = await platform.store.secrets.list(ada.id, function.id)
    sealer = platform.service.context.sealer
    assert sealer.open(row.ciphertext, context=f"{function.id}/API_TOKEN") == "pssst, a secret"
    with pytest.raises(SealBroken):
        sealer.open(row.ciphertext, context=f"{function.id}/OTHER")


async def test_a_function_that_goes_in_between_is_a_404(
    platform: Platform, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted after it was looked up and before its secret was kept."""
    function = await platform.function_of(ada)
    put = platform.store.secrets.put

    async def put_late(secret: Secret) -> None:
        await platform.store.functions.delete(ada.id, function.id)
        await put(secret)

    monkeypatch.setattr(platform.store.secrets, "put", put_late)
    answer = await ada.http.put(f"/api/functions/{function.id}/secrets/A", json={"value": "hidden"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "not-found")


async def test_only_names_are_listed(platform: Platform, ada: User) -> None:
    """By name, each with the time it was set."""
    function = await platform.function_of(ada)
    path = f"/api/functions/{function.id}/secrets"
    for name in ("B", "A", "B"):
        await ada.http.put(f"{path}/{name}", json={"value": "hidden"})
    answer = await ada.http.get(path)
    assert [set(secret) for secret in answer.json()["secrets"]] == [{"name", "updatedAt"}] * 2
    assert [secret["name"] for secret in answer.json()["secrets"]] == ["A", "B"]
    assert "hidden" not in answer.text


async def test_a_deleted_secret_is_gone(platform: Platform, ada: User) -> None:
    """The second time there is nothing to delete."""
    function = await platform.function_of(ada)
    path = f"/api/functions/{function.id}/secrets/A"
    await ada.http.put(path, json={"value": "hidden"})
    assert (await ada.http.delete(path)).json() == {"deleted": 1}
    assert (await ada.http.delete(path)).status_code == 404


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("lower", "x", "name"),
        ("1A", "x", "name"),
        ("A-B", "x", "name"),
        ("A" * 129, "x", "name"),
        ("NODE_OPTIONS", "x", "name"),
        ("CLOUDSERVE_URL", "x", "name"),
        ("A", "x" * 65537, "value"),
        ("A", "ä" * 32769, "value"),
        ("A", "a\0b", "value"),
        ("A", 7, "value"),
    ],
)
async def test_a_fault_names_its_field(platform: Platform, ada: User, name: str, value: object, field: str) -> None:
    """And no value is shown in the answer."""
    function = await platform.function_of(ada)
    answer = await ada.http.put(f"/api/functions/{function.id}/secrets/{name}", json={"value": value})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "xxxx" not in answer.text


async def test_a_function_has_a_hundred_secrets_at_most(platform: Platform, ada: User) -> None:
    """Changing one of them is still possible."""
    function = await platform.function_of(ada)
    path = f"/api/functions/{function.id}/secrets"
    for number in range(100):
        assert (await ada.http.put(f"{path}/S{number}", json={"value": "x"})).status_code == 200
    assert (await ada.http.put(f"{path}/ONE_MORE", json={"value": "x"})).status_code == 409
    assert (await ada.http.put(f"{path}/S7", json={"value": "y"})).status_code == 200


async def test_no_secret_is_on_the_disk_in_plain_text(platform: Platform, ada: User, tmp_path: Path) -> None:
    """Neither in the database nor anywhere else in the data folder."""
    function = await platform.function_of(ada)
    await ada.http.put(f"/api/functions/{function.id}/secrets/A", json={"value": "pssst-on-the-disk"})
    assert contents(tmp_path)
    assert not [content for content in contents(tmp_path) if b"pssst-on-the-disk" in content]


def contents(folder: Path) -> list[bytes]:
    """Returns what is in the files of a folder."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
