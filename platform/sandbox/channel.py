"""A socket to a process of the sandbox's own, over which JSON messages and descriptors travel (SOCK_SEQPACKET)."""

import array
import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import orjson

_MAX_MESSAGE: Final = 64 * 1024


class Channel:
    """The host's end. `take` gets each message, `on_lost` is called once, when the other end was closed.

    `theirs` is the other end, for the process that is to have it; it is closed with `handed_over`.
    """

    def __init__(self, take: Callable[[dict[str, Any]], None], on_lost: Callable[[], None]) -> None:
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._take = take
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = ours
        self._loop.add_reader(ours.fileno(), self._readable)

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent."""
        return self._socket is not None

    def handed_over(self) -> None:
        """Closes the other end here, once a process has it: else its end would go unnoticed."""
        self.theirs.close()

    def send(self, message: dict[str, Any], *descriptors: int) -> None:
        """Sends a message. Raises ConnectionResetError when the other end was closed, BlockingIOError when it is full.

        Its buffer holds hundreds of messages, and who is at the other end does nothing that takes long.
        """
        if self._socket is None:
            raise ConnectionResetError("the process has ended")
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self._socket.sendmsg([orjson.dumps(message)], ancillary)

    def close(self) -> None:
        """Closes both ends; `on_lost` is not called any more."""
        self.theirs.close()
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(_MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close()
                self._on_lost()
                return
            self._take(orjson.loads(data))
