"""A comment's text in, what its first line says out, and the other way round: how netreach knows its own comments.

A comment is netreach's own if its author is and its first line is a marker with exactly the key; whatever else a body holds says nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from bot.errors import UsageError

KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]|-(?!-))*", re.ASCII)
LONGEST_KEY = 64
SHORT = 12
_LINE = re.compile(
    r"<!-- netreach:(?P<state>comment|superseded) v=1 key=(?P<key>[A-Za-z0-9._-]{1,64}) pr=(?P<pr>\d{1,12})"
    r" head=(?P<head>[0-9a-f]{12}) base=(?P<base>[0-9a-f]{12}) verdict=(?P<verdict>[a-z]{1,20})"
    r" seq=(?P<seq>\d{1,9}) digest=(?P<digest>[0-9a-f]{6}) -->",
    re.ASCII,
)
_BLOCKED = re.compile(r"<!-- netreach:blocked((?: [0-9a-f]{6})*) -->\s*\Z", re.ASCII)
MOST_BLOCKED = 200


class Marker(NamedTuple):
    """The first line of a comment: `<!-- netreach:comment v=1 key=default pr=482 head=b7d4e117c0a2 ... -->`.

    `head`, `base`: 12 hex digits. `seq` grows with every write, `digest`: of the body below the marker as it was rendered.
    `superseded`: an earlier comment that another one has taken the place of.
    """

    key: str
    pr: int
    head: str
    base: str
    verdict: str
    seq: int
    digest: str
    superseded: bool = False

    def line(self) -> str:
        """The line as it stands in the comment, without the line break."""
        state = "superseded" if self.superseded else "comment"
        return (
            f"<!-- netreach:{state} v=1 key={self.key} pr={self.pr} head={self.head} base={self.base}"
            f" verdict={self.verdict} seq={self.seq} digest={self.digest} -->"
        )


def parse(body: str) -> Marker | None:
    """The marker that a comment starts with."""
    first = body[:400].replace("\r\n", "\n").partition("\n")[0]
    match = _LINE.fullmatch(first)
    if match is None:
        return None
    return Marker(
        match["key"],
        int(match["pr"]),
        match["head"],
        match["base"],
        match["verdict"],
        int(match["seq"]),
        match["digest"],
        match["state"] == "superseded",
    )


def checked_key(key: str) -> str:
    """The key if it may stand in a marker. Raises UsageError."""
    if len(key) > LONGEST_KEY or KEY.fullmatch(key) is None or key.endswith("-"):
        raise UsageError(
            f"comment key {ascii(key[:80])}: letters, digits, '.', '_' and single '-', at most {LONGEST_KEY}"
        )
    return key


def digest(text: str) -> str:
    """Six hex digits that change when the text does."""
    import hashlib

    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:6]


def blocked_line(rows: tuple[str, ...]) -> str:
    """The last line of a comment: which rows block, so that the next one can tell a new one. Nothing where none does."""
    if not rows:
        return ""
    kept = sorted(set(rows))
    if len(kept) > MOST_BLOCKED:
        kept = [digest(" ".join(kept))]
    return f"<!-- netreach:blocked {' '.join(kept)} -->\n"


def blocked_rows(body: str) -> frozenset[str]:
    """What `blocked_line` had been given, as far as it can tell."""
    match = _BLOCKED.search(body[-2000:])
    return frozenset(match[1].split()) if match else frozenset()
