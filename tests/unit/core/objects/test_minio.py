"""What S3 objects make of servers that are wrong, slow or away; the contract is in `tests/contract/test_objects.py`."""

import asyncio
import hashlib
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from cloudserve.core.objects import minio
from cloudserve.core.objects.abc import Corrupt, ObjectsUnavailable
from cloudserve.core.objects.minio import PART, THREADS, S3Objects
from cloudserve.core.objects.s3_client import Patience
from tests.servers.processes import free_port
from tests.servers.scripted import Request, scripted

SECRET = "nobody-may-read-this"
KEY_ID = "nor-this-key-id"
MEBIBYTE = 1024 * 1024


def the_objects(endpoint: str) -> S3Objects:
    """Returns objects of a server, not opened yet."""
    return S3Objects(endpoint, bucket="things", region="us-east-1", access_key=KEY_ID, secret_key=SECRET)


def an_error(code: str) -> bytes:
    """Returns an S3 error."""
    return f"<Error><Code>{code}</Code><Message>as {KEY_ID} ought to know</Message></Error>".encode()


def answer_well(request: Request) -> None:
    """Answers as a server with an empty bucket does."""
    if request.command == "GET" and "uploads=" in request.path:
        request.answer(200, b"<ListMultipartUploadsResult/>", Content_Type="application/xml")
    elif request.command == "GET":
        request.answer(404, an_error("NoSuchKey"), Content_Type="application/xml")
    elif request.command == "POST" and "uploads=" in request.path:
        body = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        request.answer(200, body, Content_Type="application/xml")
    elif request.command == "POST":
        body = b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
        request.answer(200, body, Content_Type="application/xml")
    elif request.command == "DELETE":
        request.answer(204)
    else:
        request.answer(200, ETag='"e"')


def headers_of(content: bytes) -> dict[str, str]:
    """Returns the headers of an object's answer."""
    sha256 = hashlib.sha256(content).hexdigest()
    return {"x_amz_meta_sha256": sha256, "Last_Modified": format_datetime(datetime.now(UTC), usegmt=True)}


@asynccontextmanager
async def opened(script: Callable[[Request], bool]) -> AsyncIterator[S3Objects]:
    """Gives objects of a server that answers well, except for requests for which the script returns True."""

    def answer(request: Request) -> None:
        if not script(request):
            answer_well(request)

    with scripted(answer) as endpoint:
        objects = the_objects(endpoint)
        await objects.open()
        try:
            yield objects
        finally:
            await objects.close()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("endpoint", "localhost:9000"),
        ("endpoint", "ftp://localhost"),
        ("endpoint", "http://localhost/path"),
        ("endpoint", f"http://user:{SECRET}@localhost"),
        ("endpoint", "http://local host"),
        ("bucket", "No"),
        ("bucket", "a..b"),
        ("bucket", ""),
        ("region", ""),
        ("access_key", ""),
        ("secret_key", ""),
    ],
)
def test_bad_arguments_are_named(argument: str, value: str) -> None:
    """The error tells which one and what is expected, and nothing that opens the server."""
    arguments = {
        "endpoint": "http://localhost",
        "bucket": "things",
        "region": "us-east-1",
        "access_key": KEY_ID,
        "secret_key": SECRET,
    }
    with pytest.raises(ValueError, match=argument) as caught:
        S3Objects(**arguments | {argument: value})
    assert SECRET not in str(caught.value)
    assert KEY_ID not in str(caught.value)


