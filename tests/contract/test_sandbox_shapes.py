"""What functions may look like, in both languages: bodies, answers, AWS Lambda, layers, source maps."""

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloudserve.core.models.function import Runtime
from cloudserve.sandbox.abc import InvocationFailed
from tests.contract.sandboxes import JSON, Functions, read

FORM = ((b"content-type", b"application/x-www-form-urlencoded"),)
TEXT = ((b"content-type", b"text/plain"),)
BINARY = ((b"content-type", b"application/octet-stream"),)
MULTIPART = ((b"content-type", b"multipart/form-data; boundary=xyz"),)
FORM_DATA = (
    b'--xyz\r\nContent-Disposition: form-data; name="title"\r\n\r\nH\xc3\xa9llo\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: image/png\r\n\r\n'
    b"\x00\r\n\xff\r\n--xyz--\r\n"
)


SEE = {
    "python": "def handler(context):\n    body = context.body\n    kind = type(body).__name__\n"
    "    if isinstance(body, bytes): body = body.hex()\n    return {'kind': kind, 'body': body}\n",
    "node": "module.exports = ({ body }) => ({ kind: Buffer.isBuffer(body) ? 'bytes' : body === null ? 'NoneType' :\n"
    "{ object: Array.isArray(body) ? 'list' : 'dict', string: 'str', number: 'int' }[typeof body],\n"
    "body: Buffer.isBuffer(body) ? body.toString('hex') : body });",
}


@pytest.mark.parametrize(
    ("headers", "body", "kind", "value"),
    [
        (JSON, b'{"a": [1, 2]}', "dict", {"a": [1, 2]}),
        (JSON, b"[]", "list", []),
        (JSON, b"{broken", "str", "{broken"),
        (JSON, b"", "NoneType", None),
        (((b"content-type", b"application/cloudevents+json; charset=utf-8"),), b"7", "int", 7),
        (FORM, b"a=1&b=2&a=3&__proto__=x", "dict", {"a": ["1", "3"], "b": "2", "__proto__": "x"}),
        (TEXT, "Grüße".encode(), "str", "Grüße"),
        (BINARY, b"\x00\xff", "bytes", "00ff"),
        ((), b"plain", "str", "plain"),
        (MULTIPART, b"--xyz\r\nbroken", "str", "--xyz\r\nbroken"),
    ],
)
async def test_a_body_is_what_its_type_says(  # noqa: PLR0917 - the table's columns
    functions: Functions,
    runtime: Runtime,
    headers: tuple[tuple[bytes, bytes], ...],
    body: bytes,
    kind: str,
    value: object,
) -> None:
    """Each content type gives its own kind of value; what is malformed arrives as text and fails nothing."""
    answer = await functions.call(functions.deploy(runtime, SEE[runtime]), headers=headers, body=body)
    assert orjson.loads(await read(answer)) == {"kind": kind, "body": value}


async def test_a_multipart_form_has_fields_and_files(functions: Functions, runtime: Runtime) -> None:
    """Fields are text, files have a name, a type and their bytes, line breaks included."""
    code = {
        "python": "def handler(context):\n    file = context.body['file']\n"
        "    return [context.body['title'], file.filename, file.content_type, file.data.hex()]\n",
        "node": "module.exports = ({ body: { title, file } }) =>\n"
        "[title, file.filename, file.contentType, file.data.toString('hex')];",
    }
    answer = await functions.call(functions.deploy(runtime, code[runtime]), headers=MULTIPART, body=FORM_DATA)
    assert orjson.loads(await read(answer)) == ["Héllo", "a.bin", "image/png", "000d0aff"]


async def test_the_context_tells_all_of_the_request(functions: Functions, runtime: Runtime) -> None:
    """Method, path, query, headers, cookies, caller and names are in the context, in both languages alike."""
    fields = ["method", "path", "query", "queryString", "headers", "cookies", "params", "url", "ip"]
    fields += ["functionName", "executionId", "version"]
    code = {
        "python": f"def handler(context):\n    return {{name: context[name] for name in {fields!r}}}\n",
        "node": f"module.exports = (context) => Object.fromEntries({fields!r}.map((name) => [name, context[name]]));",
    }
    deployment = functions.deploy(runtime, code[runtime])
    headers = ((b"x-name", b"caf\xe9"), (b"cookie", b"a=1; b=2"), (b"accept", b"x"), (b"accept", b"y"))
    answer = await functions.call(deployment, method="PUT", path="/größe/b", query=b"q=1&r=a%20b&q=2", headers=headers)
    seen = orjson.loads(await read(answer))
    assert seen.pop("executionId").startswith("exe_")
    assert seen == {
        "method": "PUT",
        "path": "/größe/b",
        "query": {"q": ["1", "2"], "r": "a b"},
        "queryString": "q=1&r=a%20b&q=2",
        "headers": {"x-name": "café", "cookie": "a=1; b=2", "accept": "x, y"},
        "cookies": {"a": "1", "b": "2"},
        "params": ["größe", "b"],
        "url": "http://127.0.0.1:7701/run/ann/thing/größe/b?q=1&r=a%20b&q=2",
        "ip": "203.0.113.9",
        "functionName": "thing",
        "version": deployment.number,
    }


