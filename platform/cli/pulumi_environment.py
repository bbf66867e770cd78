"""What Pulumi needs to know from the environment: where the state is, what encrypts it, and which Python runs programs.

A backend or passphrase that the user has chosen is honoured. Otherwise the state is in a folder of this machine, and
its secrets are encrypted with a passphrase generated once, in a file that only its owner reads.
"""

import json
import os
import pwd
import secrets
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudserve.cli import folders
from cloudserve.cli.pulumi_cli import PulumiCli, Say

PASSPHRASE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class PulumiEnvironment:
    """`variables` is what to set beside PATH, `path` the folders to put before it, `backend` the state's address."""

    variables: dict[str, str]
    path: tuple[Path, ...]
    backend: str

    def merged(self) -> dict[str, str]:
        """Returns the environment of a Pulumi process."""
        path = os.pathsep.join([*map(str, self.path), os.environ.get("PATH", "")])
        return {**os.environ, **self.variables, "PATH": path}


def prepare(cli: PulumiCli, say: Say) -> PulumiEnvironment:
    """Returns the environment; makes the state's folder and the passphrase at first use, and says where they are."""
    variables = {"PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_PYTHON_CMD": sys.executable}
    backend = _chosen_backend()
    if backend is None:
        state = folders.data_home() / "pulumi"
        if not state.exists():
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            say(f"The state of your stacks is kept in {state}.")
        backend = variables["PULUMI_BACKEND_URL"] = state.as_uri()
    if "PULUMI_CONFIG_PASSPHRASE" not in os.environ and "PULUMI_CONFIG_PASSPHRASE_FILE" not in os.environ:
        variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase(say))
    if not os.environ.get("USER"):  # Pulumi ends without a name, which a user of a container may not have
        variables["USER"] = _user_name()
    return PulumiEnvironment(variables, (cli.folder, Path(sys.executable).parent), backend)


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _chosen_backend() -> str | None:
    """Returns the backend of the environment, or the one the user is logged in to."""
    if chosen := os.environ.get("PULUMI_BACKEND_URL"):
        return chosen
    if os.environ.get("PULUMI_ACCESS_TOKEN"):
        return "https://api.pulumi.com"
    home = os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi"
    try:
        current = json.loads((Path(home) / "credentials.json").read_text()).get("current")
    except (OSError, ValueError):
        return None
    return current or None


def _passphrase(say: Say) -> Path:
    file = folders.config_home() / "passphrase"
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=".passphrase-")  # of mode 0600
        try:
            with os.fdopen(descriptor, "w") as opened:
                opened.write(secrets.token_urlsafe(PASSPHRASE_BYTES))
                opened.flush()
                os.fsync(descriptor)
            file.hardlink_to(draft)  # whole, however this ends: an empty one would encrypt with nothing
        except FileExistsError:
            return file  # another command was first
        finally:
            Path(draft).unlink()
        say(f"The passphrase that encrypts secrets in the state was made and is in {file}. Keep a copy of it.")
    return file
