"""JavaScript's imports become packages, as esbuild reads them and npm names them."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudserve.api.build import toolchain
from cloudserve.api.build.bundle import bundle_node
from cloudserve.api.build.imports_js import BUILTINS, is_package_name, package_of, packages_of
from tests.unit.api.build.jails import jail


@pytest.mark.parametrize(
    ("specifier", "package"),
    [
        ("lodash", "lodash"),
        ("lodash/fp", "lodash"),
        ("lodash/fp/", "lodash"),
        ("@scope/x", "@scope/x"),
        ("@scope/x/y/z.js", "@scope/x"),
        ("fs", None),
        ("fs/promises", None),
        ("node:fs", None),
        ("node:test", None),
        ("punycode/", "punycode"),
        ("./a", None),
        ("../a", None),
        ("/a", None),
        ("#internal", None),
        ("https://example.com/a.js", None),
        ("data:text/javascript,1", None),
        ("@scope", None),
        ("", None),
        ("a b", None),
        ("-g", "-g"),
        ("$", None),
        ("x" * 215, None),
    ],
)
def test_a_specifier_asks_for_a_package_or_none(specifier: str, package: str | None) -> None:
    """Sub-paths ask for their package; Node's own modules, paths and addresses for none."""
    assert package_of(specifier) == package


SPECIFIERS = st.one_of(st.text(max_size=30), st.from_regex(r"@?[a-z./#:-]{1,12}", fullmatch=True))


@given(specifiers=st.lists(SPECIFIERS, max_size=8))
def test_whatever_is_imported_only_package_names_come_out(specifiers: list[str]) -> None:
    """Sorted, each once, none of Node's own; a package's sub-path asks for the same package."""
    packages = packages_of(specifiers)
    assert packages == sorted(set(packages))
    for name in packages:
        assert is_package_name(name)
        assert package_of(f"{name}/sub/path.js") == (name if name not in BUILTINS else None)


async def imported(tmp_path: Path, code: str, entry: str = "index.ts") -> tuple[str, ...]:
    """Returns the packages that code imports."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(exist_ok=True)
    (source / entry).write_text(code)
    (source / "local.ts").write_text("import 'of-local'; export type T = 1; export const v = 1;")
    bundle = await bundle_node(
        toolchain.esbuild(), jail=jail(tmp_path), folder=source, entry=entry, target=target, packages_external=True
    )
    return bundle.packages


@pytest.mark.parametrize(
    ("code", "packages"),
    [
        ("import a from 'a'; import * as b from 'b/c'; import { d } from '@d/e/f'; f(a, b, d)", ("@d/e", "a", "b")),
        ("import 'a'; export * from 'b'; export { c } from 'c'", ("a", "b", "c")),
        ("const a = require('a'); exports.f = async () => import('b')", ("a", "b")),
        ("require('a'); (() => { require('dead') })", ("a",)),
        ("require.resolve('a')", ("a",)),
        ("import type { A } from 'a'; import { type B } from 'b'; export type { C } from 'c'", ()),
        ("import { A } from 'unused-so-a-type'; let x: A", ()),
        ("// import 'a'\n/* require('b') */ const s = \"import 'c'\"; const t = `require('d')`", ()),
        ("const name = 'a'; require(name); import(`b${name}`)", ()),
        ("import fs from 'node:fs'; import p from 'path'; require('fs/promises'); console.log(fs, p)", ()),
        ("import { v } from './local'; console.log(v)", ("of-local",)),
        ("import type { T } from './local'; let x: T", ()),
        ("const r = /require('a')/; const j = `${require('b')}`", ("b",)),
    ],
)
async def test_imports_are_told_from_what_looks_like_them(tmp_path: Path, code: str, packages: tuple[str, ...]) -> None:
    """Types, comments, strings, and names that are known only when the code runs are no imports."""
    assert await imported(tmp_path, code) == packages


NAMES = st.from_regex(r"(@[a-z]{1,5}/)?[a-z][a-z0-9-]{0,8}", fullmatch=True).filter(lambda name: name not in BUILTINS)
FORMS = st.sampled_from(
    ["import '{}';", "require('{}');", "import('{}/sub');", 'export * from "{}";', "require(`{}`);"]
)
NOISE = st.sampled_from(["// import '{}'", "/* require('{}') */", "const {{}} = 'require(\"{}\")';", ";"])


@given(imports=st.lists(st.tuples(FORMS, NAMES), max_size=5), noise=st.lists(st.tuples(NOISE, NAMES), max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_import_is_found_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, imports: list[tuple[str, str]], noise: list[tuple[str, str]]
) -> None:
    """Whatever form it has, with comments and strings between."""
    lines = [form.format(name) for pair in zip(imports, noise, strict=False) for form, name in pair]
    lines += [form.format(name) for form, name in imports[len(noise) :]]
    wanted = tuple(sorted({name for _, name in imports}))
    assert await imported(tmp_path_factory.mktemp("js"), "\n".join(lines)) == wanted
