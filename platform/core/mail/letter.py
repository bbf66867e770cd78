"""A letter of paragraphs and of lines to be copied, as text and as HTML: both say the same.

The HTML holds no picture, no link and nothing else that a reader's program would fetch, so that opening it tells
nobody. Every text is escaped here and stays within its paragraph, whoever wrote it.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from cloudserve.core.mail.abc import Message
from cloudserve.core.mail.lines import one_line

_WIDTH: Final = 72

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
</head>
<body style="margin: 0; padding: 24px; font: 16px/1.5 system-ui, sans-serif">
<div style="max-width: 36em; margin: 0 auto">
{parts}
<p style="margin: 32px 0 0; font-size: 14px; opacity: 0.7">{closing}</p>
</div>
</body>
</html>
"""
_PARAGRAPH: Final = '<p style="margin: 0 0 16px">{text}</p>'
_TO_COPY: Final = (
    '<p style="margin: 0 0 16px; padding: 12px 16px; border: 1px solid #888; border-radius: 6px; '
    'font: bold {size}px/1.4 ui-monospace, monospace; overflow-wrap: anywhere">{text}</p>'
)
_SHORT: Final = 12


@dataclass(frozen=True, slots=True)
class ToCopy:
    """A line that the reader copies: a code or a command. It is never folded."""

    text: str


def letter(*, to: str, subject: str, parts: Sequence[str | ToCopy], closing: str) -> Message:
    """Returns a message of paragraphs and lines to be copied, in their order, with `closing` below them."""
    text = "\n\n".join(_as_text(part) for part in (*parts, closing))
    html = _PAGE.format(
        title=_escaped(subject), parts="\n".join(_as_html(part) for part in parts), closing=_escaped(closing)
    )
    return Message(to=to, subject=subject, text=text + "\n", html=html)


def _as_text(part: str | ToCopy) -> str:
    if isinstance(part, ToCopy):
        return "    " + one_line(part.text)
    return textwrap.fill(one_line(part), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _as_html(part: str | ToCopy) -> str:
    if isinstance(part, ToCopy):
        return _TO_COPY.format(text=_escaped(part.text), size=24 if len(part.text) <= _SHORT else 14)
    return _PARAGRAPH.format(text=_escaped(part))


def _escaped(text: str) -> str:
    return escape(one_line(text))
