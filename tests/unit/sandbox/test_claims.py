"""One owner at a time: who is served when, with scripted sandboxes in place of real ones."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from cloudserve.core.models.function import Egress, Limits
from cloudserve.sandbox.abc import Answer, Call, Deployment, InvocationFailed, OnEnd, Outcome, Sandbox, SandboxStats
from cloudserve.sandbox.answers import StreamedAnswer, WholeAnswer
from cloudserve.sandbox.claims import ClaimedSandbox
from cloudserve.sandbox.turnstile import Turnstile
from tests.contract.sandboxes import make_call, read, until

SUCCESS = Outcome("success", 1, 1)


def _cut_off() -> InvocationFailed:
    return InvocationFailed(503, "cut off", component="sandbox", reason="shutdown", outcome=SUCCESS)


class Scripted(Sandbox):
    """A sandbox that notes what happens to it. Calls to the path `/held` wait until `let_go`."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.owners: set[str] = set()
        self.held: dict[Callable[[], None], Callable[[], None]] = {}
        self.given_up: list[Call] = []
        self.streams: list[StreamedAnswer] = []
        self.warmed: list[str] = []
        self.retired: list[tuple[str, str | None]] = []
        self.closed = False
        self.calls = 0

    async def start(self) -> None:
        assert not any(other is not self and not other.closed for other in self.world.made), "the one before goes on"
        if self.world.broken:
            raise OSError("no more processes")

    def submit(self, deployment: Deployment, call: Call, on_end: OnEnd) -> Callable[[], None]:
        assert not self.closed
        self.owners.add(deployment.owner_id)
        self.world.served.append(deployment.owner_id)
        self.calls += 1
        answer: Answer = WholeAnswer(200, (), deployment.owner_id.encode(), lambda: SUCCESS)
        if call.path == "/held":
            self.held[lambda: on_end(answer)] = lambda: on_end(_cut_off())
        elif call.path == "/streamed":
            answer = StreamedAnswer(200, (), on_consumed=lambda _: None, on_given_up=lambda: self.given_up.append(call))
            self.streams.append(answer)
            on_end(answer)
        else:
            on_end(answer)
        return lambda: self.given_up.append(call)

    async def warm(self, deployment: Deployment) -> None:
        self.owners.add(deployment.owner_id)
        self.warmed.append(deployment.function_id)
        if deployment.entry == "never.py":
            await asyncio.get_running_loop().create_future()

    async def retire(self, function_id: str, *, keep_version: str | None = None) -> None:
        self.retired.append((function_id, keep_version))

    async def close(self, *, grace_seconds: float = 10) -> None:
        await asyncio.sleep(0)
        if self.world.stuck:
            raise OSError("it does not end")
        self.world.graces.append(grace_seconds)
        for cut_off in list(self.held.values()):
            cut_off()
        self.closed = True

    def stats(self) -> SandboxStats:
        return SandboxStats(workers=0 if self.closed else 1, busy=0, waiting=0, starts=self.calls, kills=0)

    def let_go(self) -> None:
        held, self.held = self.held, {}
        for answer in held:
            answer()


@dataclass
class World:
    """The claimed sandbox and those it has made."""

    made: list[Scripted] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    graces: list[float] = field(default_factory=list)
    broken: bool = False
    stuck: bool = False
    sandbox: ClaimedSandbox = field(init=False)

    def make(self) -> Scripted:
        self.made.append(Scripted(self))
        return self.made[-1]

    async def call(self, owner: str, path: str = "/") -> bytes:
        return await read(await self.sandbox.invoke(deployment(owner), make_call(path=path)))

    def begin(self, owner: str, path: str = "/") -> "asyncio.Task[bytes]":
        return asyncio.create_task(self.call(owner, path))


def deployment(owner: str, *, min_warm: int = 0, version: int = 1) -> Deployment:
    return Deployment(
        version_id=f"ver_{owner}_{version}",
        function_id=f"fun_{owner}",
        owner_id=owner,
        number=version,
        runtime="python",
        code=Path("/nowhere"),
        entry="main.py",
        handler=None,
        layer=None,
        limits=Limits(min_warm=min_warm, timeout_seconds=5),
        egress=Egress(),
        environment={},
    )


@asynccontextmanager
async def world(
    *, queue_seconds: float = 5, slice_seconds: float = 0.05, folder: Path | None = None
) -> AsyncIterator[World]:
    made = World()
    with tempfile.TemporaryDirectory() as own:
        turnstile = Turnstile((folder or Path(own)) / "turnstile")
        made.sandbox = ClaimedSandbox(
            made.make, turnstile=turnstile, queue_seconds=queue_seconds, slice_seconds=slice_seconds
        )
        await made.sandbox.start()
        try:
            yield made
        finally:
            await made.sandbox.close(grace_seconds=0)
            assert all(sandbox.closed for sandbox in made.made)
            assert all(len(sandbox.owners) <= 1 for sandbox in made.made), "a sandbox has served two owners"


