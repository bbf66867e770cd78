"""The two origins that functions answer on, and what differs between them."""

from pathlib import Path

from cloudserve.core.models.function import Cors
from cloudserve.sandbox.abc import Answer, Call, Deployment
from tests.unit.gateway.support import Platform, ScriptedSandbox, WholeAnswer, running


async def page(_deployment: Deployment, _call: Call) -> Answer:
    """Answers like a page that would like to do a lot."""
    return WholeAnswer(
        headers=[
            (b"content-type", b"text/html"),
            (b"content-security-policy", b"script-src *"),
            (b"set-cookie", b"a=1"),
            (b"service-worker-allowed", b"/"),
        ]
    )


async def test_on_the_platforms_origin_an_answer_is_sandboxed(platform: Platform) -> None:
    """No script runs there, no cookie is set, and the whole path still leads to the function."""
    await platform.function(await platform.owner(), public=True)
    platform.scripted.script = page
    answer = await platform.platform.get("/run/alice/hello/x?y=1")
    assert answer.status_code == 200
    assert answer.headers.get_list("content-security-policy") == ["sandbox"]
    assert "set-cookie" not in answer.headers
    assert "service-worker-allowed" not in answer.headers
    [(_, call)] = platform.scripted.calls
    assert (call.path, call.query) == ("/x", b"y=1")


async def test_on_the_platforms_origin_refusals_are_sandboxed_too(platform: Platform) -> None:
    """Every answer there is."""
    answer = await platform.platform.get("/run/nobody/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-security-policy"] == "sandbox"


async def test_two_ports_of_one_host_share_cookies_so_functions_set_none(tmp_path: Path) -> None:
    """By default they are two hosts, and functions may."""
    async with running(
        tmp_path, ScriptedSandbox(), url="http://localhost:7700", run_url="http://localhost:7701"
    ) as platform:
        await platform.function(await platform.owner(), public=True)
        platform.scripted.script = page
        answer = await platform.functions.get("/run/alice/hello")
        assert "set-cookie" not in answer.headers
        assert answer.headers["content-security-policy"] == "script-src *"


async def test_the_functions_origin_tells_its_instance(tmp_path: Path) -> None:
    """Health means this process, not just any that answers."""
    async with running(tmp_path, ScriptedSandbox(), instance="i-1") as platform:
        answer = await platform.functions.get("/healthz")
        assert answer.json() == {"status": "ok", "instance": "i-1"}


PREFLIGHT = {
    "Origin": "https://app.example.com",
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "x-one, content-type",
}


async def test_a_preflight_is_answered_by_the_gateway(platform: Platform) -> None:
    """The function is not called."""
    cors = Cors(origins=["https://app.example.com"], methods=["GET", "PUT"], credentials=True, max_age_seconds=60)
    await platform.function(await platform.owner(), public=True, cors=cors)
    answer = await platform.functions.options("/run/alice/hello", headers=PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-methods"] == "GET, PUT"
    assert answer.headers["access-control-allow-headers"] == "x-one, content-type"
    assert answer.headers["access-control-max-age"] == "60"
    assert answer.headers["vary"] == "Origin"
    assert platform.scripted.calls == []


async def test_a_preflight_from_elsewhere_is_allowed_nothing(platform: Platform) -> None:
    """The answer names no origin, so that the browser refuses."""
    await platform.function(await platform.owner(), public=True, cors=Cors(origins=["https://other.example.com"]))
    answer = await platform.functions.options("/run/alice/hello", headers=PREFLIGHT)
    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-methods" not in answer.headers


async def test_any_origin_never_means_any_origin_with_credentials(platform: Platform) -> None:
    """`*` with credentials would let every page act as its visitor."""
    await platform.function(await platform.owner(), public=True, cors=Cors(credentials=True))
    answer = await platform.functions.get("/run/alice/hello", headers={"Origin": "https://evil.example.com"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


async def test_the_rules_take_the_place_of_the_functions_own_headers(platform: Platform) -> None:
    """There is one answer to who may read."""

    async def script(_deployment: Deployment, _call: Call) -> Answer:
        return WholeAnswer(headers=[(b"Access-Control-Allow-Origin", b"https://evil.example.com")])

    await platform.function(await platform.owner(), public=True, cors=Cors(origins=["https://app.example.com"]))
    platform.scripted.script = script
    answer = await platform.functions.get("/run/alice/hello", headers={"Origin": "https://app.example.com"})
    assert answer.headers.get_list("access-control-allow-origin") == ["https://app.example.com"]


async def test_without_rules_a_function_answers_options_itself(platform: Platform) -> None:
    """No header of the gateway's is added."""
    await platform.function(await platform.owner(), public=True)
    answer = await platform.functions.options("/run/alice/hello", headers=PREFLIGHT)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    assert len(platform.scripted.calls) == 1


async def test_a_problem_can_be_read_across_origins(platform: Platform) -> None:
    """A browser that may call may also see why a call was refused."""
    await platform.function(await platform.owner(), cors=Cors(origins=["https://app.example.com"]))
    answer = await platform.functions.get("/run/alice/hello", headers={"Origin": "https://app.example.com"})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