ANSWERS: list[tuple[str, str, int, bytes | None, bytes]] = [
    ("'text'", "'text'", 200, b"text/plain; charset=utf-8", b"text"),
    ("' <!DOCTYPE html><p>'", "' <!DOCTYPE html><p>'", 200, b"text/html; charset=utf-8", b" <!DOCTYPE html><p>"),
    ("b'\\x00\\xff'", "Buffer.from([0, 255])", 200, b"application/octet-stream", b"\x00\xff"),
    ("None", "undefined", 204, None, b""),
    ("None", "null", 204, None, b""),
    ("42", "42", 200, b"application/json", b"42"),
    ("False", "false", 200, b"application/json", b"false"),
    ("[1, 'ü']", "[1, 'ü']", 200, b"application/json", '[1,"ü"]'.encode()),
    (
        "iter(['a', b'b'])",
        "(function* () { yield 'a'; yield Buffer.from('b'); })()",
        200,
        b"application/octet-stream",
        b"ab",
    ),
    (
        "{'statusCode': 201, 'body': {'a': 1}}",
        "({statusCode: 201, body: {a: 1}})",
        201,
        b"application/json",
        b'{"a":1}',
    ),
    ("{'statusCode': '404'}", "({statusCode: '404'})", 404, None, b""),
    (
        "{'statusCode': 200, 'headers': {'Content-Type': 'text/css', 'Content-Length': 99}, 'body': 'x'}",
        "({statusCode: 200, headers: {'Content-Type': 'text/css', 'Content-Length': 99}, body: 'x'})",
        200,
        b"text/css",
        b"x",
    ),
    (
        "{'statusCode': 200, 'body': 'AP8=', 'isBase64Encoded': True}",
        "({statusCode: 200, body: 'AP8=', isBase64Encoded: true})",
        200,
        b"application/octet-stream",
        b"\x00\xff",
    ),
]


@pytest.mark.parametrize(("python", "node", "status", "content_type", "body"), ANSWERS)
async def test_a_value_becomes_an_answer(  # noqa: PLR0917 - the table's columns
    functions: Functions, runtime: Runtime, python: str, node: str, status: int, content_type: bytes | None, body: bytes
) -> None:
    """Each kind of value has its answer, the same in both languages."""
    code = {"python": f"def handler(context):\n    return {python}\n", "node": f"module.exports = () => {node};"}
    answer = await functions.call(functions.deploy(runtime, code[runtime]))
    assert (answer.status, dict(answer.headers).get(b"content-type")) == (status, content_type)
    assert await read(answer) == body
    assert b"content-length" not in dict(answer.headers)


async def test_cookies_stay_apart(functions: Functions, runtime: Runtime) -> None:
    """Several cookies are several headers."""
    code = {
        "python": "def handler(context):\n    return {'statusCode': 200, 'cookies': ['a=1', 'b=2'],\n"
        "            'headers': {'X-Many': ['1', '2'], 'x-flag': True}}\n",
        "node": "module.exports = () => ({ statusCode: 200, cookies: ['a=1', 'b=2'],\n"
        "headers: { 'X-Many': ['1', '2'], 'x-flag': true } });",
    }
    answer = await functions.call(functions.deploy(runtime, code[runtime]))
    assert sorted(answer.headers) == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-flag", b"true"),
        (b"x-many", b"1"),
        (b"x-many", b"2"),
    ]


