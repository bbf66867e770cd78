"""Tries each layer in a forked child and prints what became of it; run by `isolated`.

One line for each, `[name, errno, what was found, remedy]`: errno is 0 where it works and -1 where no errno tells why it
does not; a remedy is there only where the try itself knows one. The names are those of `layers`; what is tried in two
ways has the way before its name (`own/`, `user/`). Nothing that is tried reaches beyond its child: mounts are made in
namespaces that end with it.
"""

import contextlib
import errno
import functools
import json
import os
import signal
from typing import Final

from cloudserve.core.confine import cgroups
from cloudserve.core.confine import syscalls as linux
from cloudserve.core.confine.probe import filters, giving_up, namespaces
from cloudserve.core.confine.probe.child import NoEffectError, Try

SECONDS: Final = 3
"""A try that takes longer is ended: some hosts let a call hang rather than refuse it."""

_LONGEST: Final = 65536
"""What a pipe holds: no try says nearly as much."""


def stay() -> None:
    """Keeps to this process's own privileges."""


WAYS: Final = {"own": stay, "user": namespaces.user_namespace}


def tries() -> dict[str, Try]:
    """Returns what there is to try, by the names of `layers`."""
    named: dict[str, Try] = {"user-namespace": namespaces.user_namespace}
    for way, enter in WAYS.items():
        for name, flag in namespaces.NAMESPACES.items():
            named[f"{way}/{name}"] = functools.partial(namespaces.namespace, enter, flag)
        for name, mounting in (
            ("tmpfs", namespaces.tmpfs),
            ("proc", namespaces.proc),
            ("pivot-root", namespaces.pivot_root),
            ("late-mount", namespaces.late_mount),
        ):
            named[f"{way}/{name}"] = functools.partial(mounting, enter)
    return named | {
        "other-users": giving_up.other_users,
        "capabilities": linux.drop_capabilities,
        "landlock": giving_up.landlock_files,
        "landlock-tcp": giving_up.landlock_tcp,
        "landlock-signals": giving_up.landlock_signals,
        "seccomp": filters.seccomp,
        "seccomp-notification": filters.notification,
        "notifier-memory": filters.notifier_memory,
        "notifier-handover": filters.notifier_handover,
        "notifier-duplicates": filters.notifier_duplicates,
        "cgroups": cgroups.probe,
        "rlimits": giving_up.rlimits,
    }


Outcome = tuple[int, str, str]


def attempt(call: Try) -> Outcome:
    """Runs a try in a forked child, which leads a group of processes that ends with it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        signal.alarm(SECONDS)
        os.write(writing, json.dumps(_outcome(call)).encode())
        os._exit(0)
    os.close(writing)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # until it is collected, no other group can have its number
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    text = os.read(reading, _LONGEST)
    os.close(reading)
    code, found, remedy = json.loads(text) if text else (errno.ETIMEDOUT, "", "")
    return code, found, remedy


def _outcome(call: Try) -> Outcome:
    try:
        return 0, str(call() or ""), ""
    except OSError as error:
        return error.errno or -1, str(error), ""
    except cgroups.Unavailable as error:
        return -1, error.why, error.remedy
    except NoEffectError:
        return -1, "the kernel takes it, and it has no effect", ""
    except Exception as error:  # noqa: BLE001 - whatever it was, the layer can't be counted on
        return -1, f"{type(error).__name__}: {error}", ""


def main() -> None:
    """Tries everything."""
    for name, call in tries().items():
        print(json.dumps([name, *attempt(call)]), flush=True)