async def test_a_server_that_is_not_there_is_told() -> None:
    """With its address and the bucket."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ObjectsUnavailable, match="no connection can be made there") as caught:
        await the_objects(endpoint).open()
    assert f"the object store {endpoint} (bucket things) " in str(caught.value)


async def test_a_host_that_nobody_knows_is_told() -> None:
    """As that, not as a server that is away."""
    with pytest.raises(ObjectsUnavailable, match="host name is not known"):
        await the_objects("http://nowhere.invalid").open()  # RFC 6761: no name below it ever resolves


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "AccessDenied", "check the key, its secret and its rights"),
        (403, "InvalidAccessKeyId", "check the key, its secret and its rights"),
        (403, "SignatureDoesNotMatch", "check the key, its secret and its rights"),
        (403, "RequestTimeTooSkewed", "set both clocks"),
        (404, "NoSuchBucket", "no such bucket"),
        (400, "XAmzContentSHA256Mismatch", "the network between is faulty"),
        (507, "XMinioStorageFull", "is full"),
        (418, "Teapot", "answers Teapot"),
    ],
)
async def test_what_a_server_refuses_is_told(status: int, code: str, told: str) -> None:
    """In words that help, and without what the server itself says of the key."""

    def refuse(request: Request) -> bool:
        refused = request.command == "PUT" and "/k%40" in request.path
        if refused:
            request.answer(status, an_error(code), Content_Type="application/xml")
        return refused

    async with opened(refuse) as objects:
        with pytest.raises(ObjectsUnavailable, match=re.escape(told)) as caught:
            await objects.put("k", b"content")
    assert KEY_ID not in str(caught.value)
    assert SECRET not in f"{objects!r}{vars(objects)}"


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_a_server_of_something_else_is_told(status: int) -> None:
    """Such as a web server at the address, or a proxy before a server that is away."""
    with (
        scripted(lambda request: request.answer(status, b"<p>Hello", Content_Type="text/html")) as endpoint,
        pytest.raises(ObjectsUnavailable, match="the object store"),
    ):
        await the_objects(endpoint).open()


async def test_a_server_that_is_just_starting_is_asked_again() -> None:
    """Within a second or two."""
    refusals = iter([503, 503])

    def refuse(request: Request) -> bool:
        status = next(refusals, None) if "/k%40" in request.path else None
        if status is not None:
            request.answer(status, an_error("SlowDown"), Content_Type="application/xml")
        return status is not None

    async with opened(refuse) as objects:
        assert (await objects.put("k", b"content")).size == 7
    assert next(refusals, None) is None


async def test_a_redirection_is_not_followed() -> None:
    """What is signed for one server is not shown to another."""
    seen: list[str] = []

    def elsewhere(request: Request) -> None:
        seen.append(request.path)
        request.answer(200)

    with scripted(elsewhere) as other:

        def redirect(request: Request) -> bool:
            away = "/k%40" in request.path
            if away:
                request.answer(307, an_error("TemporaryRedirect"), Location=other, Content_Type="application/xml")
            return away

        async with opened(redirect) as objects:
            with pytest.raises(ObjectsUnavailable, match="TemporaryRedirect"):
                await objects.put("k", b"content")
    assert seen == []


async def test_an_upload_that_was_not_confirmed_has_failed() -> None:
    """Completing an upload may fail after the status 200 has been sent."""

    def fail(request: Request) -> bool:
        completing = request.command == "POST" and "uploadId=" in request.path
        if completing:
            request.answer(200, an_error("InternalError"), Content_Type="application/xml")
        return completing

    async with opened(fail) as objects:
        with pytest.raises(ObjectsUnavailable, match="did not confirm the object k"):
            await objects.put("k", bytes(PART + 1))


@pytest.mark.parametrize(("breaks", "fails"), [(1, False), (2, True)])
async def test_an_answer_that_breaks_off_is_asked_for_once_more(tmp_path: Path, breaks: int, fails: bool) -> None:
    """And is unavailable when it breaks off again; nothing of it stays."""
    content = bytes(range(256)) * 8 * 1024
    left = iter(range(breaks))

    def break_off(request: Request) -> bool:
        if request.command != "GET" or "/k%40" not in request.path:
            return False
        if next(left, None) is None:
            request.answer(200, content, **headers_of(content))
        else:
            request.answer(200, content[:-1], **headers_of(content), Content_Length=str(len(content)))
            request.close_connection = True
        return True

    async with opened(break_off) as objects:
        if fails:
            with pytest.raises(ObjectsUnavailable, match="breaks connections off"):
                await objects.fetch("k", tmp_path / "target")
        else:
            await objects.fetch("k", tmp_path / "target")
            assert (tmp_path / "target").read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == (set() if fails else {"target"})  # noqa: ASYNC240


async def test_what_others_put_there_is_left_alone(tmp_path: Path) -> None:
    """An object without a hash is not found and not deleted; reading it says what is the matter."""
    deleted: list[str] = []

    def foreign(request: Request) -> bool:
        if "/k%40" not in request.path:
            return False
        if request.command == "DELETE":
            deleted.append(request.path)
        request.answer(200, b"theirs", Last_Modified=headers_of(b"")["Last_Modified"])
        return True

    async with opened(foreign) as objects:
        assert await objects.stat("k") is None
        assert not await objects.touch("k")
        assert not await objects.delete("k")
        with pytest.raises(Corrupt, match="somebody else has put it there"):
            await objects.read("k")
        with pytest.raises(Corrupt, match="somebody else has put it there"):
            await objects.fetch("k", tmp_path / "target")
    assert deleted == []


async def test_a_slow_server_gathers_no_work() -> None:
    """Callers that give up leave nothing that waits, readiness has a way of its own, and all is well afterwards."""
    asked: list[str] = []
    goes_on = threading.Event()

    def hang(request: Request) -> bool:
        if "/k%40" not in request.path:
            return False
        asked.append(request.path)
        goes_on.wait(30)
        request.answer(200, b"content", **headers_of(b"content"))
        return True

    async with opened(hang) as objects:
        calls = (asyncio.wait_for(objects.stat("k"), 0.5) for _ in range(5 * THREADS))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {TimeoutError}
        assert len(asked) == THREADS
        assert sum(thread.name.startswith("objects") for thread in threading.enumerate()) <= THREADS + 1
        await objects.ping()
        goes_on.set()
        found = await objects.stat("k")
        assert found is not None
        assert found.sha256 == hashlib.sha256(b"content").hexdigest()
        assert len(asked) == THREADS + 1


async def test_a_silent_server_is_given_up_after_one_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked again: it would be silent again."""
    monkeypatch.setattr(minio, "WORK", Patience(connect_seconds=5, read_seconds=0.2, retries=3))
    asked: list[str] = []
    goes_on = threading.Event()

    def hang(request: Request) -> bool:
        if "/k%40" not in request.path:
            return False
        asked.append(request.path)
        return goes_on.wait(30)

    async with opened(hang) as objects:
        with pytest.raises(ObjectsUnavailable, match="does not answer in time"):
            await objects.stat("k")
        goes_on.set()
    assert len(asked) == 1


