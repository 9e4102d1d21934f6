"""A YAML document and a change of its values in; the document with that change and no other, comments and layout kept, out."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any

_KEY = re.compile(r"^( *)(?:- )*[^\s#'\"{\[-][^#]*:\s*(?:#.*)?$")
_ITEM = re.compile(r"^( *)- ")


def rewritten(text: str, change: Callable[[Any], bool]) -> str | None:
    """The text after `change` was made to its value; None where that gives False, or the text cannot be read.

    What ruamel.yaml writes keeps comments and quotes, and not every indentation. So only the lines that differ between what
    it writes without the change and with it are taken over.
    """
    from ruamel.yaml.error import YAMLError

    try:
        plain = _dumped(text, None)
        changed = _dumped(text, change)
    except (YAMLError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    if plain is None or changed is None:
        return None
    return "".join(_merged(text.splitlines(True), plain.splitlines(True), changed.splitlines(True)))


def written(value: Any) -> str:
    """A new manifest as text."""
    return _dump(_yaml(2, 4, 2), _flowing(value))


def _dumped(text: str, change: Callable[[Any], bool] | None) -> str | None:
    yaml = _yaml(*_indentation(text))
    root = yaml.load(text)
    if change is not None and not change(root):
        return None
    return _dump(yaml, root)


def _dump(yaml: Any, value: Any) -> str:
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _yaml(mapping: int, sequence: int, offset: int) -> Any:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.indent(mapping=mapping, sequence=sequence, offset=offset)
    yaml.representer.add_representer(type(None), _null)
    return yaml


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "")


def _flowing(value: Any) -> Any:
    """Small maps of selectors and ports on a line of their own, as people write them."""
    from ruamel.yaml.comments import CommentedMap

    if isinstance(value, list):
        return [_flowing(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = CommentedMap((key, _flowing(item)) for key, item in value.items())
    if (
        value
        and not any(isinstance(item, (dict, list)) for item in value.values())
        and set(value) <= {"protocol", "port"}
    ):
        out.fa.set_flow_style()
    return out


def _indentation(text: str) -> tuple[int, int, int]:
    """How the document indents: mappings, lists, and the dash within its list."""
    lines = text.split("\n")
    mapping, offset = 2, 2
    known: set[str] = set()
    for line, below in zip(lines, lines[1:], strict=False):
        key = _KEY.match(line)
        if key is None or not below.strip():
            continue
        depth = len(line) - len(line.lstrip(" -"))
        item = _ITEM.match(below)
        if item is not None and "list" not in known:
            if len(item[1]) >= depth:
                offset = len(item[1]) - depth
                known.add("list")
        elif item is None and "map" not in known and not line.lstrip().startswith("-"):
            inner = len(below) - len(below.lstrip(" "))
            if inner > depth and not below.lstrip().startswith("#"):
                mapping = inner - depth
                known.add("map")
    return mapping, offset + 2, offset


def _merged(own: list[str], plain: list[str], changed: list[str]) -> list[str]:
    """`own` with what differs between `plain` and `changed`, `plain` being `own` in another layout."""
    at = _places(own, plain)
    out: list[str] = []
    done = 0
    for tag, first, last, start, end in SequenceMatcher(None, plain, changed, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        begin, stop = at[first][0], at[last][1]
        if begin < done:
            begin = done
        out += own[done:begin]
        out += changed[start:end]
        done = max(stop, begin)
    return out + own[done:]


def _places(own: list[str], plain: list[str]) -> list[tuple[int, int]]:
    """For each boundary between lines of `plain`, where it is in `own`: the earliest place and the latest.

    They are one line for one, apart from the end: ruamel.yaml writes no line less, and none more, than it read.
    """
    if len(own) == len(plain):
        return [(number, number) for number in range(len(plain) + 1)]
    places: list[tuple[int, int]] = [(0, 0)] * (len(plain) + 1)
    for _, first, last, start, end in SequenceMatcher(None, plain, own, autojunk=False).get_opcodes():
        same = last - first == end - start
        for number in range(first, last + 1):
            exact = start + number - first
            places[number] = (exact, exact) if same else (start, end)
    return places
