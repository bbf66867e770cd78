"""Starting a supervisor so that it outlives whoever started it.

Where the user's systemd can be reached it becomes a unit there, which starts it again after a crash and, with
lingering on, after a reboot. Elsewhere it is a process in a session of its own.
"""

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pulumi_cloudserve.provider.files import make_folder
from pulumi_cloudserve.provider.framework import ResourceError

KEPT: Final = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "NODE_EXTRA_CA_CERTS")
KEPT_PREFIXES: Final = ("LC_", "XDG_", "SSL_CERT_", "PIP_", "NPM_CONFIG_", "npm_config_", "REQUESTS_CA_", "CURL_CA_")
KEPT_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


def environment() -> dict[str, str]:
    """Returns what a platform inherits of this environment: what builds need to reach registries, and little else."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(KEPT_PREFIXES) or name.upper() in KEPT_PROXIES
    }


def launch(command: Sequence[str], data: Path) -> None:
    """Starts the supervisor of the platform on a data folder."""
    make_folder(data / "logs")
    if has_systemd():
        _write_unit(command, data)
        _systemctl("daemon-reload")
        _systemctl("reset-failed", unit(data), check=False)
        _systemctl("enable", unit(data))
        _systemctl("restart", unit(data))
        _linger()
    else:
        with (data / "logs" / "supervisor.log").open("ab") as log:
            supervisor = subprocess.Popen(  # noqa: S603 - the command is the stack's own
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=data,
                env=environment(),
                start_new_session=True,
            )
        # It outlives this process, which only has to take note if it ends before.
        threading.Thread(target=supervisor.wait, daemon=True).start()


def retire(data: Path) -> None:
    """Takes the platform's unit away, if it has one, and ends what it runs."""
    if _unit_file(data).exists():
        if has_systemd():
            _systemctl("disable", "--now", unit(data), check=False)
        _unit_file(data).unlink(missing_ok=True)
        if has_systemd():
            _systemctl("daemon-reload", check=False)


def unit(data: Path) -> str:
    """Returns the name of the unit for a data folder."""
    mark = hashlib.sha256(str(data).encode()).hexdigest()[:8]
    return f"cloudserve-{mark}.service"


def has_systemd() -> bool:
    """Tells whether the user's systemd answers."""
    program = shutil.which("systemctl")
    if program is None:
        return False
    try:
        done = subprocess.run(  # noqa: S603 - a program of the system
            [program, "--user", "show-environment"], capture_output=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def unit_text(command: Sequence[str], data: Path) -> str:
    """Returns the unit: started again unless it ended well or another one runs already (code 3)."""
    variables = "\n".join(f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(environment().items()))
    return f"""[Unit]
Description=CloudServe on {data}
StartLimitIntervalSec=0

[Service]
ExecStart={" ".join(map(_quoted, command))}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={_quoted(str(data))}
{variables}
Restart=on-failure
RestartPreventExitStatus=3
RestartSec=2
KillMode=mixed
Delegate=yes
TimeoutStopSec=60

[Install]
WantedBy=default.target
"""


def _unit_file(data: Path) -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "systemd" / "user" / unit(data)


def _write_unit(command: Sequence[str], data: Path) -> None:
    file = _unit_file(data)
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(unit_text(command, data))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _systemctl(*arguments: str, check: bool = True) -> None:
    done = subprocess.run(  # noqa: S603 - a program of the system
        ["systemctl", "--user", *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    if check and done.returncode != 0:
        raise ResourceError(f"systemctl --user {' '.join(arguments)} failed: {done.stderr.strip()}")


def _linger() -> None:
    """Asks for the user's units to run while nobody is signed in. Where that isn't allowed, they run until sign-out."""
    program = shutil.which("loginctl")
    if program:
        subprocess.run([program, "enable-linger"], capture_output=True, timeout=30, check=False)  # noqa: S603
