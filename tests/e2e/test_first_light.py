"""The whole of CloudServe as a user meets it: one command on a bare machine, and functions answer over HTTP.

Every step goes through the launcher, the real Pulumi engine and real processes; each builds on the ones before.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.e2e.load import calling
from tests.e2e.machine import CHECKOUT, FUNCTIONS, Machine, free_ports

pytestmark = [pytest.mark.full, pytest.mark.steps]

PASSWORD = "correct horse battery staple"
EMAIL = "ann@example.com"


class Walk:
    """What the steps hand on to each other."""

    def __init__(self, machine: Machine, port: int, run_port: int) -> None:
        self.machine = machine
        self.url = f"http://localhost:{port}"
        self.run_url = f"http://127.0.0.1:{run_port}"
        self.ann: dict[str, str] = {}

    def as_ann(self, *arguments: str | Path, stdin: str = "") -> Any:
        """Runs a verb with Ann's key and returns its JSON."""
        return self.machine.json(*arguments, stdin=stdin, env=self.ann)

    def says(self, *arguments: str | Path, code: int = 0) -> str:
        """Runs a verb with Ann's key and returns its standard output."""
        return self.machine.cloudserve(*arguments, env=self.ann, code=code).stdout

    def get(self, path: str) -> Any:
        """Asks the API with Ann's key."""
        key = self.ann["CLOUDSERVE_API_KEY"]
        answer = httpx2.get(self.url + path, headers={"Authorization": f"Bearer {key}"}, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def instance(self) -> str:
        """Returns the token of the platform that answers."""
        answer = httpx2.get(self.url + "/healthz", trust_env=False)
        return str(answer.json()["instance"])


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A machine on which nothing was ever run, with sign-up open. Whatever is left at the end is ended and removed."""
    home = tmp_path_factory.mktemp("home")
    machine = Machine(home, f"walk{psutil.Process().pid}")
    port, run_port = free_ports(2)
    machine.configure(target="local", port=port, runPort=run_port, signup="open")
    yield Walk(machine, port, run_port)
    for process in machine.processes():
        process.kill()
    machine.stack_file.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def toggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a function of two files, each of which tells its version."""
    return tmp_path_factory.mktemp("toggle")


def _write_toggle(folder: Path, mark: str) -> None:
    (folder / "index.js").write_text(
        f"const second = require('./second');\nmodule.exports = () => ({{ first: '{mark}', second: second.mark }});\n"
    )
    (folder / "second.js").write_text(f"exports.mark = '{mark}';\n")


def test_up_starts_a_platform_and_tells_where_it_is(walk: Walk) -> None:
    """From nothing, with one command that asks nothing; outputs print just their value."""
    done = walk.machine.cloudserve("up", walk.machine.stack)
    assert walk.url in done.stdout + done.stderr
    assert _output(walk, "url") == walk.url
    assert _output(walk, "runUrl") == walk.run_url
    assert _output(walk, "adminApiKey").startswith("csk_")


def test_after_up_this_machine_is_signed_in_as_the_administrator(walk: Walk) -> None:
    """Without a further word."""
    assert walk.machine.json("functions") == {"functions": []}


def test_a_stranger_signs_up(walk: Walk) -> None:
    """With a password that comes on standard input; the key of this machine is then hers."""
    options = ("--email", EMAIL, "--user-name", "ann", "--full-name", "Ann Lee", "--url", walk.url)
    made = walk.machine.json("signup", *options, stdin=PASSWORD)
    assert made["user"]["userName"] == "ann"
    key = walk.machine.cloudserve("key", "show").stdout.strip()
    walk.ann = {"CLOUDSERVE_URL": walk.url, "CLOUDSERVE_API_KEY": key}
    assert walk.as_ann("functions") == {"functions": []}


@pytest.mark.parametrize("name", ["slugs", "prices", "recipes", "greeter"])
def test_a_function_is_deployed(walk: Walk, name: str) -> None:
    """Node with an npm package, TypeScript in several files, Python with a PyPI package, an AWS Lambda handler."""
    deployed = walk.as_ann("deploy", FUNCTIONS / name)
    assert deployed["function"]["status"] == "active"
    assert deployed["function"]["endpoint"] == f"{walk.run_url}/run/ann/{name}"


def test_a_node_function_answers_with_its_npm_package(walk: Walk) -> None:
    """A query goes in, JSON comes out."""
    assert json.loads(walk.says("invoke", "slugs", "--query", "title=First Light")) == {"slug": "first-light"}


def test_a_typescript_function_answers_out_of_several_files(walk: Walk) -> None:
    """JSON goes in, JSON comes out."""
    basket = {"items": [{"cents": 250, "currency": "EUR"}, {"cents": 199, "currency": "EUR"}]}
    answer = walk.says("invoke", "prices", "--data", json.dumps(basket))
    assert json.loads(answer) == {"total": "4.49 EUR", "items": 2}


def test_a_python_function_answers_with_its_pypi_package(walk: Walk) -> None:
    """Text goes in, JSON comes out."""
    answer = walk.says("invoke", "recipes", "--data", "name: soup\nneeds: [water, salt]\n")
    assert json.loads(answer) == {"name": "soup", "ingredients": 2}


def test_a_lambda_handler_answers_unchanged(walk: Walk) -> None:
    """With its own status, headers and a body in base 64."""
    answer = walk.as_ann("invoke", "greeter", "--query", "name=Ann")
    assert (answer["statusCode"], answer["body"]) == (201, "Hello, Ann!")
    assert answer["headers"]["x-method"] == "GET"


def test_a_call_that_fails_ends_with_an_error(walk: Walk) -> None:
    """With a reason on standard error, so that a script notices."""
    done = walk.machine.cloudserve("invoke", "recipes", "--data", "[", env=walk.ann, code=1)
    assert "error:" in done.stderr
    unknown = walk.machine.cloudserve("invoke", "nothing", env=walk.ann, code=1)
    assert "not" in unknown.stderr


def test_what_a_function_printed_is_in_its_logs(walk: Walk) -> None:
    """With its level, and how each call ended."""
    # Records go to the store in batches, a moment after the answer.
    _wait_for(lambda: len(walk.as_ann("logs", "recipes")["logs"]) == 2)
    [entry] = walk.as_ann("logs", "slugs")["logs"]
    assert entry["status"] == "success"
    assert [(line["level"], line["message"]) for line in entry["logs"]] == [("info", "slugging First Light for a GET")]
    newest, _ = walk.as_ann("logs", "recipes")["logs"]
    assert newest["status"] == "error"
    assert "adding up 2 items" in walk.says("logs", "prices")


def test_usage_counts_the_calls(walk: Walk) -> None:
    """One record a call, and running totals on the function."""
    functions = {function["name"]: function for function in walk.as_ann("functions")["functions"]}
    usages = walk.get(f"/api/usages/{functions['recipes']['_id']}")["usages"]
    assert sorted(usage["status"] for usage in usages) == ["error", "success"]
    stats = functions["recipes"]["stats"]
    assert (stats["executed"], stats["errors"]) == (2, 1)


def test_an_update_under_load_fails_no_call_and_mixes_no_answer(walk: Walk, toggle: Path) -> None:
    """Every caller sees the old version, then the new one, each whole."""
    _write_toggle(toggle, "old")
    endpoint = walk.as_ann("deploy", toggle, "--name", "toggle")["function"]["endpoint"]
    _write_toggle(toggle, "new")
    with calling(endpoint, walk.ann["CLOUDSERVE_API_KEY"]) as answers:
        walk.as_ann("deploy", toggle, "--name", "toggle")
        after = json.loads(walk.says("invoke", "toggle"))
    assert answers.failures == []
    assert after == {"first": "new", "second": "new"}
    marks = [[json.loads(body) for body in caller] for caller in answers.by_caller]
    assert {(mark["first"], mark["second"]) for caller in marks for mark in caller} == {("old", "old"), ("new", "new")}
    for caller in marks:
        assert [mark["first"] for mark in caller] == sorted((mark["first"] for mark in caller), reverse=True)


def test_a_changed_setting_is_taken_up_under_load_without_a_failed_call(walk: Walk) -> None:
    """Another process answers afterwards, and no caller has noticed."""
    before = {process.pid for process in _servers(walk)}
    endpoint = walk.as_ann("functions")["functions"][0]["endpoint"]
    walk.machine.configure(maxBodyMb=5)
    with calling(endpoint, walk.ann["CLOUDSERVE_API_KEY"]) as answers:
        walk.machine.cloudserve("up", walk.machine.stack)
    assert answers.failures == []
    assert {process.pid for process in _servers(walk)} != before


def test_a_kill_under_load_loses_no_record_of_an_answered_call(walk: Walk) -> None:
    """The supervisor starts the platform again; each answer that a caller has is in the usage."""
    toggle = next(function for function in walk.as_ann("functions")["functions"] if function["name"] == "toggle")
    calls = _calls(walk, "toggle")
    with calling(toggle["endpoint"], walk.ann["CLOUDSERVE_API_KEY"]) as answers:
        _wait_for(lambda: sum(answers.counts.values()) > 100)
        _platform_process(walk).kill()
        killed_at = sum(answers.counts.values())
        _wait_for(lambda: sum(answers.counts.values()) > killed_at + 100)
    _wait_for(lambda: _calls(walk, "toggle") >= calls + sum(answers.counts.values()))


def test_a_deploy_survives_a_kill_of_the_platform(walk: Walk, tmp_path: Path) -> None:
    """The build is taken up again, and the command that waits for it ends well."""
    (tmp_path / "main.py").write_text("import humanize\n\n\ndef handler():\n    return humanize.intcomma(1234567)\n")
    (tmp_path / "requirements.txt").write_text("humanize==4.12.3\n")
    with walk.machine.started("deploy", tmp_path, "--name", "numbers", env=walk.ann) as deploy:
        _wait_for(lambda: _status(walk, "numbers") == "deploying")
        _platform_process(walk).kill()
        said = deploy.communicate(timeout=300)
    assert deploy.returncode == 0, said
    assert walk.says("invoke", "numbers") == "1,234,567"


def test_a_rollback_lets_the_old_version_answer(walk: Walk) -> None:
    """As soon as the command has ended."""
    assert _versions(walk) == [(2, True), (1, False)]
    walk.as_ann("rollback", "toggle", "1")
    assert json.loads(walk.says("invoke", "toggle"))["first"] == "old"
    assert _versions(walk) == [(2, False), (1, True)]


def test_a_second_up_changes_nothing(walk: Walk) -> None:
    """The engine finds nothing to do, and the same platform goes on."""
    before = walk.instance(), sorted(process.pid for process in _servers(walk))
    walk.machine.cloudserve("up", walk.machine.stack)
    walk.machine.shell("pulumi preview --expect-no-changes --non-interactive")
    assert (walk.instance(), sorted(process.pid for process in _servers(walk))) == before


def test_a_platform_that_was_killed_comes_back_with_up_alone(walk: Walk) -> None:
    """Every process of it killed at once; nothing of what was answered is lost, and there is no second one."""
    count = len(_servers(walk))
    calls = _calls(walk, "slugs")
    for process in _servers(walk):
        process.send_signal(signal.SIGKILL)
    walk.machine.cloudserve("up", walk.machine.stack)
    assert _calls(walk, "slugs") == calls
    assert json.loads(walk.says("invoke", "slugs", "--query", "title=Back again")) == {"slug": "back-again"}
    assert len(_servers(walk)) == count


def test_destroy_ends_everything_but_the_data(walk: Walk) -> None:
    """Nothing listens and nothing runs any more."""
    walk.machine.cloudserve("down", walk.machine.stack, "--yes")
    done = walk.machine.cloudserve("functions", env=walk.ann, code=1)
    assert "isn't running" in done.stderr
    assert walk.machine.processes() == []
    assert walk.machine.data.is_dir()


def test_the_next_up_gives_back_users_keys_and_functions(walk: Walk) -> None:
    """Ann's key opens the same functions, her password signs her in, and what was live is live."""
    walk.machine.cloudserve("up", walk.machine.stack)
    names = {function["name"] for function in walk.as_ann("functions")["functions"]}
    assert names == {"slugs", "prices", "recipes", "greeter", "toggle", "numbers"}
    assert json.loads(walk.says("invoke", "toggle")) == {"first": "old", "second": "old"}
    assert json.loads(walk.says("invoke", "slugs", "--query", "title=Still here")) == {"slug": "still-here"}
    signed_in = walk.machine.json("login", "--email", EMAIL, "--url", walk.url, stdin=PASSWORD)
    assert signed_in["user"]["userName"] == "ann"


def test_with_keep_data_false_nothing_is_left(walk: Walk) -> None:
    """Neither data nor process; and the checkout is as it was."""
    walk.machine.configure(keepData=False)
    walk.machine.cloudserve("up", walk.machine.stack)
    walk.machine.cloudserve("down", walk.machine.stack, "--yes")
    assert not walk.machine.data.exists()
    assert walk.machine.processes() == []
    ignored = walk.machine.stack_file.relative_to(CHECKOUT)
    assert str(ignored) not in walk.machine.run(["git", "-C", str(CHECKOUT), "status", "--porcelain"]).stdout


def _status(walk: Walk, name: str) -> str | None:
    statuses = {function["name"]: function["status"] for function in walk.get("/api/functions")["functions"]}
    return statuses.get(name)


def _platform_process(walk: Walk) -> psutil.Process:
    return next(process for process in _servers(walk) if "cloudserve.cli.platform" in process.cmdline())


def _wait_for(holds: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to hold in time"
        time.sleep(0.1)


def _output(walk: Walk, name: str) -> str:
    return walk.machine.cloudserve("output", name, "--stack", walk.machine.stack).stdout.removesuffix("\n")


def _servers(walk: Walk) -> list[psutil.Process]:
    """Returns the supervisor and the platform's process, without their workers."""
    return [process for process in walk.machine.processes() if "cloudserve.cli." in " ".join(process.cmdline())]


def _versions(walk: Walk) -> list[tuple[int, bool]]:
    return [(version["version"], version["isLive"]) for version in walk.as_ann("versions", "toggle")["versions"]]


def _calls(walk: Walk, name: str) -> int:
    functions = {function["name"]: function for function in walk.as_ann("functions")["functions"]}
    return int(functions[name]["stats"]["executed"])
