"""Sources become what a worker loads, with stacks that name the user's lines, or a list of what is wrong with them."""

import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cloudserve.api.build import toolchain
from cloudserve.api.build.bundle import NodeBundle, SourceErrors, bundle_node, inspect_python
from tests.unit.api.build.jails import jail


def write(folder: Path, files: dict[str, str]) -> Path:
    """Writes files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


async def bundled(tmp_path: Path, files: dict[str, str], entry: str = "index.js", **options: bool) -> NodeBundle:
    """Bundles files into `out`."""
    source = await asyncio.to_thread(write, tmp_path / "source", files)
    program = await asyncio.to_thread(toolchain.esbuild)
    return await bundle_node(
        program, jail=jail(tmp_path), folder=source, entry=entry, target=tmp_path / "out", **options
    )


def node(tmp_path: Path, bundle: NodeBundle, code: str) -> str:
    """Runs code with the bundle's exports as `m` and returns what it prints."""
    script = f"import('./out/{bundle.entry}').then(async m => {{ m = m.default ?? m; {code} }})"
    command = ["node", "--enable-source-maps", "-e", script]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


async def test_several_files_become_one(tmp_path: Path) -> None:
    """TypeScript, both module systems and JSON alike."""
    files = {
        "index.ts": "import { b } from './lib/b'; import c from './c.cjs'; import d from './d.json';\n"
        "export const handler = (): string => [b, c.c, d.d].join();",
        "lib/b.ts": "export const b: string = 'b';",
        "c.cjs": "exports.c = 'c';",
        "d.json": '{"d": "d"}',
    }
    bundle = await bundled(tmp_path, files, "index.ts")
    assert (bundle.entry, bundle.packages) == ("index.cjs", ())
    assert node(tmp_path, bundle, "console.log(m.handler())") == "b,c,d"


async def test_a_common_js_export_stays_what_it_is(tmp_path: Path) -> None:
    """A function that was exported whole is what `require` returns."""
    bundle = await bundled(tmp_path, {"index.js": "module.exports = () => 7"})
    assert node(tmp_path, bundle, "console.log(m())") == "7"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.cjs", "index.cjs.map"]


async def test_top_level_await_makes_an_es_module(tmp_path: Path) -> None:
    """In which CommonJS packages find `require` and `__dirname` all the same."""
    code = "import q from './q.cjs'; const x = await Promise.resolve(q); export default () => x;"
    files = {"index.js": code, "q.cjs": "module.exports = typeof require('node:fs').readFile + typeof __dirname;"}
    bundle = await bundled(tmp_path, files)
    assert bundle.entry == "index.mjs"
    assert node(tmp_path, bundle, "console.log(m())") == "functionstring"


async def test_import_meta_url_is_known_in_a_common_js_bundle(tmp_path: Path) -> None:
    """It is the bundle's own address."""
    bundle = await bundled(tmp_path, {"index.mjs": "export default import.meta.url"}, "index.mjs")
    assert bundle.entry == "index.cjs"
    assert node(tmp_path, bundle, "console.log(m.default)") == (tmp_path / "out" / "index.cjs").as_uri()


@pytest.mark.parametrize("entry", ["index.ts", "src/deep/index.ts"])
async def test_a_stack_names_the_users_line(tmp_path: Path, entry: str) -> None:
    """File, line and function, in the entry and in what it imports, as if the sources lay where the bundle is."""
    folder = str(Path(entry).parent)
    files = {
        entry: "import { fail } from './lib/fail';\n\n\nexport function handler() { return fail(); }",
        f"{folder}/lib/fail.ts": "interface A { a: 1 }\n\nexport function fail(): A {\n  throw new Error('no');\n}",
    }
    bundle = await bundled(tmp_path, files, entry)
    stack = node(tmp_path, bundle, "try { m.handler() } catch (e) { console.log(e.stack) }")
    top = tmp_path / "out"
    assert f"at fail ({(top / folder / 'lib/fail.ts').resolve()}:4:9)" in stack
    assert f"at Object.handler ({(top / entry).resolve()}:4:" in stack.replace("at handler", "at Object.handler")


async def test_the_source_map_has_the_sources(tmp_path: Path) -> None:
    """So that a stack can show the line itself, and its names lead nowhere on the host."""
    await bundled(tmp_path, {"index.ts": "export const a = 1;"}, "index.ts")
    source_map = json.loads((tmp_path / "out" / "index.cjs.map").read_text())
    assert source_map["sources"] == ["index.ts"]
    assert source_map["sourcesContent"] == ["export const a = 1;"]
    assert str(tmp_path) not in (tmp_path / "out" / "index.cjs").read_text()


async def test_files_that_are_no_code_come_along(tmp_path: Path) -> None:
    """Beside the bundle, which then lies where the entry lay, so that `__dirname` is right; build files don't."""
    files = {
        "src/index.js": "module.exports = () => require('fs').readFileSync(__dirname + '/../data/a.txt', 'utf8')",
        "data/a.txt": "text",
        "package.json": "{}",
        "tsconfig.json": "{}",
    }
    bundle = await bundled(tmp_path, files, "src/index.js")
    assert bundle.entry == "src/index.cjs"
    assert node(tmp_path, bundle, "console.log(m())") == "text"
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"src/index.cjs", "src/index.cjs.map", "data/a.txt"}