async def test_an_owner_alone_keeps_its_sandbox() -> None:
    """However long it takes."""
    async with world(slice_seconds=0) as made:
        for _ in range(5):
            assert await made.call("ann") == b"ann"
        assert len(made.made) == 1


async def test_another_owner_gets_a_sandbox_of_its_own() -> None:
    """Made when the one before it has ended."""
    async with world() as made:
        assert [await made.call(owner) for owner in ("ann", "bob", "ann")] == [b"ann", b"bob", b"ann"]
        assert [sandbox.owners for sandbox in made.made] == [{"ann"}, {"bob"}, {"ann"}]


async def test_owners_are_served_in_the_order_they_came() -> None:
    """Each with all of its calls that wait, however the calls came."""
    async with world(slice_seconds=0) as made:
        held = made.begin("ann", "/held")
        await until(lambda: made.made[0].held)
        order = ["bob", "cyd", "bob", "dan", "cyd"]
        waiting = [made.begin(owner) for owner in order]
        await asyncio.sleep(0)
        late = made.begin("ann")
        await asyncio.sleep(0.05)
        assert made.served == ["ann"]
        made.made[0].let_go()
        await asyncio.gather(held, late, *waiting)
        assert made.served == ["ann", "bob", "bob", "cyd", "cyd", "dan", "ann"]


async def test_calls_under_way_finish_before_the_place_changes_hands() -> None:
    """Streamed ones too."""
    async with world(slice_seconds=0) as made:
        streamed = await made.sandbox.invoke(deployment("ann"), make_call(path="/streamed"))
        other = made.begin("bob")
        await asyncio.sleep(0.05)
        assert not made.made[0].closed
        made.made[0].streams[0].take(b"part")
        made.made[0].streams[0].end(SUCCESS)
        assert await read(streamed) == b"part"
        assert streamed.outcome is SUCCESS
        assert await other == b"bob"


async def test_a_stream_that_is_given_up_is_over() -> None:
    """Its caller went away; the next owner need not wait for the rest."""
    async with world(slice_seconds=0) as made:
        streamed = await made.sandbox.invoke(deployment("ann"), make_call(path="/streamed"))
        await streamed.cancel()
        await streamed.cancel()
        assert await made.call("bob") == b"bob"


async def test_a_busy_owner_keeps_no_other_waiting() -> None:
    """Its next calls queue behind whoever came before them."""
    async with world(slice_seconds=0.02) as made:
        over = False

        async def busy() -> None:
            while not over:
                await made.call("ann")

        greedy = [asyncio.create_task(busy()) for _ in range(3)]
        for _ in range(3):
            await made.call("bob")
        over = True
        await asyncio.gather(*greedy)


async def test_a_claimant_keeps_its_slice_while_others_wait() -> None:
    """So that two busy owners don't spend their time on handing over."""
    async with world(slice_seconds=0.3) as made:
        await made.call("ann")
        other = made.begin("bob")
        for _ in range(20):
            await made.call("ann")
        assert len(made.made) == 1
        assert await other == b"bob"
        assert made.served == ["ann"] * 21 + ["bob"]


async def test_who_waits_too_long_is_told_when_to_try_again() -> None:
    """503 from the queue, with Retry-After."""
    async with world(queue_seconds=0.05, slice_seconds=0) as made:
        held = made.begin("ann", "/held")
        await until(lambda: made.made[0].held)
        with pytest.raises(InvocationFailed, match="one owner at a time") as refused:
            await made.call("bob")
        assert (refused.value.status, refused.value.component, refused.value.reason) == (503, "queue", "overloaded")
        assert refused.value.retry_after == 1
        assert refused.value.outcome.reason == "overloaded"
        made.made[0].let_go()
        await held


async def test_who_comes_back_as_told_is_served_before_the_one_who_stayed() -> None:
    """Else an owner with calls longer than the others' patience would have the host for itself."""
    async with world(queue_seconds=0.1, slice_seconds=0) as made:
        held = made.begin("ann", "/held")
        await until(lambda: made.made[0].held)
        with pytest.raises(InvocationFailed):
            await made.call("bob")
        made.made[0].let_go()
        await held
        stayed = made.begin("ann")
        await asyncio.sleep(0.02)
        assert made.served == ["ann"]
        assert await made.call("bob") == b"bob"
        assert await stayed == b"ann"
        assert made.served == ["ann", "bob", "ann"]


async def test_a_caller_that_goes_away_leaves_the_line() -> None:
    """And nobody slips into the sandbox that was about to end for it."""
    async with world(slice_seconds=0) as made:
        held = made.begin("ann", "/held")
        await until(lambda: made.made[0].held)
        gone = made.begin("bob")
        await asyncio.sleep(0.02)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        other = made.begin("cyd")
        await asyncio.sleep(0.02)
        made.made[0].let_go()
        await held
        assert await other == b"cyd"
        assert "bob" not in made.served


