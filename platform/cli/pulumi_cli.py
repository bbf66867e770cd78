"""Finding the Pulumi CLI, and getting it where there is none.

In this order: on PATH, under `~/.pulumi/versions`, by Pulumi's own installer, and built from Go modules. A folder under
`~/.pulumi/versions` appears whole, by rename, so that nobody meets half a build.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudserve.cli.output import CommandError

MINIMUM: Final = (3, 259, 0)
"""The oldest version the tests run with."""

BUILT_VERSION: Final = "3.259.0"
"""The newest version whose Go modules build without replacements."""

_MODULES: Final = Path(__file__).parent / "pulumi_modules"
_INSTALLER: Final = "https://get.pulumi.com/install.sh"
_PROBE_SECONDS: Final = 8
_INSTALL_SECONDS: Final = 600
_BUILD_SECONDS: Final = 3600
_GO_MINIMUM: Final = (1, 26)
_GO_TOOLCHAINS: Final = (1, 21)  # from here on, Go can fetch a newer toolchain by itself

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PulumiCli:
    """A Pulumi CLI that can run Python programs."""

    executable: Path
    version: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """The folder to have on PATH: Pulumi looks there for its language host."""
        return self.executable.parent

    def __str__(self) -> str:
        return f"Pulumi {'.'.join(map(str, self.version))} ({self.executable})"


def find() -> PulumiCli | None:
    """Returns a usable CLI of this machine: the one on PATH, else the newest under `~/.pulumi/versions`."""
    on_path = shutil.which("pulumi")
    if on_path and (cli := _usable(Path(on_path))):
        return cli
    installed = [cli for path in _versions().glob("[0-9]*/bin/pulumi") if (cli := _usable(path))]
    official = _usable(Path.home() / ".pulumi" / "bin" / "pulumi")
    return max([*installed, *([official] if official else [])], key=lambda cli: cli.version, default=None)


def obtain(say: Say) -> PulumiCli:
    """Returns a usable CLI, and gets one first where there is none. Raises `CommandError` that names the remedy."""
    if cli := find():
        return cli
    say("There is no Pulumi CLI here yet. Trying Pulumi's installer.")
    failures = []
    for way in (_install, _build):
        try:
            way(say)
        except _Failed as failure:
            say(str(failure))
            failures.append(str(failure))
        else:
            if cli := find():
                say(f"Got {cli}.")
                return cli
            failures.append("What was installed does not run.")
    raise CommandError(
        "The Pulumi CLI could not be had. " + " ".join(failures) + " Remedy: install it as pulumi.com/docs/install "
        f"shows (version {'.'.join(map(str, MINIMUM))} or newer), and run this again.",
        reason="no-pulumi",
    )


class _Failed(Exception):  # noqa: N818 - one way did not work out; there may be another
    pass


def _versions() -> Path:
    return Path.home() / ".pulumi" / "versions"


def _usable(executable: Path) -> PulumiCli | None:
    """Returns the CLI if it runs, is new enough and has the language host for Python."""
    try:
        told = subprocess.run(  # noqa: S603 - the CLI itself
            [executable, "version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = _numbers(told)
    beside = executable.resolve().with_name("pulumi-language-python")
    if version < MINIMUM or not (beside.exists() or shutil.which("pulumi-language-python")):
        return None
    return PulumiCli(executable, version)


def _numbers(text: str) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(number or 0) for number in found.groups()) if found else ()


def _install(say: Say) -> None:
    try:
        with urllib.request.urlopen(_INSTALLER, timeout=_PROBE_SECONDS):
            pass
    except (OSError, urllib.error.URLError) as error:
        raise _Failed(f"Pulumi's installer can't be reached ({getattr(error, 'reason', error)}).") from None
    say("Installing Pulumi with its installer; this takes about a minute.")
    # In a process of its own, because the installer has no time limit.
    program = "from pulumi.automation import PulumiCommand; PulumiCommand.install()"
    _run([sys.executable, "-c", program], timeout=_INSTALL_SECONDS, what="Pulumi's installer failed")


def _build(say: Say) -> None:
    go = shutil.which("go")
    if go is None:
        raise _Failed("It can't be built from Go modules either: there is no Go.")
    version = _numbers(_run([go, "env", "GOVERSION"], timeout=60, what="Go does not run"))[:2]
    if version < _GO_TOOLCHAINS:
        raise _Failed(f"It can't be built from Go modules either: that needs Go {'.'.join(map(str, _GO_MINIMUM))}.")
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-buildvcs=false -mod=readonly -trimpath",  # readonly: what go.sum does not know is refused
        "GOWORK": "off",
        **({"GOTOOLCHAIN": "auto"} if version < _GO_MINIMUM else {}),
    }
    say("Building Pulumi from its Go modules, once: some 270 MB to fetch, then 5 to 10 minutes of work.")
    with _whole_folder(_versions() / BUILT_VERSION) as target:
        bin_folder = target / "bin"
        bin_folder.mkdir()
        flags = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{BUILT_VERSION}"
        for step, (name, module, package) in enumerate(_PROGRAMS, start=1):
            say(f"  {step}/{len(_PROGRAMS)} {name}")
            command = [go, "build", "-ldflags", flags, "-o", str(bin_folder / name), package]
            _run(command, timeout=_BUILD_SECONDS, what=f"{name} did not build", env=environment, cwd=_MODULES / module)
        sdk = Path(
            _run(
                [go, "list", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi/sdk/v3"],
                timeout=_BUILD_SECONDS,
                what="the Python support of Pulumi was not found",
                env=environment,
                cwd=_MODULES / "cli",
            ).strip()
        )
        for script in _SCRIPTS:
            shutil.copyfile(sdk / script, bin_folder / script.name)
            (bin_folder / script.name).chmod(0o755)


_PROGRAMS: Final = (
    ("pulumi", "cli", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"),
    ("pulumi-language-python", "language-python", "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"),
)
_SCRIPTS: Final = (
    Path("python/cmd/pulumi-language-python-exec"),
    Path("python/dist/pulumi-resource-pulumi-python"),
)


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
    try:
        yield draft
        draft.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)  # what is there does not run, or nothing would be built
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run(
    command: list[str], *, timeout: float, what: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs
            command, capture_output=True, text=True, timeout=timeout, check=False, env=env, cwd=cwd
        )
    except subprocess.TimeoutExpired:
        raise _Failed(f"{what}: it took longer than {timeout:.0f} s.") from None
    except OSError as error:
        raise _Failed(f"{what}: {error}.") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise _Failed(f"{what}: {last}.")
    return done.stdout
