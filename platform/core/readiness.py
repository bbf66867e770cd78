"""Whether a service may take traffic, and what it has to say of each thing that it needs."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final

OK: Final = "ok"
ASK_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """The verdict, and for each need `ok` or why not. A need that can be done without may be away all the same."""

    ready: bool
    checks: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """Returns what `/readyz` answers with."""
        return {"status": "ready" if self.ready else "not-ready", "checks": dict(self.checks)}


async def ask(ping: Awaitable[None]) -> str:
    """Returns `ok`, or why `ping` failed: in words that tell nothing of the host, as strangers may read them."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await ping
    except TimeoutError:
        return f"no answer within {ASK_SECONDS:.0f} seconds"
    except Exception as error:  # noqa: BLE001 - whatever it is, the need is not met, and the answer says so
        return type(error).__name__
    return OK
