"""A report as a picture: bars in SVG, readable on a light and on a dark page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape

from cloudserve.cli.bench.contenders import CONTENDERS
from cloudserve.cli.bench.functions import TITLES
from cloudserve.cli.bench.report import conditions

_WIDTH: Final = 800
_LABELS: Final = 310
_VALUES: Final = 90
_MARGIN: Final = 20
_ROW: Final = 24
_BAR: Final = 15

_STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; }
  .small { font-size: 11px; fill: #59636e; }
  .cloudserve { fill: #0969da; } .peer { fill: #9a6700; } .limit { fill: #818b98; } .far { fill-opacity: .3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .small { fill: #9198a1; }
    .cloudserve { fill: #4493f8; } .peer { fill: #d29922; } .limit { fill: #9198a1; }
  }
"""


@dataclass(frozen=True, slots=True)
class _Bar:
    """One row; `far` is a second, paler bar behind the first, such as the 99th percentile behind the median."""

    label: str
    kind: str
    value: float
    text: str
    far: float | None = None


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    bars: Sequence[_Bar]


def svg(document: dict[str, Any]) -> str:
    """Returns the picture of throughput and first calls, as far as a report has them."""
    panels = [*_throughput(document["scenarios"]), *_cold(document["scenarios"])]
    lines: list[str] = []
    top = _MARGIN
    for panel in panels:
        lines += _draw(panel, top)
        top += _ROW * (len(panel.bars) + 2)
    lines += _wrapped(conditions(document), top)
    height = top + 2 * _ROW
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Benchmark of CloudServe">',
            f"<style>{_STYLE}</style>",
            *lines,
            "</svg>",
            "",
        ]
    )


def _throughput(scenarios: dict[str, Any]) -> list[_Panel]:
    if "throughput" not in scenarios:
        return []
    connections, rows = list(scenarios["throughput"].items())[-1]
    kinds = {contender.name: contender for contender in CONTENDERS}
    bars = [
        _Bar(kinds[name].title, kinds[name].kind, row["perSecond"]["median"], f"{row['perSecond']['median']:,.0f}")
        for name, row in rows.items()
    ]
    return [_Panel(f"Warm calls a second at {connections} connections", bars)]


def _cold(scenarios: dict[str, Any]) -> list[_Panel]:
    if "cold" not in scenarios:
        return []
    bars = [
        _Bar(TITLES[kind], "cloudserve", row["p50Ms"], f"{row['p50Ms']:.1f} / {row['p99Ms']:.1f}", row["p99Ms"])
        for kind, row in scenarios["cold"].items()
    ]
    return [_Panel("First call of a function, milliseconds: median / 99th percentile", bars)]


def _draw(panel: _Panel, top: int) -> list[str]:
    room = _WIDTH - 2 * _MARGIN - _LABELS - _VALUES
    most = max(max(bar.value, bar.far or 0) for bar in panel.bars)
    lines = [_text(_MARGIN, top + _BAR, panel.title, "title")]
    for number, bar in enumerate(panel.bars, 1):
        y = top + number * _ROW + 6
        lines.append(_text(_MARGIN, y + 12, bar.label))
        left = _MARGIN + _LABELS
        for value, style in ((bar.far, f"{bar.kind} far"), (bar.value, bar.kind)):
            if value is not None:
                width = max(1.0, value / most * room)
                lines.append(f'<rect class="{style}" x="{left}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2"/>')
        end = left + max(bar.value, bar.far or 0) / most * room
        lines.append(_text(end + 6, y + 12, bar.text))
    return lines


def _wrapped(sentence: str, top: int) -> list[str]:
    """Breaks a long sentence after the comma nearest its middle."""
    commas = [index for index, letter in enumerate(sentence) if letter == ","]
    middle = min(commas, key=lambda index: abs(index - len(sentence) // 2)) + 1
    parts = (sentence[:middle], sentence[middle:].strip())
    return [_text(_MARGIN, top + 10 + 16 * number, part, "small") for number, part in enumerate(parts)]


def _text(x: float, y: float, text: str, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