async def test_a_call_under_way_that_is_given_up_is_over() -> None:
    """Its sandbox is told, and the next owner's turn comes."""
    async with world(slice_seconds=0) as made:
        gone = made.begin("ann", "/held")
        await until(lambda: made.made[0].held)
        gone.cancel()
        assert await made.call("bob") == b"bob"
        assert len(made.made[0].given_up) == 1


async def test_a_warm_up_takes_no_place_from_anybody() -> None:
    """It claims one that is free, and is forgotten otherwise."""
    async with world() as made:
        await made.sandbox.warm(deployment("ann"))
        await made.sandbox.warm(deployment("bob"))
        assert [sandbox.warmed for sandbox in made.made] == [["fun_ann"]]


async def test_the_warm_minimum_holds_whenever_its_owner_has_the_place() -> None:
    """Until the function is retired."""
    async with world(slice_seconds=0) as made:
        await made.sandbox.warm(deployment("ann", min_warm=2))
        for owner in ("bob", "ann"):
            await made.call(owner)
        await until(lambda: made.made[-1].warmed == ["fun_ann"])
        await made.sandbox.retire("fun_ann", keep_version="ver_ann_1")
        assert made.made[-1].retired == [("fun_ann", "ver_ann_1")]
        await made.sandbox.retire("fun_ann")
        for owner in ("bob", "ann"):
            await made.call(owner)
        assert made.made[-1].warmed == []


async def test_counts_go_on_from_one_sandbox_to_the_next() -> None:
    """And calls that wait for their turn are among those that wait."""
    async with world(slice_seconds=0) as made:
        await made.call("ann")
        await made.call("bob")
        held = made.begin("bob", "/held")
        await until(lambda: made.made[-1].held)
        other = made.begin("ann")
        await asyncio.sleep(0.02)
        assert made.sandbox.stats() == SandboxStats(workers=1, busy=0, waiting=1, starts=3, kills=0)
        made.made[-1].let_go()
        await asyncio.gather(held, other)


async def test_closing_refuses_who_waits() -> None:
    """And whoever comes later; calls under way have the grace of the sandbox they are in."""
    async with world(slice_seconds=0) as made:
        held = made.begin("ann", "/held")
        await until(lambda: made.made[0].held)
        waiting = made.begin("bob")
        await asyncio.sleep(0.02)
        await made.sandbox.close(grace_seconds=7)
        assert made.graces == [7]
        with pytest.raises(InvocationFailed) as refused:
            await waiting
        assert (refused.value.status, refused.value.reason) == (503, "shutdown")
        with pytest.raises(InvocationFailed):
            await made.call("cyd")
        with pytest.raises(InvocationFailed, match="cut off"):
            await held


async def test_a_host_that_can_start_none_says_so_and_recovers() -> None:
    """Who waits is refused at once; the next call tries again."""
    async with world(slice_seconds=0) as made:
        await made.call("ann")
        made.broken = True
        with pytest.raises(InvocationFailed, match="could not be started"):
            await made.call("bob")
        made.broken = False
        assert await made.call("bob") == b"bob"


async def test_a_sandbox_that_does_not_end_keeps_the_next_from_starting() -> None:
    """It is ended again; two never run beside each other."""
    async with world(slice_seconds=0) as made:
        await made.call("ann")
        made.stuck = True
        with pytest.raises(InvocationFailed, match="could not be started"):
            await made.call("bob")
        assert len(made.made) == 1
        made.stuck = False
        assert await made.call("bob") == b"bob"
        assert made.made[0].closed


async def test_warming_gives_way_to_who_waits() -> None:
    """It is a hint: nobody waits for it, and it does not wait for ever itself."""
    async with world(slice_seconds=0) as made:
        warming = asyncio.create_task(made.sandbox.warm(replace(deployment("ann"), entry="never.py")))
        await until(lambda: made.made[0].warmed)
        assert await made.call("bob") == b"bob"
        await warming


async def test_the_next_platform_serves_nobody_before_the_last_one_has_ended(tmp_path: Path) -> None:
    """While one hands over to the other both run: calls wait for the end of what the old one serves."""
    async with world(folder=tmp_path) as old:
        await old.call("ann")
        async with world(folder=tmp_path) as new:
            waiting = new.begin("bob")
            await asyncio.sleep(0.1)
            assert new.made == []
            assert new.sandbox.stats().waiting == 1
            await old.sandbox.close(grace_seconds=0)
            assert await waiting == b"bob"


async def test_a_platform_that_never_got_its_turn_closes(tmp_path: Path) -> None:
    """Nothing was started for it, so nothing has to end."""
    async with world(folder=tmp_path), world(folder=tmp_path) as second:
        await asyncio.sleep(0.1)
        assert second.made == []


async def test_many_owners_with_many_calls_are_all_served() -> None:
    """With a slice of nothing: no call is lost, and no two owners share."""
    async with world(slice_seconds=0) as made:
        owners = [f"owner{number % 7}" for number in range(70)]
        answers = await asyncio.gather(*(made.call(owner) for owner in owners))
        assert answers == [owner.encode() for owner in owners]
