"""What is wrong with a service's settings, in one message: each setting, what is wrong with it, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from cloudserve.cli.output import CommandError

BAD_SETTINGS: Final = 2
"""The exit code of a service that can't be started as it was set up."""

_LINKED: Final = "tcp://"
"""How Kubernetes names a Service in variables that may have a setting's name
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """One setting that can't be used."""

    setting: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"CLOUDSERVE_{self.setting.upper()}: {self.message}. Remedy: {self.remedy}"


class UnusableSettings(CommandError):  # noqa: N818 - reads as what they are
    """Names every fault of a service's settings. No value is shown that might be a secret."""

    def __init__(self, role: str, faults: Sequence[Fault]) -> None:
        what = "one setting is" if len(faults) == 1 else f"{len(faults)} settings are"
        super().__init__(
            f"`cloudserve serve {role}` was not started: {what} not usable.",
            reason="settings",
            exit_code=BAD_SETTINGS,
            details={
                "settings": [
                    {"setting": fault.setting, "message": fault.message, "remedy": fault.remedy} for fault in faults
                ]
            },
            notes=[f"- {fault}" for fault in faults],
        )


def faults_of(error: ValidationError) -> list[Fault]:
    """Returns what pydantic says, without the values, which may be secrets."""
    return [_fault(str(one["loc"][0]) if one["loc"] else "", one) for one in error.errors(include_url=False)]


def _fault(setting: str, error: "object") -> Fault:
    assert isinstance(error, dict)  # noqa: S101 - what pydantic makes, told to mypy
    if error["type"] == "missing":
        return Fault(setting, "is missing", "Set it; docs/services.md says what it is.")
    if str(error["input"]).startswith(_LINKED):
        return Fault(
            setting,
            "is the address of a Kubernetes Service, which has the name of a setting",
            "Set enableServiceLinks to false in the pod's specification.",
        )
    message = str(error["msg"]).removeprefix("Value error, ")
    return Fault(setting, message[:1].lower() + message[1:], "Correct it; docs/services.md has its form.")
