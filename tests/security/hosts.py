"""Platforms under attack, each run where its tier is made, and what the tests see of them from outside."""

import importlib.util
import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudserve.core.confine.tiers import Tier
from tests.security.engine import IMAGE, Engine

ORDINARY = 12345
"""A user that nobody else is."""

PUBLIC = "93.184.215.14"
"""Where the internet is, in the tests' own network: a public address, for the walls judge by the address."""

RUNTIMES = ("python", "node")

_HERE = Path(__file__).parent
_REPOSITORY = _HERE.parents[1]
_PACKAGES = ("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection", "orjson")
_PATIENCE_SECONDS = 100
_numbers = itertools.count(1)


def secret(name: str) -> str:
    """Returns a secret in the form that attackers hunt for."""
    return f"CANARY-{name}-{secrets.token_hex(16)}"


class Place:
    """The files that every host shares, where everybody may read them: the platform, its packages, the attackers."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder = folder
        self.packages = folder / "packages"
        shutil.copytree(_REPOSITORY / "platform", self.packages / "cloudserve", ignore=_rubbish)
        for name in _PACKAGES:
            _copy_package(name, self.packages)
        shutil.copytree(_HERE / "inside", folder / "inside", ignore=_rubbish)
        (folder / "resolv.conf").write_text(f"nameserver {PUBLIC}\n")
        self.interpreter = _interpreter()

    def run(self, name: str) -> Path:
        """Returns the folder of a host's own files."""
        return self.folder / f"run-{name}"

    def functions(self, host: str, links: Mapping[str, str]) -> Path:
        """Writes the attackers of one host, with symbolic links among their files."""
        folder = self.folder / f"functions-{host}"
        for runtime in RUNTIMES:
            shutil.copytree(_HERE / "functions" / runtime, folder / runtime, ignore=_rubbish)
        shutil.copytree(_HERE / "functions" / "python", folder / "node" / "python", ignore=_rubbish)
        for runtime in RUNTIMES:
            for name, target in links.items():
                (folder / runtime / name).symlink_to(target)
        return folder


@dataclass
class Report:
    """What an attacker says of its tries."""

    got: dict[str, str]
    refused: dict[str, str]

    def leaked(self) -> str:
        """Returns everything that it got, to look for secrets in."""
        return json.dumps(self.got)


