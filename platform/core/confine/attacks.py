"""What becomes of each attack at each tier: the table that the attack suite holds, the docs print and `status` tells.

The outcomes, from the best to the worst:

- `blocked`: the attempt is refused, and nothing comes of it.
- `contained to the worker`: it hurts the worker that makes it, and with it calls of the same version alone.
- `contained to the pod`: it reaches what else runs in the container. At tier C that is the same owner's, since a
  container there serves one owner at a time; where owners share a host (tiers A and B) no row says so.
"""

from dataclasses import dataclass
from typing import Final, Literal

AttackOutcome = Literal["blocked", "contained to the worker", "contained to the pod"]
OUTCOMES: Final[tuple[AttackOutcome, ...]] = ("blocked", "contained to the worker", "contained to the pod")
"""From the best to the worst."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A row: what a function tries, and what comes of it at tiers A, B and C."""

    name: str
    tries: str
    a: AttackOutcome
    b: AttackOutcome
    c: AttackOutcome

    def outcome(self, tier: Literal["A", "B", "C"]) -> AttackOutcome:
        """Returns what comes of it at a tier."""
        return {"A": self.a, "B": self.b, "C": self.c}[tier]


_POD: Final[AttackOutcome] = "contained to the pod"


def _blocked(name: str, tries: str) -> Attack:
    return Attack(name, tries, "blocked", "blocked", "blocked")


def _worker(name: str, tries: str) -> Attack:
    own: AttackOutcome = "contained to the worker"
    return Attack(name, tries, own, own, own)


def _shared_in_pod(name: str, tries: str) -> Attack:
    own: AttackOutcome = "contained to the worker"
    return Attack(name, tries, own, own, _POD)


ATTACKS: Final = (
    # What is on the host
    _blocked("host-files", "Read /etc/shadow, the platform's code and data folder, devices and kernel memory"),
    _blocked("other-code", "Read another function's code or temporary folder"),
    _blocked("other-environment", "Read another function's environment and memory"),
    _blocked("platform-memory", "Read the platform's environment and memory, and what its zygote would pass on"),
    _blocked("tree-escapes", "Leave its own folder through symbolic links and `..`"),
    _blocked("writes", "Write outside its temporary folder"),
    Attack("file-modes", "Change mode, owner or times of files that it can't write", "blocked", "blocked", _POD),
    # Other processes
    Attack("list-processes", "List processes other than its own", "blocked", "blocked", _POD),
    _blocked("signals", "Signal other processes, or change their priority, limits or processor"),
    _blocked("tracing", "ptrace, process_vm_readv, pidfd_getfd and kcmp on other processes"),
    _blocked("control-channels", "Speak to the zygote or the warden over an inherited descriptor"),
    # The kernel
    _blocked("namespaces", "unshare, setns, clone into new namespaces"),
    _blocked("mounts", "mount, pivot_root, chroot, open_tree, open_by_handle_at"),
    _blocked("keyrings", "add_key, request_key, keyctl"),
    _blocked("kernel-interfaces", "bpf, io_uring, userfaultfd, perf_event_open, modules, kexec, fanotify, kernel log"),
    _blocked("foreign-calls", "System calls by the x32 and 32-bit numbers, and personality"),
    _blocked("privileges", "Become root, regain capabilities, raise its limits, run set-user-id programs"),
    _blocked("terminals", "Push input into a terminal (TIOCSTI)"),
    # The network
    _blocked("loopback", "Connect to services on the loopback addresses, the platform's own included, however written"),
    _blocked("private-addresses", "Connect to private, link-local and metadata addresses, and their IPv6 forms"),
    _blocked("rebinding", "Reach them through a name that resolves to another address each time, or an HTTP redirect"),
    _blocked("races", "Reach them by rewriting the address from another thread while connect runs"),
    _blocked("nonsense", "Bring down what decides about connections: impossible addresses, garbled names, no patience"),
    _blocked("datagrams", "sendto, sendmsg, MSG_FASTOPEN and IP options around connect"),
    _blocked("sockets", "Raw, packet, netlink, vsock and unix sockets, with a path or an abstract name"),
    _blocked("listening", "Accept connections"),
    # Using everything up
    _shared_in_pod("fork-bomb", "Start processes and threads without end"),
    _worker("memory", "Fill the memory"),
    _shared_in_pod("disk", "Fill the disk"),
    _shared_in_pod("inodes", "Make files without end"),
    _worker("open-files", "Open files and sockets without end"),
    _worker("output", "Flood the log and standard output, and answer without end"),
    _worker("spinning", "Keep every processor busy"),
    # Staying on
    _worker("background", "Go on after the answer in threads and timers"),
    _worker("daemons", "Outlive the worker in detached processes"),
    _blocked("left-behind", "Leave something for another function: files, IPC, keyrings, locks, changed shared pages"),
    # The worker's own socket
    _worker("forged-frames", "Answer calls that are not its own, send garbage or giant frames, claim false figures"),
)


def outcomes_at(tier: Literal["A", "B", "C"]) -> dict[AttackOutcome, list[str]]:
    """Returns the names of the attacks by what becomes of them at a tier, the best outcome first."""
    return {
        outcome: names
        for outcome in OUTCOMES
        if (names := [attack.name for attack in ATTACKS if attack.outcome(tier) == outcome])
    }