async def test_every_error_is_told_with_its_place(tmp_path: Path) -> None:
    """In all files; columns count characters, from 1."""
    files = {
        "index.js": "import './a'; import './b';\nimport x from './missing';",
        "a.js": "const ä = 'ä'; let = ;",
        "b.js": "\tfoo(",
    }
    with pytest.raises(SourceErrors) as raised:
        await bundled(tmp_path, files)
    places = [(place.file, place.line, place.column) for place in raised.value.places]
    assert sorted(places) == [("a.js", 1, 22), ("b.js", 1, 6), ("index.js", 2, 15)]
    assert "index.js:2:15: `./missing` was not found. Check the path; upper and lower case count." in str(raised.value)
    assert "    \tfoo(\n    \t    ^" in str(raised.value)


@pytest.mark.parametrize(
    "code",
    [
        "import x from '{outside}'; console.log(x)",
        "const x = require('../../{name}'); console.log(x)",
        "import x from '../{name}'; console.log(x)",
    ],
)
async def test_files_of_the_host_stay_out(tmp_path: Path, code: str) -> None:
    """A path that leads out of the sources is refused, and nothing of the file is shown."""
    outside = tmp_path / "secret.json"
    outside.write_text('{"password": "hunter2"}')
    files = {"src/index.js": code.replace("{outside}", str(outside)).replace("{name}", outside.name)}
    with pytest.raises(SourceErrors) as raised:
        await bundled(tmp_path, files, "src/index.js")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("source", ["{folder}/secret.txt", "../secret.txt", "file://{folder}/secret.txt"])
@pytest.mark.parametrize("inline", [True, False])
async def test_a_source_map_of_the_users_brings_in_no_file_of_the_host(
    tmp_path: Path, source: str, inline: bool
) -> None:
    """Whatever its sources are, only files that were bundled have their content in the bundle's map."""
    (tmp_path / "secret.txt").write_text("hunter2")
    earlier = json.dumps({"version": 3, "sources": [source.replace("{folder}", str(tmp_path))], "mappings": "AAAA"})
    address = f"data:application/json;base64,{base64.b64encode(earlier.encode()).decode()}" if inline else "a.js.map"
    await bundled(
        tmp_path, {"index.js": f"module.exports = () => 1\n//# sourceMappingURL={address}\n", "a.js.map": earlier}
    )
    made = [path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any("hunter2" in content for content in made)


async def test_a_configuration_of_the_host_stays_out(tmp_path: Path) -> None:
    """Neither one above the sources, nor one that theirs extends, whose content no error shows."""
    (tmp_path / "tsconfig.json").write_text('{"compilerOptions": {"jsxFactory": "taken"}}')
    bundle = await bundled(tmp_path, {"index.jsx": "export default () => <a/>"}, "index.jsx")
    assert "taken" not in (tmp_path / "out" / bundle.entry).read_text()
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / "source" / "tsconfig.json").write_text(json.dumps({"extends": str(tmp_path / "secret")}))
    try:
        await bundled(tmp_path, {"index.jsx": "export default () => <a/>"}, "index.jsx")
    except SourceErrors as errors:
        shown = str(errors)
    else:
        shown = ""
    assert "hunter2" not in shown


async def test_what_packages_can_not_be_bundled_is_left_to_the_layer(tmp_path: Path) -> None:
    """One that is broken, and one that wants what is not installed; the user's own mistakes stay errors."""
    files = {
        "index.js": "const b = require('broken'); const w = require('wants'); module.exports = () => 1;",
        "node_modules/broken/index.js": "this is not JavaScript",
        "node_modules/wants/index.js": "module.exports = () => require('companion')",
    }
    bundle = await bundled(tmp_path, files)
    assert bundle.packages == ("broken", "companion")


async def test_what_looks_for_its_own_files_is_told(tmp_path: Path) -> None:
    """A package that reads beside itself works from a layer alone."""
    files = {
        "index.js": "module.exports = require('reads') + require('@s/plain')",
        "node_modules/reads/index.js": "module.exports = require('fs').readFileSync(__dirname + '/a.txt')",
        "node_modules/@s/plain/index.js": "module.exports = 1",
    }
    assert (await bundled(tmp_path, files)).self_reading == {"reads"}


async def test_python_is_checked_whole(tmp_path: Path) -> None:
    """Every file, with line and column; nothing of it runs."""
    files = {
        "main.py": "import lib\nraise SystemExit('it ran')",
        "lib/__init__.py": "def f(:\n    pass",
        "lib/other.py": "x = 'ä' 1",
        "bytes.py": "a = '\x00'",
    }
    folder = await asyncio.to_thread(write, tmp_path, files)
    with pytest.raises(SourceErrors) as raised:
        await inspect_python(folder, "main.py", jail=jail(tmp_path))
    places = [(place.file, place.line, place.column) for place in raised.value.places]
    assert places == [("bytes.py", 1, 1), ("lib/__init__.py", 1, 7), ("lib/other.py", 1, 9)]
    assert "lib/__init__.py:1:7: invalid syntax\n    def f(:\n          ^" in str(raised.value)


async def test_code_that_breaks_the_parser_breaks_nothing_else(tmp_path: Path) -> None:
    """Python's parser runs in a process of its own, and so may die."""
    deep = "-" * 200_000 + "1"
    folder = await asyncio.to_thread(write, tmp_path, {"main.py": deep, "other.py": "(" * 5000})
    with pytest.raises(Exception, match=r"nested|could not read"):
        await inspect_python(folder, "main.py", jail=jail(tmp_path))


async def test_python_sources_are_read_as_this_python_reads_them(tmp_path: Path) -> None:
    """With its syntax of today, its warnings kept to itself."""
    folder = await asyncio.to_thread(write, tmp_path, {"main.py": "match 1:\n    case 1 if 1 is 1: x = '\\d'\n"})
    assert await inspect_python(folder, "main.py", jail=jail(tmp_path)) == []
    assert sys.version_info >= (3, 11)
