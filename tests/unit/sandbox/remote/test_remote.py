"""A gateway's calls on hosts beyond a wire: answers, failures, streams, and what becomes of them when a host goes."""

import asyncio
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cloudserve.sandbox.abc import InvocationFailed
from cloudserve.sandbox.protocol import WINDOW_BYTES
from cloudserve.sandbox.remote.client import RemoteSandbox
from cloudserve.sandbox.remote.host import SandboxHost
from cloudserve.sandbox.remote.tls import GATEWAY, SANDBOX, NotLoopback
from tests.unit.sandbox.remote.certificates import Authority
from tests.unit.sandbox.remote.scripted import PART, Scripted, a_deployment, a_failure, hosts, make_call, read, until


async def test_a_call_and_its_answer_cross_unchanged(tmp_path: Path) -> None:
    """The host's sandbox sees the call and the deployment that the gateway had, and the gateway the host's answer."""
    async with hosts(tmp_path) as there:
        deployment = a_deployment(tmp_path, layer=a_deployment(tmp_path, "layer").code, handler="handler")
        call = make_call(path="/log", query=b"a=%00&b", headers=((b"x-a", b"\xff"), (b"x-a", b"")), body=b"\0body")
        answer = await there.remote.invoke(deployment, call)
        (sandbox,) = there.sandboxes.values()
        assert asdict(sandbox.begun[0]) == asdict(call)
        arrived = sandbox.deployments[0]
        assert (arrived.code / "main.py").read_text() == "# fun_1\n"
        assert arrived.layer is not None
        assert (arrived.layer / "main.py").read_text() == "# layer\n"
        assert replace(arrived, code=deployment.code, layer=deployment.layer) == deployment
        assert (answer.status, answer.headers, answer.body) == (200, ((b"x-host", b"host0"),), b"host0")
        outcome = answer.outcome
        assert (outcome.status, outcome.duration_ms, outcome.memory_mb) == ("success", 1.5, 20.25)
        assert [(entry.time, entry.level, entry.message) for entry in outcome.logs] == [(1.0, "info", "seen")]


async def test_a_failure_crosses_with_everything_it_has(tmp_path: Path) -> None:
    """Status, component, reason, Retry-After, and the outcome with its lines, signal and limit."""
    async with hosts(tmp_path) as there:
        with pytest.raises(InvocationFailed) as caught:
            await there.ask(a_deployment(tmp_path), "/fail")
        failed, told = caught.value, a_failure()
        assert (failed.status, failed.message, failed.component, failed.reason, failed.retry_after) == (
            told.status,
            told.message,
            told.component,
            told.reason,
            told.retry_after,
        )
        assert failed.outcome == told.outcome


async def test_a_deployment_is_sent_once_and_its_trees_once_to_each_host(tmp_path: Path) -> None:
    """However many calls wait for it, and however many versions share a tree."""
    async with hosts(tmp_path) as there:
        deployment = a_deployment(tmp_path)
        await asyncio.gather(*(there.ask(deployment) for _ in range(20)))
        again = replace(deployment, version_id="ver_2", number=2)
        await there.ask(again)
        (sandbox,) = there.sandboxes.values()
        assert len({id(arrived) for arrived in sandbox.deployments}) == 2
        trees = [path for path in (tmp_path / "trees0").rglob("*") if len(path.name) == 64]
        assert len(trees) == 1


async def test_a_changed_secret_is_another_deployment(tmp_path: Path) -> None:
    """The same version with another environment reaches the host as such."""
    async with hosts(tmp_path) as there:
        deployment = a_deployment(tmp_path)
        changed = replace(deployment, environment={"TOKEN": "new"})
        for one in (deployment, changed):
            await there.ask(one)
        (sandbox,) = there.sandboxes.values()
        assert [arrived.environment["TOKEN"] for arrived in sandbox.deployments] == ["s3cret", "new"]


