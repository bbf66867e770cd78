"""The resources of a platform on this machine, as programs declare them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi


class _Local(pulumi.CustomResource):
    """A resource whose outputs are attributes in Python's spelling: `api_key` for `apiKey`."""

    def translate_output_property(self, prop: str) -> str:
        """Returns Python's spelling of a property."""
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in prop)


class DataFolder(_Local):
    """The folder that holds everything a platform keeps.

    With `keep_data` it outlives this resource, and the next platform on the same path takes it up.
    """

    path: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        path: pulumi.Input[str],
        keep_data: pulumi.Input[bool] = True,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("cloudserve:local:DataFolder", name, {"path": path, "keepData": keep_data}, opts)


class Credentials(_Local):
    """The keys that open a platform's data, as files in `folder`; none of them is an output."""

    folder: pulumi.Output[str]
    fingerprint: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        folder: pulumi.Input[str],
        database: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {"folder": folder, "database": database, "fingerprint": None}
        super().__init__("cloudserve:local:Credentials", name, properties, opts)


class Store(_Local):
    """The SQLite database of a platform."""

    path: pulumi.Output[str]

    def __init__(self, name: str, *, path: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cloudserve:local:Store", name, {"path": path}, opts)


class ObjectStore(_Local):
    """The folder with sources, bundles and dependency layers."""

    path: pulumi.Output[str]

    def __init__(self, name: str, *, path: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cloudserve:local:ObjectStore", name, {"path": path}, opts)


class PlatformProcess(_Local):
    """The supervised process that serves a platform.

    Args:
        data_dir: the platform's data folder.
        command: the program that supervises; `--settings FILE` is added to it.
        settings: what that file holds: the platform's settings by their own names.
        code: a hash of the platform's code; when it changes, the new code is taken up without a failed call.
    """

    instance: pulumi.Output[str]
    running: pulumi.Output[bool]

    def __init__(
        self,
        name: str,
        *,
        data_dir: pulumi.Input[str],
        command: pulumi.Input[Sequence[str]],
        settings: pulumi.Input[Mapping[str, Any]],
        code: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"dataDir": data_dir, "command": command, "settings": settings, "code": code}
        properties = {**inputs, "instance": None, "running": None}
        super().__init__("cloudserve:local:PlatformProcess", name, properties, opts)


class Administrator(_Local):
    """The account that a platform is born with. Its first password and API key are secret outputs.

    `password_stale` and `api_key_stale` tell that its owner has changed them since; `address` is its mail address now.
    """

    address: pulumi.Output[str]
    password: pulumi.Output[str]
    api_key: pulumi.Output[str]
    password_stale: pulumi.Output[bool]
    api_key_stale: pulumi.Output[bool]

    def __init__(
        self,
        name: str,
        *,
        url: pulumi.Input[str],
        credentials: pulumi.Input[str],
        email: pulumi.Input[str],
        user_name: pulumi.Input[str],
        full_name: pulumi.Input[str] = "Administrator",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        account = {"email": email, "userName": user_name, "fullName": full_name}
        outputs = dict.fromkeys(("address", "password", "api_key", "password_stale", "api_key_stale"))
        secret = pulumi.ResourceOptions(additional_secret_outputs=["password", "apiKey"])
        super().__init__(
            "cloudserve:local:Administrator",
            name,
            {"url": url, "credentials": credentials, **account, **outputs},
            pulumi.ResourceOptions.merge(opts, secret),
        )
