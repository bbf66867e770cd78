"""The process that jailers are forked from; run by `isolated`, with an empty environment.

A run of a tool takes some 100 ms, and starting Python with all that walls are made of takes 60, so that is done once. A
message on the standard input (SOCK_SEQPACKET) brings two descriptors, the link to whoever wants a run and the tool's
output, to a fork of its own: `watch` goes on from there. This process reads no order, so each fork begins as clean as
the first. It ends when its input does, which ends no run: each has a link of its own.
"""

import gc
import os
import signal
import socket
from typing import Final

from cloudserve.api.build.jailer import watch

_LINK: Final = 0
_OUTPUT: Final = 1


def main() -> None:
    """Forks a jailer for each message, until there are no more."""
    control = socket.socket(fileno=os.dup(0))
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 16, 2)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            _take(descriptors)
            watch.run()
        for descriptor in descriptors:
            os.close(descriptor)


def _take(descriptors: list[int]) -> None:
    """Makes the link and the output of one run this process's own."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    link, output = descriptors
    os.dup2(link, _LINK)
    os.dup2(output, _OUTPUT)
    os.closerange(3, max(descriptors) + 1)
    os.setsid()
