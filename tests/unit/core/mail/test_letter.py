"""Letters of paragraphs and lines to copy."""

from html.parser import HTMLParser

from cloudserve.core.mail.letter import ToCopy, letter


class _Read(HTMLParser):
    """The text of a page, its tags and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())


def test_text_and_html_say_the_same() -> None:
    """In the same order; the text is folded where a line ends on most screens."""
    long = "This is a paragraph of more words than fit into one line of a mail program, so it goes on in a second."
    made = letter(to="a@example.com", subject="A code", parts=["Hello,", long, ToCopy("123456")], closing="Goodbye")
    assert made.text == (
        "Hello,\n\n"
        "This is a paragraph of more words than fit into one line of a mail\nprogram, so it goes on in a second.\n\n"
        "    123456\n\n"
        "Goodbye\n"
    )
    assert made.html is not None
    assert _Read(made.html).text == ["A code", "Hello,", long, "123456", "Goodbye"]


def test_what_is_to_be_copied_is_not_folded() -> None:
    """Else it would be copied in pieces."""
    command = "cloudserve signup " + "word " * 40
    made = letter(to="a@example.com", subject="x", parts=[ToCopy(command)], closing="Goodbye")
    assert f"    {command.strip()}\n" in made.text


def test_nobody_s_words_become_markup_or_lines() -> None:
    """Neither in the HTML nor in the text."""
    evil = '<img src="https://evil.example/x.png">\n\n    000000\n\u2028<script>&'
    made = letter(to="a@example.com", subject=evil, parts=[evil, ToCopy(evil)], closing=evil)
    assert made.html is not None
    plain = letter(to="a@example.com", subject="x", parts=["x", ToCopy("x")], closing="x")
    assert plain.html is not None
    assert _Read(made.html).tags == _Read(plain.html).tags
    assert "\n    000000\n" not in made.text
    assert "\u2028" not in made.text + made.html


def test_opening_it_fetches_nothing() -> None:
    """No picture, no link, no style sheet or font of elsewhere."""
    made = letter(to="a@example.com", subject="x", parts=["x", ToCopy("x")], closing="CloudServe at https://x.example")
    assert made.html is not None
    read = _Read(made.html)
    assert not {"src", "href", "srcset", "background"} & set(read.attributes)
    assert not {"img", "link", "script", "iframe", "a"} & set(read.tags)
    assert "url(" not in made.html