@pytest.mark.parametrize(
    ("runtime", "code"),
    [
        ("python", "handler = {'plain': 1}\n"),
        ("python", "def main():\n    return {'plain': 1}\n"),
        ("python", "class Handler:\n    async def __call__(self, context): return {'plain': 1}\nhandler = Handler()\n"),
        (
            "python",
            "import functools\nasync def f(n, context): return {'plain': n}\nhandler = functools.partial(f, 1)\n",
        ),
        ("node", "module.exports = { plain: 1 };"),
        ("node", "exports.handler = async () => ({ plain: 1 });"),
        ("node", "module.exports = { default: () => ({ plain: 1 }), __esModule: true };"),
        ("node", "exports.handler = { plain: 1 };"),
        ("node", "module.exports = () => new Response('{\"plain\":1}', { headers: { 'x-a': 'b' } });"),
        ("node", "module.exports = async () => new Blob(['{\"plain\":1}']).stream();"),
        (
            "node",
            "module.exports = () => require('stream').Readable.from([Buffer.from('{\"plain\":'), Buffer.from('1}')]);",
        ),
    ],
)
async def test_many_things_are_handlers(functions: Functions, runtime: Runtime, code: str) -> None:
    """A function under any of the usual names, or a plain value, answers."""
    assert orjson.loads(await read(await functions.call(functions.deploy(runtime, code)))) == {"plain": 1}


async def test_an_es_module_is_loaded(functions: Functions) -> None:
    """A bundle named index.mjs is an ES module, with top-level await and `default`."""
    code = "const n = await Promise.resolve(7);\nexport default () => ({ n });\n"
    answer = await functions.call(functions.deploy("node", code, entry="index.mjs"))
    assert orjson.loads(await read(answer)) == {"n": 7}


LAMBDA = {
    "python": "def lambda_handler(event, context):\n    return {'event': event,\n"
    "            'left': context.get_remaining_time_in_millis(),\n"
    "            'id': context.aws_request_id, 'name': context.function_name}\n",
    "node": "exports.handler = async (event, context) => ({ event, left: context.getRemainingTimeInMillis(),\n"
    "id: context.awsRequestId, name: context.functionName });",
}


async def test_a_lambda_handler_gets_an_api_gateway_event(functions: Functions, runtime: Runtime) -> None:
    """The event is payload format 2.0, and the context knows the request and the time that is left."""
    deployment = functions.deploy(runtime, LAMBDA[runtime], timeout_seconds=5)
    headers = (*JSON, (b"cookie", b"a=1; b=2"), (b"user-agent", b"test"))
    answer = await functions.call(deployment, path="/x", query=b"a=1&a=2", headers=headers, body=b'{"n":1}')
    seen = orjson.loads(await read(answer))
    event: dict[str, Any] = seen["event"]
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/x", "a=1&a=2")
    assert event["queryStringParameters"] == {"a": "1,2"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"n":1}', False)
    assert event["requestContext"]["http"]["method"] == "POST"
    assert event["requestContext"]["http"]["userAgent"] == "test"
    assert event["requestContext"]["requestId"] == seen["id"]
    assert 3000 < seen["left"] <= 5000
    assert seen["name"] == "thing"


async def test_a_lambda_event_has_binary_bodies_in_base64(functions: Functions, runtime: Runtime) -> None:
    """A body that is no text comes encoded."""
    answer = await functions.call(functions.deploy(runtime, LAMBDA[runtime]), headers=BINARY, body=b"\x00\xff")
    event = orjson.loads(await read(answer))["event"]
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == b"\x00\xff"


@pytest.mark.parametrize(
    ("runtime", "code", "handler"),
    [
        ("python", "def handler(event):\n    return event['version']\n", None),
        ("python", "def handler(event, context):\n    return event['version']\n", None),
        ("python", "def run(e, *rest):\n    return e['version']\n", "lambda:app.run"),
        ("python", "async def lambda_handler(event, _):\n    return event['version']\n", None),
        ("node", "exports.handler = async (event) => event.version;", None),
        ("node", "exports.handler = function (event) { return event.version; };", None),
        ("node", "exports.handler = (e, ctx, done) => { setImmediate(done, null, e.version); };", None),
        ("node", "exports.run = async (e) => e.version;", "lambda:index.run"),
        ("node", "module.exports = { handler: async (e) => e.version };", "lambda"),
    ],
)
async def test_lambda_handlers_are_told_by_their_signature(
    functions: Functions, runtime: Runtime, code: str, handler: str | None
) -> None:
    """A handler with two parameters, or whose first is called `event`, is AWS's; a hint settles all else."""
    answer = await functions.call(functions.deploy(runtime, code, handler=handler))
    assert (dict(answer.headers)[b"content-type"], await read(answer)) == (b"application/json", b"2.0")