@dataclass
class Host:
    """A platform and the functions on it. `tier` is what its walls should be: A, B, C, or none."""

    name: str
    tier: Tier
    place: Place
    process: subprocess.Popen[bytes]
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    functions: Path = Path()
    _waiting: dict[int, "Future[dict[str, Any]]"] = field(default_factory=dict)

    # -- orders --------------------------------------------------------------------------------------------------

    def order(self, do: str, **parts: Any) -> "Future[dict[str, Any]]":
        """Gives an order; its answer is to come."""
        number = next(_numbers)
        future: Future[dict[str, Any]] = Future()
        self._waiting[number] = future
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": number, "do": do, **parts}).encode() + b"\n")
        self.process.stdin.flush()
        return future

    def __call__(self, do: str, **parts: Any) -> dict[str, Any]:
        """Gives an order and returns its answer."""
        answer = self.order(do, **parts).result(_PATIENCE_SECONDS)
        assert "failed" not in answer, answer
        return answer

    def __post_init__(self) -> None:
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        """Hands out the answers, from a thread of its own."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            self._waiting.pop(answer.pop("id")).set_result(answer)
        for future in self._waiting.values():
            future.set_result({"failed": "the host has ended"})

    def start(self, tier: str, without: Sequence[str] = ()) -> None:
        """Starts the platform, without some layers of its walls, and deploys attackers and victims."""
        self.facts = self("start", tier=tier, without=list(without), folder=str(self.folder))
        self.secrets.update(self.facts["secrets"])
        links = {"to-the-file": self.facts["file"], "to-shadow": "/etc/shadow", "up": "../../../../../../../.."}
        self.functions = self.place.functions(self.name, links)
        for runtime in RUNTIMES:
            self.deploy_attacker(runtime)
            self._deploy_victim(runtime)

    def deploy_attacker(self, runtime: str, name: str | None = None, **changes: Any) -> None:
        """Deploys the attacker, with room for what it does."""
        entry = {"python": "main.py", "node": "index.cjs"}[runtime]
        limits = {"timeout_seconds": 90, "memory_mb": 256, **changes.pop("limits", {})}
        code = str(self.functions / runtime)
        self(
            "deploy",
            name=name or f"attacker-{runtime}",
            runtime=runtime,
            code=code,
            entry=entry,
            limits=limits,
            **changes,
        )

    def _deploy_victim(self, runtime: str) -> None:
        """Deploys a function with something to steal in its code, environment, memory and temporary folder."""
        self.secrets[f"code {runtime}"], self.secrets[f"victim {runtime}"] = secret("code"), secret("victim")
        folder = self.functions / f"victim-{runtime}"
        folder.mkdir()
        entry, code = {
            "python": ("main.py", _PYTHON_VICTIM),
            "node": ("index.cjs", _NODE_VICTIM),
        }[runtime]
        (folder / entry).write_text(code.replace("SECRET", self.secrets[f"code {runtime}"]))
        environment = {"TOKEN": self.secrets[f"victim {runtime}"]}
        parts = {"runtime": runtime, "code": str(folder), "entry": entry, "environment": environment}
        self("deploy", name=f"victim-{runtime}", **parts)

    # -- attacks -------------------------------------------------------------------------------------------------

    def attack(self, attack: str, runtime: str, **more: Any) -> Report:
        """Has the attacker make an attack and returns what it says."""
        self("reset")
        for victim in RUNTIMES:
            self.visit(victim)
        body = {"attack": attack, "targets": {**self.targets(runtime), **more}}
        answer = self("call", name=f"attacker-{runtime}", body=body)
        assert answer["status"] == 200, answer
        return Report(**json.loads(answer["body"]))

    def visit(self, runtime: str) -> dict[str, Any]:
        """Calls a victim, which must be as well as ever."""
        answer = self("call", name=f"victim-{runtime}", body={})
        assert answer["status"] == 200, answer
        return answer

    def targets(self, runtime: str) -> dict[str, Any]:
        """Returns what an attacker could at best know of the host."""
        seen = self("look")
        own = seen["workers"].get(f"attacker-{runtime}", [])
        victims = [pid for victim in RUNTIMES for pid in seen["workers"][f"victim-{victim}"]]
        codes = [str(self.functions / "victim-python" / "main.py"), str(self.functions / "victim-node" / "index.cjs")]
        return {
            "walled": self.tier != "none",
            "python": str(self.place.interpreter),
            "files": [
                "/etc/shadow",
                "/etc/gshadow",
                self.facts["file"],
                str(_REPOSITORY / "pyproject.toml"),
                str(self.place.folder / "inside" / "host.py"),
            ],
            "folders": ["/root", "/home", str(self.folder), str(self.folder / "data"), str(_REPOSITORY)],
            "disks": [f"/dev/{line.split()[3]}" for line in Path("/proc/partitions").read_text().splitlines()[2:4]],
            "others": [*codes, *self._victims_files()],
            "pids": victims,
            "platform": [pid for pid in seen["platform"] if pid not in own],
            "address": self.facts["address"],
            "links": ["to-the-file", "to-shadow"],
            "canary": self.facts["file"],
            "spoil": [self.facts["file"], *codes],
            "terminals": [],
            "ports": self.facts["ports"],
            "udp": self.facts["udp"],
            "unix": self.facts["unix"],
            "own_addresses": [self.facts["own_address"]],
            "open": [PUBLIC, 80],
            "redirect": "http://open.test/redirect?",
            "closed": [
                f"http://127.0.0.1:{self.facts['ports'][0]}/",
                f"http://[::1]:{self.facts['ports'][1]}/",
                f"http://{self.facts['own_address']}:{self.facts['ports'][1]}/",
                "http://169.254.169.254/latest/meta-data/",
            ],
            "names": ["shut.test", "metadata.test", "rebind.test", "both.test", "localhost"],
        }

    def _victims_files(self) -> list[str]:
        """Returns the victims' temporary files, by their names on this host."""
        return [str(path) for path in (self.folder / "work").rglob("victims-own")]

    def stolen(self, report: Report) -> list[str]:
        """Returns the secrets that an attacker has got hold of."""
        leaked = report.leaked()
        return [name for name, value in self.secrets.items() if value in leaked]

    # -- its end -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the platform; nothing of it is left."""
        self("close")
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        self._listener.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


