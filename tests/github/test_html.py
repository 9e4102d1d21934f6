"""The whole comment through GitHub's own dialect (cmark-gfm): what a browser is given."""

from __future__ import annotations

from html.parser import HTMLParser

import cmarkgfm  # type: ignore[import-untyped]
import pytest
from cmarkgfm.cmark import Options  # type: ignore[import-untyped]

from bot.github import comment
from bot.review import Review
from tests.report import reviews

LINK = "https://github.com/acme/platform/blob"
VOID = {"br", "hr", "img", "input"}


class Page(HTMLParser):
    """Every element is closed where it should be; text outside code, and where links go."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: dict[str, int] = {}
        self.links: list[str] = []
        self.prose = ""
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open[-1] == tag, (self.open, tag)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "code" not in self.open:
            self.prose += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def balanced(text: str) -> Page:
    """The page that GitHub makes of the text, with every element closed."""
    page = Page()
    page.feed(cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE))
    page.close()
    assert page.open == []
    return page


VALUES = {
    "blocked": reviews.BLOCKED,
    "pass": reviews.PASS,
    "incomplete": reviews.INCOMPLETE,
    "hostile": reviews.hostile(),
    "5000": reviews.randomly(5, 5000),
}


@pytest.mark.parametrize("name", VALUES)
def test_html(name: str):
    value: Review = VALUES[name]
    text = comment.compose(comment.statement(value, 482, LINK), 7)
    page = balanced(text)
    assert set(page.seen) <= {
        "h3", "h4", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "strong", "details", "summary", "b",
        "sub", "a", "ul", "li", "pre"}  # fmt: skip
    assert all(link.startswith(f"{LINK}/") for link in page.links), page.links
    assert "@" not in page.prose.replace("@\u200b", "")
    assert all(one.strip().startswith("netreach:") for one in page.comments)
    assert len(text.encode()) < 65_536