async def test_the_handler_setting_names_the_export(functions: Functions, runtime: Runtime) -> None:
    """`handler` chooses among several functions; a name that is not there is told."""
    code = {
        "python": "def handler(context):\n    return 'a'\ndef other(context):\n    return 'b'\n",
        "node": "exports.handler = () => 'a'; exports.other = () => 'b';",
    }
    assert await read(await functions.call(functions.deploy(runtime, code[runtime], handler="other"))) == b"b"
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(functions.deploy(runtime, code[runtime], handler="missing"))
    assert caught.value.reason == "no-handler"
    assert "missing" in caught.value.message


async def test_a_layer_and_the_functions_own_files_are_found(
    functions: Functions, runtime: Runtime, tmp_path: Path
) -> None:
    """Code finds its dependencies in the layer, and its own modules beside it, before those preloaded."""
    layer = tmp_path / "layer"
    if runtime == "python":
        (layer / "dependency").mkdir(parents=True)
        (layer / "dependency" / "__init__.py").write_text("import colorsys\nNAME = 'layer'\n")
        files = {"calendar.py": "NAME = 'own'\n", "data/x.txt": "data"}
        code = "import calendar, dependency, pathlib\ndef handler(context):\n"
        code += "    text = (pathlib.Path(__file__).parent / 'data/x.txt').read_text()\n"
        code += "    return [dependency.NAME, calendar.NAME, text]\n"
        deployment = functions.deploy(runtime, code, layer=layer, files=files)
    else:
        (layer / "node_modules" / "dependency").mkdir(parents=True)
        (layer / "node_modules" / "dependency" / "index.js").write_text("module.exports = 'layer';")
        files = {"calendar.cjs": "module.exports = 'own';", "data/x.txt": "data"}
        code = "const text = require('fs').readFileSync(__dirname + '/data/x.txt', 'utf8');\n"
        code += "module.exports = () => [require('dependency'), require('./calendar.cjs'), text];"
        deployment = functions.deploy(runtime, code, layer=layer, files=files)
        module = "import name from 'dependency';\nexport default () => [name, 'own', 'data'];\n"
        es_module = functions.deploy(runtime, module, entry="index.mjs", layer=layer)
        assert orjson.loads(await read(await functions.call(es_module))) == ["layer", "own", "data"]
    answer = await functions.call(deployment)
    assert orjson.loads(await read(answer)) == ["layer", "own", "data"]
    assert answer.outcome.cold is not None
    imported = {name for name, _ in answer.outcome.cold.imports}
    assert imported >= ({"dependency", "colorsys"} if runtime == "python" else {"fs"})


async def test_a_stack_names_the_line_of_the_source(functions: Functions) -> None:
    """With a source map beside the bundle a stack trace tells the file and line that the user wrote."""
    source_map = {
        "version": 3,
        "sources": ["src/shop.ts"],
        "names": [],
        "mappings": "AAIA;AACA;AACA",  # line 1 of the bundle is line 5 of the source, and so on
        "sourcesContent": ["\n\n\n\nexport default () => {\n  throw new Error('sold out');\n}\n"],
    }
    code = "module.exports = () => {\nthrow new Error('sold out');\n};\n//# sourceMappingURL=index.cjs.map\n"
    deployment = functions.deploy("node", code, files={"index.cjs.map": orjson.dumps(source_map).decode()})
    with pytest.raises(InvocationFailed) as caught:
        await functions.call(deployment)
    assert "(src/shop.ts:6" in (caught.value.outcome.error or "")
    assert str(functions.root) not in (caught.value.outcome.error or "")


async def test_python_values_of_every_day_have_a_json_form(functions: Functions) -> None:
    """Dataclasses, dates, decimals, sets, enums, paths and identifiers need no encoder."""
    code = """
import dataclasses, datetime, decimal, enum, pathlib, uuid

class Colour(enum.Enum):
    RED = "red"

@dataclasses.dataclass
class Point:
    x: int
    at: datetime.datetime

def handler(context):
    return [Point(1, datetime.datetime(2026, 1, 2, 3, 4)), datetime.date(2026, 1, 2), decimal.Decimal("1.5"),
            decimal.Decimal(3), {1}, Colour.RED, pathlib.PurePath("a/b"), uuid.UUID(int=1)]
"""
    answer = await functions.call(functions.deploy("python", code))
    assert orjson.loads(await read(answer)) == [
        {"x": 1, "at": "2026-01-02T03:04:00"},
        "2026-01-02",
        1.5,
        3,
        [1],
        "red",
        "a/b",
        "00000000-0000-0000-0000-000000000001",
    ]
