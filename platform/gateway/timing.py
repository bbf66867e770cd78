"""The `Server-Timing` header of a cold call (https://www.w3.org/TR/server-timing/#the-server-timing-header-field)."""

from cloudserve.sandbox.abc import ColdStart


def server_timing(cold: ColdStart, handler_ms: float | None) -> bytes:
    """Returns the value: `cold` is the whole start, then come its phases, and the slowest imports of `load`.

    Durations are milliseconds. `handler` is left out where it is not known yet.
    """
    phases = [("spawn", cold.spawn_ms), ("walls", cold.walls_ms), ("load", cold.load_ms)]
    metrics = [f"cold;dur={sum(spent for _, spent in phases):.1f}"]
    metrics += [f"{name};dur={spent:.1f}" for name, spent in phases]
    metrics += [f"import;desc={_quoted(module)};dur={spent:.1f}" for module, spent in cold.imports]
    if handler_ms is not None:
        metrics.append(f"handler;dur={handler_ms:.1f}")
    return ", ".join(metrics).encode()


def _quoted(text: str) -> str:
    """Returns a quoted-string (RFC 9110, section 5.6.4); what has no place in a header is a question mark."""
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