async def test_a_caller_that_gives_up_ends_its_download() -> None:
    """A server that sends for ever keeps no thread."""
    began, ended = threading.Event(), threading.Event()

    def trickle(request: Request) -> bool:
        if request.command != "GET" or "/k%40" not in request.path:
            return False
        request.answer(200, b"", **headers_of(b""), Content_Length=str(1024 * MEBIBYTE))
        try:
            while not ended.wait(0.001):
                request.wfile.write(bytes(MEBIBYTE))
                began.set()
        except OSError:
            ended.set()
        request.close_connection = True
        return True

    async with opened(trickle) as objects:
        reading = asyncio.create_task(objects.read("k"))
        assert await asyncio.to_thread(began.wait, 30)
        reading.cancel()
        assert await asyncio.to_thread(ended.wait, 30)


async def test_a_caller_that_gives_up_ends_its_upload() -> None:
    """After the part that is on its way, and the server is told to forget the others."""
    began, goes_on, aborted = threading.Event(), threading.Event(), threading.Event()

    def hold(request: Request) -> bool:
        if request.command == "PUT" and "partNumber=2" in request.path:
            began.set()
            goes_on.wait(30)
        if request.command == "PUT" and "partNumber=3" in request.path:
            raise AssertionError("the upload went on")
        if request.command == "DELETE" and "uploadId=u" in request.path:
            aborted.set()
        return False

    async with opened(hold) as objects:
        putting = asyncio.create_task(objects.put("k", bytes(5 * PART)))
        assert await asyncio.to_thread(began.wait, 30)
        putting.cancel()
        await asyncio.wait([putting])
        goes_on.set()
        assert await asyncio.to_thread(aborted.wait, 30)


async def test_a_file_that_can_not_be_used_is_told(tmp_path: Path) -> None:
    """A path that is not there is the caller's own error, as with every object store."""
    async with opened(lambda _: False) as objects:
        with pytest.raises(ObjectsUnavailable, match="a file of this host can't be used: Is a directory"):
            await objects.put("k", tmp_path)
        with pytest.raises(FileNotFoundError):
            await objects.put("k", tmp_path / "missing")
