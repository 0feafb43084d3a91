"""A report as a reader gets it: its words, its tags and what it would fetch."""

from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """The words of a page, and what it would fetch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.text = ""
        self.pictures = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                self.pictures += str(value).startswith("data:image/jpeg;base64,")
                self.fetched += [] if str(value).startswith("data:") else [str(value)]

    def handle_data(self, data: str) -> None:
        self.text += data
