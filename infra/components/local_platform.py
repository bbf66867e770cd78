"""The platform on this machine: one supervised process on a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi

from components.base import Component
from pulumi_cloudserve.local import Administrator, Credentials, DataFolder, ObjectStore, PlatformProcess, Store


@dataclass(frozen=True, kw_only=True)
class LocalPlatformArgs:
    """What a local platform is made of.

    Attributes:
        data_dir: the folder that holds everything it keeps.
        keep_data: whether that folder outlives the stack.
        command: the program that supervises the platform's process.
        code: a hash of the platform's code; a change is taken up without a failed call.
        settings: the platform's settings by their own names (`cloudserve.core.config.Settings`).
        admin_email, admin_user_name: what the administrator's account is made with.
    """

    data_dir: Path
    keep_data: bool
    command: tuple[str, ...]
    code: str
    settings: dict[str, Any]
    admin_email: str
    admin_user_name: str


class LocalPlatform(Component):
    """A whole platform: its folder, the keys to it, database, object store, process and administrator.

    Example:
        >>> platform = LocalPlatform(
        ...     "platform",
        ...     LocalPlatformArgs(
        ...         data_dir=Path("/var/lib/cloudserve"),
        ...         keep_data=True,
        ...         command=(sys.executable, "-m", "cloudserve.cli.supervisor"),
        ...         code=code_hash(),
        ...         settings={"host": "127.0.0.1", "port": 7700, "run_port": 7701, "url": "http://localhost:7700"},
        ...         admin_email="ada@example.org",
        ...         admin_user_name="ada",
        ...     ),
        ... )
        >>> pulumi.export("adminPassword", platform.administrator.password)
    """

    def __init__(self, name: str, args: LocalPlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.folder = self._data_folder(args)
        self.credentials = self._credentials(args)
        self.store = self._store(args)
        self.objects = self._object_store(args)
        self.process = self._process(args)
        self.administrator = self._administrator(args)
        self.register_outputs({})

    def _data_folder(self, args: LocalPlatformArgs) -> DataFolder:
        return DataFolder(f"{self.name}-data", path=str(args.data_dir), keep_data=args.keep_data, opts=self.under())

    def _credentials(self, args: LocalPlatformArgs) -> Credentials:
        return Credentials(
            f"{self.name}-secrets",
            folder=str(args.data_dir / "credentials"),
            database=str(args.data_dir / "cloudserve.db"),
            opts=self.under(after=[self.folder]),
        )

    def _store(self, args: LocalPlatformArgs) -> Store:
        # After the secrets: a database that is there before them has lost the key to what is sealed in it.
        path = str(args.data_dir / "cloudserve.db")
        return Store(f"{self.name}-store", path=path, opts=self.under(after=[self.credentials]))

    def _object_store(self, args: LocalPlatformArgs) -> ObjectStore:
        path = str(args.data_dir / "objects")
        return ObjectStore(f"{self.name}-objects", path=path, opts=self.under(after=[self.folder]))

    def _process(self, args: LocalPlatformArgs) -> PlatformProcess:
        return PlatformProcess(
            f"{self.name}-process",
            data_dir=str(args.data_dir),
            command=list(args.command),
            settings=args.settings,
            code=args.code,
            opts=self.under(after=[self.credentials, self.store, self.objects]),
        )

    def _administrator(self, args: LocalPlatformArgs) -> Administrator:
        return Administrator(
            f"{self.name}-administrator",
            url=f"http://{_reachable(args.settings['host'])}:{args.settings['port']}",
            credentials=str(args.data_dir / "credentials"),
            email=args.admin_email,
            user_name=args.admin_user_name,
            opts=self.under(after=[self.process]),
        )


def _reachable(host: str) -> str:
    """Returns where this machine reaches what listens on `host`: every address is no address to call."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)  # noqa: S104 - called, not bound
