"""The worker's end of the wire (see `protocol`), blocking: frames in, frames out."""

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from cloudserve.sandbox.protocol import (
    CREDIT,
    CUT_OFF,
    END,
    FAILED,
    HEAD,
    HEADER,
    LEVELS,
    LOG,
    LOG_HEAD,
    PART,
    PART_BYTES,
    RESULT,
    RESULT_HEAD,
    STREAM_HEAD,
    U32,
    Frame,
    FrameReader,
    frame,
)

_LEVEL_INDEX: Final[dict[str, int]] = {level: index for index, level in enumerate(LEVELS)}
_RECEIVE_BYTES: Final = 256 * 1024
_MAX_CALL_BYTES: Final = 2**32 - 1


def head_bytes(headers: Iterable[tuple[str, str]]) -> bytes:
    """Returns the head of an answer."""
    return "\0".join([text for header in headers for text in header]).encode("latin-1")


class Wire:
    """A worker's socket. Frames may be sent by any thread; one thread receives."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reader = FrameReader(_MAX_CALL_BYTES)
        self._frames: deque[Frame] = deque()
        self._lock = threading.Lock()

    def receive(self) -> Frame:
        """Waits for the next frame. Ends the process when the host is gone: nobody is left to work for."""
        while not self._frames:
            data = self.sock.recv(_RECEIVE_BYTES)
            if not data:
                os._exit(0)
            self._frames.extend(self.reader.feed(data))
        return self._frames.popleft()

    def send(self, data: bytes) -> None:
        """Sends whole frames. Ends the process when the host is gone."""
        try:
            with self._lock:
                self.sock.sendall(data)
        except OSError:
            os._exit(0)

    def result(self, call_id: int, status: int, peak_kib: int, head: bytes, body: bytes) -> None:
        """Answers a call in one frame."""
        self.send(result_frame(call_id, status, peak_kib, head, body))

    def head(self, call_id: int, status: int, length: int | None, head: bytes) -> None:
        """Begins a streamed answer."""
        self.send(frame(HEAD, call_id, STREAM_HEAD.pack(status, 0 if length is None else length + 1) + head))

    def part(self, call_id: int, data: bytes | memoryview) -> None:
        """Sends one part of a body, at most `PART_BYTES`."""
        self.send(b"".join((HEADER.pack(len(data), PART, call_id), data)))

    def end(self, call_id: int, peak_kib: int) -> None:
        """Ends a streamed answer."""
        self.send(frame(END, call_id, U32.pack(peak_kib)))

    def failed(self, call_id: int, fault: bytes) -> None:
        """Answers a call with a fault."""
        self.send(frame(FAILED, call_id, fault))

    def credit(self, call_id: int, size: int) -> None:
        """Tells the host that parts of a body were consumed."""
        self.send(frame(CREDIT, call_id, U32.pack(size)))

    def log(self, call_id: int, level: str, message: str) -> None:
        """Sends one log line."""
        text = message.encode("utf-8", "surrogateescape")
        self.send(frame(LOG, call_id, LOG_HEAD.pack(_LEVEL_INDEX[level], time.time()) + text))

    def log_cut_off(self, call_id: int, dropped: int) -> None:
        """Says that the call printed more than is kept, and how many bytes more so far."""
        self.send(frame(LOG, call_id, LOG_HEAD.pack(CUT_OFF, time.time()) + str(dropped).encode()))


def result_frame(call_id: int, status: int, peak_kib: int, head: bytes, body: bytes) -> bytes:
    """Returns the frame that answers a call."""
    size = RESULT_HEAD.size + len(head) + len(body)
    return b"".join((HEADER.pack(size, RESULT, call_id), RESULT_HEAD.pack(status, peak_kib, len(head)), head, body))


def slices(data: bytes) -> Iterable[memoryview]:
    """Yields the parts a body is sent in."""
    view = memoryview(data)
    for at in range(0, len(view), PART_BYTES):
        yield view[at : at + PART_BYTES]
