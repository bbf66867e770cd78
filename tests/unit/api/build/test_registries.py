"""What may be reached and read is what npm and pip of this host are set up to use, as they say themselves."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudserve.api.build import toolchain
from cloudserve.api.build.registries import Registries, hosts_of
from cloudserve.api.build.request import SingleFile
from tests.unit.api.build.deploying import Deploying, archive
from tests.unit.api.build.registry import Place, place

NODE = "module.exports = require('seven');"
PYTHON = "import seven\ndef handler(context): return seven.seven\n"


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the host's user without any configuration."""
    for name in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT", "PIP_CONFIG_FILE", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(toolchain.folder().parents[2]))  # esbuild need not be fetched again
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A registry that this host's npm and pip are set up to use."""
    toolchain.esbuild()  # which this registry does not have
    with place() as one:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://{one.host}/")
        monkeypatch.setenv("NPM_CONFIG_FETCH_RETRIES", "0")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://{one.host}/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        yield one


@pytest.fixture
def elsewhere() -> Iterator[Place]:
    """Another server on this host."""
    with place() as one:
        yield one


async def test_npm_says_what_it_is_set_up_to_use(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registries of scopes, proxies, certificates and keys among it; never a password."""
    for name in ("ca.pem", "client.pem"):
        (clean / name).write_text("pem")
    monkeypatch.setenv("CA", str(clean / "ca.pem"))
    monkeypatch.setenv("https_proxy", "http://user:hunter2@proxy.example:3128")
    (clean / ".npmrc").write_text(
        "registry=https://user:hunter2@npm.example/all/\n"
        "@acme:registry=http://10.0.0.7:4873\n"
        "//npm.example/all/:_authToken=hunter2\n"
        f"//npm.example/all/:keyfile={clean / 'client.pem'}\n"
        f"cafile={clean / 'ca.pem'}\n"
    )
    found = await Registries(tmp_path / "own").of("npm")
    assert found.hosts == ("npm.example:443", "10.0.0.7:4873", "proxy.example:3128")
    assert found.scopes == ("@acme",)
    assert {clean / ".npmrc", clean / "client.pem"} <= set(found.private)
    assert clean / "ca.pem" in found.public
    assert "hunter2" not in repr(found)


async def test_pip_says_what_it_is_set_up_to_use(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More indexes, folders of wheels, proxies, certificates and keys among it; never a password."""
    for name in ("ca.pem", "client.pem"):
        (clean / name).write_text("pem")
    (clean / "wheels").mkdir()
    (clean / ".config" / "pip").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(clean / ".config"))
    configuration = clean / ".config" / "pip" / "pip.conf"
    configuration.write_text(
        "[global]\nindex-url = https://user:hunter2@pip.example/simple\nextra-index-url = http://[fd00::7]:8080/simple\n"
        f"find-links =\n    {clean / 'wheels'}\n    https://wheels.example/list.html\n"
        f"proxy = user:hunter2@proxy.example:3128\ncert = {clean / 'ca.pem'}\nclient-cert = {clean / 'client.pem'}\n"
    )
    found = await Registries(tmp_path / "own").of("pip")
    assert found.hosts == ("pip.example:443", "[fd00::7]:8080", "wheels.example:443", "proxy.example:3128")
    assert found.sources == 3
    assert {configuration, clean / "client.pem"} <= set(found.private)
    assert {clean / "ca.pem", clean / "wheels"} <= set(found.public)
    assert "hunter2" not in repr(found)


async def test_what_is_built_in_comes_from_the_tools(clean: Path, tmp_path: Path) -> None:
    """A host that configures nothing uses what npm and pip have built in."""
    registries = Registries(tmp_path / "own")
    for installer in ("npm", "pip"):
        found = await registries.of(installer)
        assert len(found.hosts) >= 1
        assert found.took_ms > 0


async def test_a_tool_is_asked_once_until_its_configuration_changes(clean: Path, tmp_path: Path) -> None:
    """A file that comes to be is a change, too."""
    registries = Registries(tmp_path / "own")
    first = await registries.of("npm")
    assert await registries.of("npm") is first
    (clean / ".npmrc").write_text("registry=http://npm.example:4873/\n")
    second = await registries.of("npm")
    assert second.hosts[0] == "npm.example:4873"
    assert await registries.of("npm") is second
    (clean / ".npmrc").write_text("registry=http://npm.example:4874/\n")
    assert (await registries.of("npm")).hosts[0] == "npm.example:4874"