async def test_a_body_that_comes_in_parts_reaches_the_host_at_its_pace(tmp_path: Path) -> None:
    """Its size is many times the window, and nothing is lost; whole bodies that are large go the same way."""
    async with hosts(tmp_path) as there:
        deployment = a_deployment(tmp_path)

        async def body() -> "asyncio.AsyncIterator[bytes]":  # type: ignore[name-defined]
            for _ in range(100):
                yield b"y" * 100_000

        for content in (body(), b"y" * 10_000_000):
            answer = await there.remote.invoke(deployment, make_call(path="/count", body=content))
            assert await read(answer) == b"10000000"


async def test_a_slow_reader_stalls_its_own_call_alone(tmp_path: Path) -> None:
    """The host sends no more of an answer than the window, while other calls on the same connection are answered."""
    async with hosts(tmp_path) as there:
        deployment = a_deployment(tmp_path)
        answer = await there.ask(deployment, "/parts")
        (sandbox,) = there.sandboxes.values()
        most = WINDOW_BYTES // len(PART) + 2
        await until(lambda: sandbox.sent >= most - 2)
        for _ in range(50):
            assert (await there.ask(deployment)).status == 200
        assert sandbox.sent <= most
        parts = answer.parts()
        for _ in range(2 * most):
            assert await anext(parts) == PART
        await answer.cancel()
        await until(lambda: bool(sandbox.given_up))
        assert answer.outcome.error == "The caller went away."


async def test_a_call_that_is_given_up_is_given_up_on_the_host(tmp_path: Path) -> None:
    """And nothing of its answer reaches anybody."""
    async with hosts(tmp_path) as there:
        deployment = a_deployment(tmp_path)
        task = asyncio.create_task(there.ask(deployment, "/held"))
        (sandbox,) = there.sandboxes.values()
        await until(lambda: bool(sandbox.held))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: bool(sandbox.given_up))
        sandbox.let_go()
        assert (await there.ask(deployment)).status == 200


async def test_warming_and_retiring_reach_the_host(tmp_path: Path) -> None:
    """`warm` returns when a worker is ready, and raises what the code did."""
    async with hosts(tmp_path) as there:
        (sandbox,) = there.sandboxes.values()
        deployment = a_deployment(tmp_path)
        await there.remote.warm(deployment)
        assert sandbox.warmed == [deployment.version_id]
        with pytest.raises(InvocationFailed) as caught:
            await there.remote.warm(a_deployment(tmp_path, "broken", entry="broken.py"))
        assert caught.value.reason == "out-of-memory"
        await there.remote.retire("fun_1", keep_version="ver_2")
        await until(lambda: sandbox.retired == [("fun_1", "ver_2")] * len(sandbox.retired) != [])


async def test_the_warm_minimum_moves_with_the_function(tmp_path: Path) -> None:
    """When the host that a function's workers are kept on goes away, another one keeps them."""
    async with hosts(tmp_path, count=2) as there:
        deployment = a_deployment(tmp_path)
        deployment = replace(deployment, limits=deployment.limits.model_copy(update={"min_warm": 1}))
        await there.remote.warm(deployment)
        (home,) = [name for name, sandbox in there.sandboxes.items() if sandbox.warmed]
        (other,) = there.sandboxes.keys() - {home}
        await there.hosts[home].close(grace_seconds=0)
        await until(lambda: bool(there.sandboxes[other].warmed))


async def test_calls_of_one_function_stay_on_one_host_until_it_is_busy(tmp_path: Path) -> None:
    """Warm workers are found again; what is more than the host's share goes to the next one."""
    async with hosts(tmp_path, count=3) as there:
        deployment = a_deployment(tmp_path)
        for _ in range(30):
            await there.ask(deployment)
        assert sorted(there.begun.values()) == [0, 0, 30]
        tasks = [asyncio.create_task(there.ask(deployment, "/held")) for _ in range(12)]
        await until(lambda: sum(len(sandbox.held) for sandbox in there.sandboxes.values()) == 12)
        assert max(len(sandbox.held) for sandbox in there.sandboxes.values()) <= 5
        for sandbox in there.sandboxes.values():
            sandbox.let_go()
        await asyncio.gather(*tasks)


