"""Hostile text in (names, labels, paths and messages come from the pull request), harmless text out."""

from __future__ import annotations

import re

LONGEST = 300

# Control characters, line and paragraph separators, bidirectional and other invisible formatting, lone surrogates, tags.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SAFE_IN_CODE = re.compile(r"""(?:[A-Za-z0-9._/:{}=,+()*%$'"\[\]#!;?~^> -]|(?<=[A-Za-z0-9])@)+""")
_SPECIAL = re.compile(r"[\\`*_\[\]<>&|#@!~$]|^\s*(?:[-+=]|\d+[.)])|:(?=//)|(?<=www)\.", re.IGNORECASE)


def plain(text: str, longest: int = LONGEST) -> str:
    """One line of visible characters, cut in the middle when too long.

    No character moves a cursor or hides text, and no line holds a command that a CI log would obey (`##[`).
    """
    if len(text) > longest:
        half = (longest - 5) // 2
        text = f"{text[:half]} ... {text[-half:]}"
    text = _UNPRINTABLE.sub(_visible, text)
    return text.replace("##[", "#\\#[")


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    return _ESCAPES.get(character) or (
        f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"
    )


def code(text: str, longest: int = LONGEST) -> str:
    """A Markdown code span (also inside a table cell): no mention, reference, link or markup comes of it."""
    text = plain(text, longest)
    if text.strip() == text and _SAFE_IN_CODE.fullmatch(text):
        return f"`{text}`"
    body = "".join(c if c.isascii() and (c.isalnum() or c in " ./-") else f"&#{ord(c)};" for c in text)
    return f"<code>{body}</code>" if text.strip() else "<code>&#32;</code>"


def prose(text: str, longest: int = 600) -> str:
    """Words for Markdown, in a table cell or outside: what stands between backticks becomes code, the rest is no markup."""
    pieces = plain(text, longest).split("`")
    if len(pieces) % 2 == 0:
        pieces[-2:] = ["`".join(pieces[-2:])]
    return "".join(code(piece, longest) if i % 2 else _words(piece) for i, piece in enumerate(pieces))


def _words(text: str) -> str:
    return _SPECIAL.sub(_entity, text)


def _entity(match: re.Match[str]) -> str:
    """Numeric references; a zero-width space keeps GitHub from reading a mention out of the decoded text."""
    return "".join(
        c if c.isspace() or c.isalnum() else f"&#{ord(c)};" + ("&#8203;" if c in "@#" else "") for c in match.group()
    )


def target(base: str, path: str, lines: tuple[int, int] | None = None) -> str:
    """The address of a file's lines below `base`, every byte of the path percent-encoded that is not plain."""
    from urllib.parse import quote

    address = f"{base.rstrip('/')}/{quote(path.encode('utf-8', 'surrogatepass'), safe='/')}"
    if lines is None:
        return address
    first, last = lines
    return f"{address}#L{first}" if first == last else f"{address}#L{first}-L{last}"


def cell(text: str) -> str:
    """A CSV cell that no spreadsheet runs as a formula, and no CI log as a command."""
    text = _UNPRINTABLE.sub(_visible, text).replace("##[", "#\\#[")
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", ":") else text