def test_addresses_become_hosts_and_ports() -> None:
    """Each once; a path of this host is none."""
    addresses = ["https://a/x", "http://a", "http://u:p@a:8080/", "b:3128", "http://[::1]/", "file:///x", "/x", None]
    assert hosts_of([*addresses, "https://a"]) == ("a:443", "a:80", "a:8080", "b:3128", "[::1]:80")


@pytest.mark.parametrize("runtime", ["node", "python"])
async def test_a_registry_names_the_place_of_its_files(
    one: Deploying, registry: Place, elsewhere: Place, runtime: str
) -> None:
    """Which is reached then, though no configuration has it."""
    registry.add_npm("seven", files=elsewhere)
    registry.add_pip("seven", files=elsewhere)
    code = SingleFile("index.js", NODE) if runtime == "node" else SingleFile("main.py", PYTHON)
    _, build = await one.deploy("hello", code)
    assert build.error is None
    assert [path for path in elsewhere.asked if "seven" in path]


async def test_a_package_does_not_name_places(one: Deploying, registry: Place, elsewhere: Place) -> None:
    """Its author may write any address among its dependencies; nobody goes there."""
    elsewhere.add_npm("seven")
    registry.add_npm("evil", dependencies={"seven": f"http://{elsewhere.host}/seven/-/seven-1.0.0.tgz"})
    _, build = await one.deploy("hello", SingleFile("index.js", "require('evil')"))
    assert build.error is not None
    assert build.error.startswith(f"The build was refused a connection to `{elsewhere.host}`: a build reaches the reg")
    assert "npm config set registry" in build.error
    assert build.error in build.output
    assert elsewhere.asked == []


async def test_a_redirect_leads_nowhere_else(one: Deploying, registry: Place, elsewhere: Place) -> None:
    """The error names the place and what would allow it."""
    path = registry.add_pip("seven")
    registry.redirects[path] = f"http://{elsewhere.host}{path}"
    _, build = await one.deploy("hello", SingleFile("main.py", PYTHON))
    assert build.error is not None
    assert build.error.startswith(f"The build was refused a connection to `{elsewhere.host}`")
    assert "pip config set global.extra-index-url" in build.error
    assert elsewhere.asked == []


async def test_no_script_of_a_package_runs(one: Deploying, registry: Place, tmp_path: Path) -> None:
    """Neither when it is installed nor when it is packed; pip builds nothing from sources either."""
    registry.add_npm("seven")
    kind, content = registry.pages["/seven"]
    document = json.loads(content)
    document["versions"]["1.0.0"]["scripts"] = {"preinstall": f"touch {tmp_path / 'ran'}"}
    document["versions"]["1.0.0"]["hasInstallScript"] = True
    registry.pages["/seven"] = (kind, json.dumps(document).encode())
    _, build = await one.deploy("hello", SingleFile("index.js", NODE))
    assert build.error is None
    assert not (tmp_path / "ran").exists()
    registry.pages["/simple/eight/"] = ("text/html", b'<a href="/files/eight-1.0.0.tar.gz">eight-1.0.0.tar.gz</a>')
    _, build = await one.deploy("eight", archive(requirements__txt="eight\n", main__py="import eight\n"))
    assert build.error is not None
    assert "no release with a wheel" in build.error
    assert "/files/eight-1.0.0.tar.gz" not in registry.asked


async def test_tokens_are_sent_and_never_shown(
    one: Deploying, registry: Place, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool of the stage reads them; the output and the errors of a build have none."""
    registry.add_npm("seven")
    (clean / ".npmrc").write_text(f"registry=http://{registry.host}/\n//{registry.host}/:_authToken=hunter2\n")
    (clean / ".npmrc").chmod(0o600)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://{registry.host}/")
    _, build = await one.deploy("hello", SingleFile("index.js", NODE))
    assert build.error is None
    _, failed = await one.deploy("other", SingleFile("index.js", "require('unknown-to-it')"))
    assert failed.error is not None
    assert "hunter2" not in f"{build.output}{failed.output}{failed.error}"