async def test_a_draining_host_finishes_its_calls_and_gets_no_new_ones(tmp_path: Path) -> None:
    """Nobody notices: calls under way are answered there, the next ones elsewhere."""
    async with hosts(tmp_path, count=2) as there:
        deployment = a_deployment(tmp_path)
        held = asyncio.create_task(there.ask(deployment, "/held"))
        await until(lambda: any(sandbox.held for sandbox in there.sandboxes.values()))
        (home,) = [name for name, sandbox in there.sandboxes.items() if sandbox.held]
        closing = asyncio.create_task(there.hosts[home].close(grace_seconds=10))
        answers = await asyncio.gather(*(there.ask(deployment) for _ in range(20)))
        assert all(answer.body != there.sandboxes[home].name.encode() for answer in answers)
        assert not held.done()
        there.sandboxes[home].let_go()
        assert (await held).body == there.sandboxes[home].name.encode()
        await closing


async def test_without_any_host_a_call_is_refused_and_told_when_to_come_back(tmp_path: Path) -> None:
    """503 with Retry-After, at once; and calls go on as soon as a host is there."""
    async with hosts(tmp_path) as there:
        deployment = a_deployment(tmp_path)
        (host,) = there.hosts.values()
        await host.close(grace_seconds=0)
        await until(lambda: there.remote.reachable == 0)
        with pytest.raises(InvocationFailed) as caught:
            await there.ask(deployment)
        failed = caught.value
        assert (failed.status, failed.reason, failed.component) == (503, "no-sandbox", "sandbox")
        assert failed.retry_after == 1


async def test_a_call_that_waits_for_its_trees_goes_elsewhere_when_the_host_is_lost(tmp_path: Path) -> None:
    """It was never begun there, so that it can be."""
    async with hosts(tmp_path, count=2) as there:
        deployment = a_deployment(tmp_path)
        await there.ask(deployment)
        (home,) = [name for name, sandbox in there.sandboxes.items() if sandbox.begun]

        async def never(key: str, sha256: str) -> Path:
            return await asyncio.Future()

        there.hosts[home].trees.get = never  # type: ignore[method-assign]
        waiting = asyncio.create_task(there.ask(replace(deployment, version_id="ver_2")))
        await until(lambda: any(link._arriving for link in there.hosts[home]._links))
        for link in list(there.hosts[home]._links):
            link.abort("a test")
        assert (await waiting).body != there.sandboxes[home].name.encode()
        assert len(there.sandboxes[home].begun) == 1


async def test_a_call_in_flight_on_a_lost_host_is_not_repeated(tmp_path: Path) -> None:
    """It may have run: 502, and who says so is the sandbox."""
    async with hosts(tmp_path, count=2) as there:
        held = asyncio.create_task(there.ask(a_deployment(tmp_path), "/held"))
        await until(lambda: any(sandbox.held for sandbox in there.sandboxes.values()))
        for host in there.hosts.values():
            for link in list(host._links):
                link.abort("a test")
        with pytest.raises(InvocationFailed) as caught:
            await held
        failed = caught.value
        assert (failed.status, failed.reason, failed.component) == (502, "sandbox-lost", "sandbox")
        assert failed.outcome.reason == "sandbox-lost"
        assert sum(there.begun.values()) == 1


async def test_an_answer_that_streams_from_a_lost_host_breaks(tmp_path: Path) -> None:
    """Nobody takes half of it for the whole."""
    async with hosts(tmp_path) as there:
        answer = await there.ask(a_deployment(tmp_path), "/parts")
        (host,) = there.hosts.values()
        for link in list(host._links):
            link.abort("a test")
        with pytest.raises(InvocationFailed) as caught:
            await read(answer)
        assert caught.value.reason == "sandbox-lost"
        (sandbox,) = there.sandboxes.values()
        await until(lambda: bool(sandbox.given_up))


async def test_a_version_that_a_host_can_not_have_is_called_on_another(tmp_path: Path) -> None:
    """As when its disk is full; where no host can have it, the call is refused."""
    async with hosts(tmp_path, count=2) as there:
        first, second = there.hosts.values()

        async def full(key: str, sha256: str) -> Path:
            raise OSError(28, "No space left on device")

        first.trees.get = full  # type: ignore[method-assign]
        for number in range(6):
            assert (await there.ask(a_deployment(tmp_path, f"fun_{number}"))).body == b"host1"
        second.trees.get = full  # type: ignore[method-assign]
        with pytest.raises(InvocationFailed) as caught:
            await there.ask(a_deployment(tmp_path, "fun_9"))
        assert (caught.value.status, caught.value.reason) == (503, "no-sandbox")


