"""Deploying, looking at, changing and deleting functions."""

import io
import json
import tarfile

import pytest

from cloudserve.api.middleware import BODY_LIMIT
from tests.unit.api.support import Platform, User

HELLO = {"name": "hello", "code": "module.exports = () => 'hello'\n", "filename": "hello.js"}


def archive(**files: str) -> bytes:
    """Returns a .tar.gz of some files; `_dot_` stands for a dot in their names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace("_dot_", "."))
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


async def test_a_deploy_answers_at_once(ada: User) -> None:
    """With the function as it is now, and the build that goes on."""
    answer = await ada.http.post("/api/functions/deploy", json=HELLO)
    assert answer.status_code == 202
    function, build = answer.json()["function"], answer.json()["build"]
    assert function["status"] == build["status"] == "pending"
    assert function["endpoint"] == "http://127.0.0.1:7701/run/ada/hello"
    assert function["user"] == ada.id
    assert function["version"] is None
    assert build["version"] == 1
    assert (await ada.http.get(f"/api/builds/{build['_id']}")).json()["build"] == build
    assert (await ada.http.get(f"/api/functions/{function['_id']}/builds")).json()["builds"] == [build]


async def test_a_function_has_the_fields_that_clients_know(ada: User) -> None:
    """Those of the original dashboard, and what came since; of its environment, the names alone."""
    body = HELLO | {"environment": {"GREETING": "hidden value"}, "limits": {"timeoutSeconds": 3}, "auth": "public"}
    made = (await ada.http.post("/api/functions/deploy", json=body)).json()["function"]
    original = {
        "_id", "user", "name", "isActive", "status", "deployError", "deployedAt", "sourcePath", "bundlePath",
        "sourceHash", "bundleHash", "depHash", "endpoint", "version", "stats", "createdAt", "updatedAt",
    }  # fmt: skip
    since = {
        "latestVersion", "runtime", "language", "entry", "handler", "limits", "egress", "environment", "secrets",
        "auth", "cors",
    }  # fmt: skip
    assert set(made) == original | since
    assert made["stats"] == {"executed": 0, "errors": 0, "avgLatency": 0, "avgMemory": 0, "lastExecuted": None}
    assert made["environment"] == ["GREETING"]
    assert made["limits"]["timeoutSeconds"] == 3
    answer = await ada.http.get(f"/api/functions/{made['_id']}")
    shown = answer.json()["function"]
    assert {name: shown[name] for name in made} == made
    assert (shown["filename"], shown["code"], shown["files"]) == ("hello.js", HELLO["code"], ["hello.js"])
    assert "hidden value" not in answer.text
    assert (await ada.http.get("/api/functions")).json()["functions"] == [made]


async def test_an_archive_comes_as_a_form(ada: User) -> None:
    """With the options as JSON beside it."""
    content = archive(index_dot_js="module.exports = require('./lib')\n", lib_dot_js="module.exports = () => 1\n")
    answer = await ada.http.post(
        "/api/functions/deploy",
        files={"archive": ("app.tar.gz", content)},
        data={"options": json.dumps({"name": "app", "limits": {"memoryMb": 256}})},
    )
    assert answer.status_code == 202, answer.text
    function = answer.json()["function"]
    assert function["limits"]["memoryMb"] == 256
    shown = (await ada.http.get(f"/api/functions/{function['_id']}")).json()["function"]
    assert sorted(shown["files"]) == ["index.js", "lib.js"]
    assert shown["filename"] == "index.js"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Not A Name"}, "name"),
        ({"name": None}, "name"),
        ({"code": None}, "code"),
        ({"runtime": "cobol"}, "runtime"),
        ({"limits": {"memoryMb": 1}}, "limits.memoryMb"),
        ({"limits": {"cpu": 1}}, "limits.cpu"),
        ({"limits": {"memoryMb": "128"}}, "limits.memoryMb"),
        ({"cors": {"credentials": 1}}, "cors.credentials"),
        ({"cors": {"methods": ["GET\r\nSet-Cookie: cloudserve=css_x"]}}, "cors.methods.0"),
        ({"cors": {"headers": ["x-a\r\n\r\n<script>"]}}, "cors.headers.0"),
        ({"cors": {"origins": ["https://a.example\n"]}}, "cors.origins.0"),
        ({"environment": {"NODE_OPTIONS": "--inspect"}}, "environment"),
        ({"secrets": ["LD_PRELOAD"]}, "secrets"),
        ({"auth": "nobody"}, "auth"),
        ({"isActive": False}, "isActive"),
        ({"ownerId": "another"}, "ownerId"),
        ({"status": "active"}, "status"),
    ],
)
async def test_a_fault_in_a_deploy_names_its_field(ada: User, change: dict[str, object], field: str) -> None:
    """And leaves no function behind."""
    body = {name: value for name, value in (HELLO | change).items() if value is not None}
    answer = await ada.http.post("/api/functions/deploy", json=body)
    assert answer.status_code == 422, answer.text
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert (await ada.http.get("/api/functions")).json()["functions"] == []


async def test_a_form_is_held_to_its_fields(ada: User) -> None:
    """Unknown ones, a missing archive and options that are no JSON are told apart."""
    content = archive(index_dot_js="module.exports = 1\n")
    for files, data, status, field in [
        ({"archive": ("a.tgz", content)}, {"options": "{"}, 400, None),
        ({"archive": ("a.tgz", content)}, {"options": '{"code": "x", "name": "app"}'}, 422, "code"),
        ({"archive": ("a.tgz", content)}, {"other": "{}"}, 422, "other"),
        ({"options": ("a.json", b"{}")}, {}, 422, "archive"),
        ({"archive": ("a.tgz", content), "second": ("b.tgz", content)}, {}, 400, None),
    ]:
        answer = await ada.http.post("/api/functions/deploy", files=files, data=data)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert [error["field"] for error in answer.json().get("errors", [])] == ([field] if field else [])


async def test_a_name_is_used_once(platform: Platform, ada: User) -> None:
    """By one owner; another may have a function of that name."""
    await ada.http.post("/api/functions/deploy", json=HELLO)
    answer = await ada.http.post("/api/functions/deploy", json=HELLO)
    assert (answer.status_code, answer.json()["reason"]) == (422, "name-taken")
    bob = await platform.signed_up("bob")
    assert (await bob.http.post("/api/functions/deploy", json=HELLO)).status_code == 202


async def test_a_deploy_may_be_as_large_as_the_settings_say(ada: User, platform: Platform) -> None:
    """Beyond that it is refused before it is parsed, and before it was all sent."""
    code = "// " + "x" * (2 * BODY_LIMIT) + "\nmodule.exports = 1\n"
    assert (await ada.http.post("/api/functions/deploy", json=HELLO | {"code": code})).status_code == 202
    limit = (platform.settings.max_archive_mb + 1) * 1024 * 1024
    answer = await ada.http.post("/api/functions/deploy", json=HELLO | {"code": "x" * limit})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "code")
    form = {"archive": ("app.tar.gz", b"x" * limit)}
    answer = await ada.http.post("/api/functions/deploy", files=form, data={"options": '{"name": "large"}'})
    assert (answer.status_code, answer.json()["errors"][0]["limit"]) == (422, "25 MiB")


async def test_only_who_may_deploy_may_send_much(platform: Platform) -> None:
    """Who is not signed in is told so before the body is read."""
    answer = await platform.client().post("/api/functions/deploy", json=HELLO | {"code": "x" * 2 * BODY_LIMIT})
    assert answer.status_code == 401


async def test_a_redeploy_takes_what_is_changed(ada: User) -> None:
    """An empty body builds the newest sources again; a file or an archive replaces them."""
    function = (await ada.http.post("/api/functions/deploy", json=HELLO)).json()["function"]
    path = f"/api/functions/{function['_id']}/redeploy"
    again = await ada.http.post(path)
    assert again.status_code == 202, again.text
    assert again.json()["build"]["version"] == 2
    new = await ada.http.post(path, json={"code": "exports.handler = () => 2\n", "filename": "hello.js"})
    assert new.json()["build"]["version"] == 3
    shown = (await ada.http.get(f"/api/functions/{function['_id']}")).json()["function"]
    assert shown["code"] == "exports.handler = () => 2\n"
    content = archive(main_dot_py="def handler(context):\n    return 3\n")
    form = await ada.http.post(path, files={"archive": ("app.tar.gz", content)})
    assert form.status_code == 202, form.text
    assert form.json()["build"]["version"] == 4
    half = await ada.http.post(path, json={"filename": "hello.js"})
    assert half.json()["errors"][0]["field"] == "code"
    text = await ada.http.post(path, content=b"code", headers={"content-type": "text/plain"})
    assert text.status_code == 415


async def test_pausing_needs_no_build(ada: User) -> None:
    """Nor do the rules of access."""
    function = (await ada.http.post("/api/functions/deploy", json=HELLO)).json()["function"]
    path = f"/api/functions/{function['_id']}"
    paused = await ada.http.put(path, json={"isActive": False, "name": "hello"})
    assert paused.status_code == 200, paused.text
    assert paused.json()["build"] is None
    assert paused.json()["function"]["isActive"] is False
    opened = await ada.http.put(
        path, json={"isActive": True, "auth": "public", "cors": {"origins": ["https://a.example"]}}
    )
    assert opened.json()["function"]["isActive"] is True
    assert opened.json()["function"]["auth"] == "public"
    assert opened.json()["function"]["cors"]["origins"] == ["https://a.example"]
    closed = await ada.http.put(path, json={"cors": None})
    assert closed.json()["function"]["cors"] is None
    assert closed.json()["function"]["auth"] == "public"


async def test_a_change_of_code_makes_a_version(ada: User) -> None:
    """And what is wrong with it changes nothing at all."""
    function = (await ada.http.post("/api/functions/deploy", json=HELLO)).json()["function"]
    path = f"/api/functions/{function['_id']}"
    wrong = await ada.http.put(path, json={"isActive": False, "environment": {"LD_PRELOAD": "x"}})
    assert wrong.status_code == 422
    assert (await ada.http.get(path)).json()["function"]["isActive"] is True
    right = await ada.http.put(path, json={"code": "module.exports = 2\n", "filename": "hello.js"})
    assert right.json()["build"]["version"] == 2
    renamed = await ada.http.put(path, json={"name": "other"})
    assert renamed.json()["errors"][0]["field"] == "name"


async def test_one_file_keeps_its_name(ada: User) -> None:
    """When its code comes without one; of several files, nobody could tell which is meant."""
    function = (await ada.http.post("/api/functions/deploy", json=HELLO)).json()["function"]
    path = f"/api/functions/{function['_id']}"
    assert (await ada.http.put(path, json={"name": "hello", "code": "module.exports = 2\n"})).status_code == 200
    shown = (await ada.http.get(path)).json()["function"]
    assert (shown["filename"], shown["code"]) == ("hello.js", "module.exports = 2\n")
    content = archive(index_dot_js="module.exports = require('./lib')\n", lib_dot_js="module.exports = 1\n")
    await ada.http.post(f"{path}/redeploy", files={"archive": ("app.tar.gz", content)})
    answer = await ada.http.put(path, json={"code": "module.exports = 3\n"})
    assert answer.json()["errors"][0]["field"] == "filename"


async def test_a_deleted_function_is_gone(ada: User) -> None:
    """And its name is free."""
    function = (await ada.http.post("/api/functions/deploy", json=HELLO)).json()["function"]
    path = f"/api/functions/{function['_id']}"
    assert (await ada.http.delete(path)).json() == {"deleted": 1}
    assert (await ada.http.get(path)).status_code == 404
    assert (await ada.http.delete(path)).status_code == 404
    assert (await ada.http.post("/api/functions/deploy", json=HELLO)).status_code == 202
