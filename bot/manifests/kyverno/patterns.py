"""Go regular expressions and a text in; matches out, in linear time.

Go's engine is RE2's grammar, so RE2 itself (google-re2, which cel-python brings) answers.
"""

from __future__ import annotations

import re
from typing import Any

from bot.manifests.kyverno.model import Unresolved, Unsimulated

MAX_PATTERN = 1024
MAX_TEXT = 65_536


def regex_match(pattern: str, text: str) -> bool:
    """Whether `pattern` matches somewhere in `text`. Raises Unresolved for an invalid pattern, Unsimulated for a long
    one or where RE2 is not installed."""
    return _compile(pattern, text).search(text) is not None


def regex_replace(pattern: str, text: str, new: str, literal: bool) -> str:
    """`text` with every match replaced; unless `literal`, `$1` and `${name}` in `new` stand for groups."""
    built = 0

    def replacement(found: Any) -> str:
        nonlocal built
        part = new if literal else _REFERENCE.sub(lambda reference: _group(found, reference), new)
        built += len(part)
        if built > MAX_TEXT:
            raise Unsimulated(f"a regular expression builds a text of more than {MAX_TEXT} characters")
        return part

    return str(_compile(pattern, text).sub(replacement, text))


_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})", re.ASCII)


def _group(found: Any, reference: re.Match[str]) -> str:
    if reference[1]:
        return "$"
    name = reference[2] or reference[3]
    try:
        return found.group(int(name) if name.isdecimal() else name) or ""
    except (IndexError, KeyError, OverflowError, ValueError):
        return ""


def _compile(pattern: str, text: str) -> Any:
    if len(pattern) > MAX_PATTERN or len(text) > MAX_TEXT:
        raise Unsimulated("a regular expression or its text is too long")
    try:
        import re2  # type: ignore[import-untyped]
    except ImportError:
        raise Unsimulated("regular expressions need google-re2") from None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError):
        raise Unresolved("a regular expression is invalid") from None
