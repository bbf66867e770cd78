"""The wire format between a gateway and a sandbox host, version `VERSION`: the frames of `sandbox/protocol`, over TLS.

A frame is a head of nine bytes, big-endian, and a payload: u32 length of the payload | u8 type | u32 id | payload.

The gateway connects. Its first frame is HELLO, the host's is WELCOME, and nothing else is sent before them.

| type     | from    | id         | payload                                                                       |
|----------|---------|------------|-------------------------------------------------------------------------------|
| HELLO    | gateway | 0          | JSON `{version, peer}`: `peer` is the same on all connections of a gateway     |
| WELCOME  | host    | 0          | JSON `{version, …status}`                                                     |
| PING     | gateway | 0          | empty                                                                         |
| PONG     | host    | 0          | JSON: its status (`reports`)                                                  |
| DRAIN    | host    | 0          | empty: it goes away, takes no new calls and finishes those it has              |
| RETIRE   | gateway | 0          | JSON `{functionId, keepVersion}`                                              |
| DEPLOY   | gateway | deployment | JSON: a deployment, its trees by hash (`documents`)                           |
| FORGET   | gateway | deployment | empty: no new calls of it come                                                |
| READY    | host    | deployment | empty: its trees are here, calls may come                                     |
| REFUSED  | host    | deployment | UTF-8: why no calls of it can be taken                                        |
| CALL     | gateway | call       | u32 deployment, u8 flags, u32 length of the head, head, the whole body        |
| OPEN     | gateway | call       | the same of a call whose body follows in PARTs and an END, once there is credit |
| WARM     | gateway | call       | u32 deployment, u8 flags, u32 0; answered by a RESULT or FAILED                |
| DECLINED | host    | call       | UTF-8: why; nothing of the call was begun, it may be sent elsewhere            |
| LOG      | host    | call       | JSON `[[time, level, message], …]`, before what ends the call                  |
| RESULT   | host    | call       | u16 status, u32 length of the head, outcome, head, the whole body              |
| HEAD     | host    | call       | u16 status, u64 length of the body plus one (0: not known), u32 length of the
|          |         |            | cold start's JSON, that, head; PARTs and END follow                           |
| FAILED   | host    | call       | u32 0 or JSON length, that, outcome: the call has no answer, or its stream broke |
| PART     | both    | call, tree | bytes of a body or an archive, at most `PART_BYTES`                           |
| END      | both    | call, tree | the body or archive is complete; the host's carries the outcome                |
| CREDIT   | both    | call, tree | u32: so many more bytes of PARTs may come                                     |
| CANCEL   | both    | call, tree | empty: nobody wants the rest; no frame of it is answered any more              |
| WANT     | host    | tree       | 32 bytes: the SHA-256 of an archive that a DEPLOY has named                   |

The gateway numbers calls, from 1, and deployments; the host numbers the trees it asks for, from `FIRST_TREE`. An
outcome is u8 status, f64 duration in ms, f64 memory in MB, and u32 length of a JSON object (0: none) with whatever else
there is. Heads are those of `sandbox/protocol`.

Back-pressure: PARTs of a call or tree in one direction come for as long as there is credit, at first `WINDOW_BYTES` for
an answer, nothing for a request's body or an archive. So whoever reads slowly stalls its own call alone.

At most once: the gateway may send a call elsewhere until it has written it, and again when it was DECLINED. A call that
was written and is answered by the end of the connection may have run, and is not repeated.
"""

import struct
from typing import Any, Final

import orjson

from cloudserve.sandbox.protocol import HEADER, WHOLE_BYTES, ProtocolError

VERSION: Final = 1

HELLO: Final = 1
WELCOME: Final = 2
PING: Final = 3
PONG: Final = 4
DRAIN: Final = 5
RETIRE: Final = 6
DEPLOY: Final = 7
READY: Final = 8
REFUSED: Final = 9
CALL: Final = 10
OPEN: Final = 11
WARM: Final = 12
DECLINED: Final = 13
LOG: Final = 14
RESULT: Final = 15
HEAD: Final = 16
FAILED: Final = 17
PART: Final = 18
END: Final = 19
CREDIT: Final = 20
CANCEL: Final = 21
WANT: Final = 22
FORGET: Final = 23

FIRST_TREE: Final = 1 << 31
"""Ids below it are calls, the others trees."""

MAY_WAIT: Final = 1
"""The flag of a call that may wait for its owner's turn on a host that serves one owner at a time."""

MAX_FRAME_BYTES: Final = 16 * WHOLE_BYTES
"""The largest frame: a deployment's environment or the line of a log, each character of it escaped."""

CALL_HEAD: Final = struct.Struct(">IBI")


def frame(kind: int, number: int, *payload: bytes | memoryview) -> bytes:
    """Returns one frame; the payload may come in pieces."""
    return b"".join((HEADER.pack(sum(map(len, payload)), kind, number), *payload))


def document(payload: bytes) -> dict[str, Any]:
    """Returns the JSON object of a payload. Raises `ProtocolError`, which says nothing of what is in it."""
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise ProtocolError("A payload that is no JSON.") from None
    if not isinstance(found, dict):
        raise ProtocolError("A JSON payload that is no object.")
    return found
