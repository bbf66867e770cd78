"""The walls of a host, as tables show them: the tier, what is on, and what is off, why, and what would help."""

from collections.abc import Iterator, Mapping
from typing import Any

from cloudserve.core.confine.attacks import outcomes_at
from cloudserve.core.confine.layers import Layer, alike


def walls_line(walls: Mapping[str, Any]) -> str:
    """Returns the tier in a few words, from what `Protection` or the API tells."""
    return walls["title"] if walls["tier"] == "none" else f"tier {walls['tier']}: {walls['title']}"


def walls_rows(walls: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the rows: the tier, what becomes of attacks there, and the layers where they were told."""
    yield "walls", walls_line(walls)
    if walls["tier"] != "none":
        for outcome, attacks in outcomes_at(walls["tier"]).items():
            yield outcome, ", ".join(attacks)
    if walls["layersOn"] is not None:
        yield "on", ", ".join(layer["name"] for layer in walls["layersOn"]) or "nothing"
    off = [Layer(layer["name"], False, layer["why"], layer["remedy"]) for layer in walls["layersOff"] or ()]
    for names, why, remedy in alike(off):
        yield "off", f"{names}: {why}. Remedy: {remedy}"