_PYTHON_VICTIM = """# SECRET
import os
STOLEN = os.environ["TOKEN"]
def handler(context):
    with open(os.environ["TMPDIR"] + "/victims-own", "w") as file:
        file.write(STOLEN)
    return str(os.getpid())
"""
_NODE_VICTIM = """// SECRET
const stolen = process.env.TOKEN;
module.exports = () => {
  require('node:fs').writeFileSync(`${process.env.TMPDIR}/victims-own`, stolen);
  return String(process.pid);
};
"""


def as_root(place: Place, name: str, tier: Tier) -> Host:
    """Starts a host as root, in a network of its own."""
    return _started(place, name, tier, _apart(place, []))


def as_ordinary_user(place: Place, name: str, tier: Tier) -> Host:
    """Starts a host as an ordinary user, in a network of its own."""
    user = ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", "--bounding-set=-all", "--"]
    return _started(place, name, tier, _apart(place, user), owner=ORDINARY)


def in_container(place: Place, name: str, tier: Tier, engine: Engine, user: int) -> Host:
    """Starts a host in a container as clusters restrict them: no capability, no new privileges, bounded."""
    folder = place.run(name)
    limits = ["--pids-limit=400", "--memory=1500m", f"--tmpfs={folder}/work:size=256m,mode=777"]
    walls = ["--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none", f"--user={user}:{user}"]
    mounted = ["/usr:/usr:ro", f"{place.folder}:{place.folder}:ro", f"{place.folder}/resolv.conf:/etc/resolv.conf:ro"]
    mounts = [part for mount in (*mounted, f"{folder}:{folder}") for part in ("-v", mount)]
    environment = [part for name in _environment(place) for part in ("-e", name)]
    command = [*engine.command, "run", "-i", "--rm", f"--name={place.folder.name}-{name}"]
    command += [*limits, *walls, *mounts, *environment, IMAGE, *_program(place)]
    host = _started(place, name, tier, command, owner=user)
    host.facts["container"] = f"{place.folder.name}-{name}"
    return host


def _started(place: Place, name: str, tier: Tier, command: list[str], owner: int = 0) -> Host:
    folder = place.run(name)
    folder.mkdir(mode=0o700)
    os.chown(folder, owner, owner)
    planted = secret("environment")
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**_environment(place), "CLOUDSERVE_CANARY": planted},
        cwd="/",
    )
    return Host(name, tier, place, process, folder)


def _environment(place: Place) -> dict[str, str]:
    path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    return {
        "PATH": path,
        "PYTHONPATH": f"{place.packages}:{place.folder}/inside",
        "CLOUDSERVE_CANARY": "",
        "LANG": "C.UTF-8",
    }


def _program(place: Place) -> list[str]:
    return [str(place.interpreter), "-B", "-W", "error", str(place.folder / "inside" / "host.py")]


def _apart(place: Place, user: list[str]) -> list[str]:
    """Returns the command that runs a host in a network of its own, whose resolver is the tests'.

    What attackers change where there are no walls, they change there as well: the host's name, its IPC, its folders.
    """
    covered = " && ".join(
        f"mount -t tmpfs none {folder}" for folder in ("/usr/local/lib", "/var/tmp", "/run", "/dev/shm")
    )
    script = f'mount --bind "$0" /etc/resolv.conf && {covered} && ip link set lo up && exec "$@"'
    inner = ["sh", "-c", script, str(place.folder / "resolv.conf"), *user, *_program(place)]
    return ["unshare", "--net", "--mount", "--uts", "--ipc", "--", *inner]


def _interpreter() -> Path:
    """Returns a Python of this version that any user of this host can run."""
    own = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    version = f"python3.{sys.version_info.minor}"
    for candidate in (own, Path("/usr/bin") / version):
        if candidate.exists() and all(parent.stat().st_mode & 0o001 for parent in candidate.parents):
            return candidate
    raise FileNotFoundError(f"no {version} that every user can run: {own} is under a folder that is closed to others")


def _copy_package(name: str, folder: Path) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    origin = Path(spec.origin)
    if origin.name.startswith("__init__."):
        shutil.copytree(origin.parent, folder / name, ignore=_rubbish)
    else:
        shutil.copy(origin, folder)


_rubbish = shutil.ignore_patterns("__pycache__", "node_modules")