async def test_only_gateways_may_call_a_host(tmp_path: Path) -> None:
    """Another name of the same authority, or the right name of another authority, is refused before any frame."""
    authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "strangers")
    host_tls, good = authority.issue(SANDBOX), authority.issue(GATEWAY)
    async with hosts(tmp_path, gateway_tls=good, host_tls=host_tls) as there:
        assert (await there.ask(a_deployment(tmp_path))).status == 200
        (members,) = [",".join(there.hosts)]
        for wrong in (authority.issue("someone.cloudserve"), authority.issue(SANDBOX), stranger.issue(GATEWAY)):
            remote = RemoteSandbox(members, tls=wrong)
            await remote.start()
            assert remote.reachable == 0
            await remote.close(grace_seconds=0)


async def test_a_gateway_speaks_with_no_host_of_another_name(tmp_path: Path) -> None:
    """A certificate of the authority is not enough to be sent secrets."""
    authority = Authority(tmp_path / "ca")
    async with hosts(
        tmp_path, gateway_tls=authority.issue(GATEWAY), host_tls=authority.issue("other.cloudserve")
    ) as there:
        assert there.remote.reachable == 0


async def test_certificates_are_read_again_when_they_change(tmp_path: Path) -> None:
    """New connections are made with the new files, whichever authority they are of; those that stand go on."""
    authority = Authority(tmp_path / "ca")
    host_tls, gateway_tls = authority.issue(SANDBOX), authority.issue(GATEWAY)
    async with hosts(tmp_path, gateway_tls=gateway_tls, host_tls=host_tls) as there:
        deployment = a_deployment(tmp_path)
        assert (await there.ask(deployment)).status == 200
        again = Authority(tmp_path / "ca", "the next")
        again.issue(SANDBOX)
        again.issue(GATEWAY)
        (host,) = there.hosts.values()
        before = host._context
        await until(lambda: host._context is not before)
        for link in list(host._links):
            link.abort("a test")
        await until(lambda: there.remote.reachable == 0)
        await until(lambda: there.remote.reachable == 1)
        assert (await there.ask(deployment)).status == 200


async def test_without_tls_only_loopback_is_spoken_with(tmp_path: Path) -> None:
    """A host that would listen for others refuses to start."""
    host = SandboxHost(Scripted(), listen="0.0.0.0:0", tls=None, folder=tmp_path)
    with pytest.raises(NotLoopback, match="certificates"):
        await host.start()


async def test_a_closing_sandbox_finishes_what_it_has(tmp_path: Path) -> None:
    """New calls are refused meanwhile; what does not end in time is told why."""
    async with hosts(tmp_path) as there:
        deployment = a_deployment(tmp_path)
        held = asyncio.create_task(there.ask(deployment, "/held"))
        (sandbox,) = there.sandboxes.values()
        await until(lambda: bool(sandbox.held))
        closing = asyncio.create_task(there.remote.close(grace_seconds=0.1))
        await asyncio.sleep(0)
        with pytest.raises(InvocationFailed) as refused:
            await there.ask(deployment)
        assert (refused.value.status, refused.value.reason) == (503, "shutdown")
        with pytest.raises(InvocationFailed) as ended:
            await held
        assert ended.value.reason == "shutdown"
        await closing
        await there.remote.close(grace_seconds=0)


async def test_nothing_secret_is_in_a_log_or_a_repr(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither of a deployment that is served nor of one that can't be."""
    caplog.set_level("DEBUG")
    async with hosts(tmp_path) as there:
        await there.ask(a_deployment(tmp_path))
        missing = replace(a_deployment(tmp_path, "fun_2"), code=tmp_path / "missing")
        with pytest.raises(InvocationFailed) as caught:
            await there.ask(missing)
        assert caught.value.reason == "no-sandbox"
        assert str(tmp_path) not in caught.value.message
        (sandbox,) = there.sandboxes.values()
        assert "s3cret" not in repr(sandbox.deployments)
    assert "s3cret" not in caplog.text
