"""What a chart renders in; selectors and peers of policies that are empty because a value is not set, out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from bot.render.model import Unusable, documents, line_of, mapping, text
from bot.render.origin import FromTemplate, Piece, values_of

# Where nothing means everything (https://kubernetes.io/docs/concepts/services-networking/network-policies/).
_SELECTORS = frozenset(
    {"podSelector", "namespaceSelector", "matchLabels", "endpointSelector", "nodeSelector", "selector"}
)
_LISTS = frozenset({"from", "to", "ports", "values", "matchExpressions", "fromEndpoints", "toEndpoints"})
_LOOKED_AT = 12

Path = tuple["str | int", ...]


class Unset(NamedTuple):
    """A place of a policy that is empty for want of a value: whose it is, the value's name, and the template's file and line."""

    kind: str
    name: str
    path: Path
    value: str
    file: str
    line: int


def empty_selectors(origin: FromTemplate) -> tuple[str, ...]:
    """One sentence for each of them."""
    return tuple(_sentence(one) for one in unset(origin))


def _sentence(one: Unset) -> str:
    effect = "" if one.path[-2:-1] == ("matchLabels",) else " and selects everything"
    field = ".".join(map(str, one.path))
    return f"{one.kind} {one.name}: {field} is empty{effect}, because {one.value} is not set ({one.file}:{one.line})"


def unset(origin: FromTemplate) -> tuple[Unset, ...]:
    """Each place of a policy that is empty for want of a value, once."""
    out: dict[Unset, None] = {}
    for piece in origin.pieces:
        if piece.source is None or "Policy" not in piece.text or piece.source not in origin.sources.own:
            continue
        try:
            value = mapping(next(iter(documents(piece.text.encode("utf-8", "replace"))), None))
        except Unusable:
            continue
        if text(value.get("kind")).endswith("Policy"):
            for path in _empty(value.get("spec"), ("spec",)):
                out |= dict.fromkeys(_told(origin, piece, piece.source, value, path))
    return tuple(out)


def _empty(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, item in value.items():
            label = path[-1] == "matchLabels" and item in (None, "")
            if label or (key in _SELECTORS and item in (None, {})) or (key in _LISTS and item in (None, [])):
                yield (*path, key)
            else:
                yield from _empty(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _empty(item, (*path, index))


def _told(origin: FromTemplate, piece: Piece, source: str, value: dict[str, Any], path: Path) -> Iterator[Unset]:
    lines = line_of(piece.text.encode("utf-8", "replace"), path)
    if lines is None:
        return
    aligned = origin.lines(piece, source)
    first = aligned[min(lines[0], len(aligned)) - 1]
    template = origin.template(source)
    depth = _depth(template[first - 1])
    names = dict.fromkeys(values_of(template[first - 1]), first)
    # What the place would hold stands below it, deeper than it; actions may stand anywhere.
    for number, line in enumerate(template[first : first + _LOOKED_AT], first + 1):
        if line.strip() and not line.lstrip().startswith("{{") and _depth(line) <= depth:
            break
        for name in values_of(line):
            names.setdefault(name, number)
    own = text(value.get("kind")), text(mapping(value.get("metadata")).get("name"))
    for name, number in names.items():
        found = origin.set_at(name, source)
        if found is None or origin.value(name, found[0], source) in (None, "", {}, []):
            yield Unset(*own, path, ".Values." + ".".join(name), source, number)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
