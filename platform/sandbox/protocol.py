"""The wire format between a sandbox and its workers: length-prefixed frames over a socketpair.

A frame is a head of nine bytes, big-endian, and a payload:

    u32 length of the payload | u8 type | u32 call id | payload

The host numbers the calls; 0 is the worker itself. Several calls may be in flight in one worker, their frames mixed.

| type       | from   | payload                                                                              |
|------------|--------|--------------------------------------------------------------------------------------|
| HELLO      | worker | empty: the process runs and waits for SPECIALISE                                     |
| SPECIALISE | host   | JSON: what to load and with which environment; once, before any call                 |
| READY      | worker | JSON `{loadMs, imports}`, of Node also `code`: user code is loaded                   |
| REFUSED    | worker | JSON fault: user code could not be loaded; the worker ends                           |
| CALL       | host   | u32 length of the head, head, the whole body                                         |
| OPEN       | host   | head of a call whose body follows in PARTs and an END                                |
| RESULT     | worker | u16 status, u32 peak memory in KiB, u32 length of the head, head, the whole body     |
| HEAD       | worker | u16 status, u64 length of the body plus one (0: not known), head; PARTs and END follow |
| PART       | both   | bytes of a body, at most `PART_BYTES`                                                |
| END        | both   | the body is complete; from a worker u32 peak memory in KiB                           |
| CREDIT     | both   | u32: so many bytes of the other's PARTs were consumed                                |
| CANCEL     | host   | empty: give the call up and answer FAILED                                            |
| FAILED     | worker | JSON fault: the call has no answer, or its stream broke                              |
| LOG        | worker | u8 level (index in `LEVELS`), f64 seconds since 1970, UTF-8 text                     |
| CACHE      | host   | before SPECIALISE V8's code cache of the bundle; empty, when idle: asks for one      |
| CACHE      | worker | a piece of it, at most `WHOLE_BYTES`; an empty one ends it                           |

`code` says where a big bundle came from, "compiled" or "cached"; null where no code cache is worth its while.

A call's head is fields joined by NUL bytes: execution id, method, path, query, client, base URL, then name and value
of each header. The head of an answer is name and value of each header, joined likewise. Header bytes are Latin-1, the
rest is UTF-8; no field holds a NUL.

A LOG of level 255 says that the rest of a call's lines is cut off; its text is how many bytes, in digits. The last one
counts.

A fault is `{reason, name, message, stack, memoryKib}`; with the reasons `disk-full` and `inodes` also `used` and `size`
of the file system, in bytes or files.

Back-pressure: of the PARTs of one call in one direction, at most `WINDOW_BYTES` are under way without CREDIT. Bodies of
up to `WHOLE_BYTES` travel in the RESULT. Log lines travel at once, so that a crash loses none.
"""

import struct
from collections.abc import Sequence
from typing import Final, Literal

Level = Literal["debug", "info", "warn", "error"]

HELLO: Final = 1
SPECIALISE: Final = 2
READY: Final = 3
REFUSED: Final = 4
CALL: Final = 5
OPEN: Final = 6
RESULT: Final = 7
HEAD: Final = 8
PART: Final = 9
END: Final = 10
CREDIT: Final = 11
CANCEL: Final = 12
FAILED: Final = 13
LOG: Final = 14
CACHE: Final = 15

PART_BYTES: Final = 64 * 1024
WINDOW_BYTES: Final = 1024 * 1024
WHOLE_BYTES: Final = 1024 * 1024
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_FRAME_BYTES: Final = WHOLE_BYTES + 2 * MAX_HEAD_BYTES
"""The largest frame a worker may send; whoever sends a larger one is no worker of ours any more."""

LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warn", "error")
CUT_OFF: Final = 255

HEADER: Final = struct.Struct(">IBI")
RESULT_HEAD: Final = struct.Struct(">HII")
STREAM_HEAD: Final = struct.Struct(">HQ")
LOG_HEAD: Final = struct.Struct(">Bd")
U32: Final = struct.Struct(">I")

Frame = tuple[int, int, bytes]
"""Type, call id and payload."""

_HEADER_BYTES: Final = HEADER.size


class ProtocolError(Exception):
    """A peer sent what the wire format does not allow."""


class FrameReader:
    """Makes frames of bytes that arrive in chunks of any size; each byte is copied at most twice."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._limit = max_frame_bytes
        self._chunks: list[bytes] = []
        self._have = 0
        self._need = _HEADER_BYTES

    def feed(self, data: bytes) -> Sequence[Frame]:
        """Takes a chunk and returns the frames that are complete now.

        Raises:
            ProtocolError: a frame is longer than allowed. The reader can't be used afterwards.
        """
        if self._chunks:
            self._chunks.append(data)
            self._have += len(data)
            if self._have < self._need:
                return ()
            data = b"".join(self._chunks)
            self._chunks.clear()
        frames: list[Frame] = []
        at, size = 0, len(data)
        while size - at >= _HEADER_BYTES:
            length, kind, call_id = HEADER.unpack_from(data, at)
            if length > self._limit:
                raise ProtocolError(f"A frame of {length} bytes; the limit is {self._limit}.")
            end = at + _HEADER_BYTES + length
            if end > size:
                self._keep(data[at:], _HEADER_BYTES + length)
                return frames
            frames.append((kind, call_id, data[at + _HEADER_BYTES : end]))
            at = end
        if at < size:
            self._keep(data[at:], _HEADER_BYTES)
        return frames

    def _keep(self, rest: bytes, need: int) -> None:
        self._chunks.append(rest)
        self._have = len(rest)
        self._need = need


def frame(kind: int, call_id: int, payload: bytes = b"") -> bytes:
    """Returns one frame."""
    return HEADER.pack(len(payload), kind, call_id) + payload
