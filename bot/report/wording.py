"""Two versions of an object in, what changed inside it in words out (the only user of DeepDiff)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bot.report.escape import plain

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object

MOST = 8
LARGEST = 3000
UNORDERED_UP_TO = 300
_NOISE = (
    "status",
    "metadata.annotations",
    "metadata.managedFields",
    "metadata.resourceVersion",
    "metadata.uid",
    "metadata.generation",
)


def changed(before: Object | None, after: Object | None) -> list[str]:
    """A few lines like `spec.egress[1].to[0]` added: `{"namespaceSelector": {}}`; none where only one version is there.

    Paths and values stand between backticks. The order of a list does not count (it has no meaning in a NetworkPolicy),
    unless the object is large.
    """
    if before is None or after is None:
        return []
    size = sum(1 for item in (before, after) for _ in _nodes(item.value))
    if size > LARGEST:
        return ["too large to say what changed inside it"]
    from deepdiff import DeepDiff

    found = DeepDiff(
        before.value,
        after.value,
        ignore_order=size <= UNORDERED_UP_TO,
        verbose_level=2,
        view="tree",
        threshold_to_diff_deeper=0,
    )
    rows = sorted({row for kind in found for row in _lines(kind, found[kind])})
    words = [words for path, words in rows if not path.startswith(_NOISE)]
    return words if len(words) <= MOST else [*words[: MOST - 1], f"and {len(words) - MOST + 1} more"]


def _nodes(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, (dict, list)):
            waiting.extend(item.values() if isinstance(item, dict) else item)


def _lines(kind: str, levels: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for level in levels:
        path = _path(level.path(output_format="list"))
        if kind in ("dictionary_item_added", "iterable_item_added"):
            yield path, f"`{path}` added: {_value(level.t2)}"
        elif kind in ("dictionary_item_removed", "iterable_item_removed"):
            yield path, f"`{path}` removed: {_value(level.t1)}"
        else:
            yield path, f"`{path}` was {_value(level.t1)}, is {_value(level.t2)}"


def _path(steps: Iterable[str | int]) -> str:
    out = ""
    for step in steps:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else str(step)
    return plain(out.replace("`", "'"))


def _value(value: object) -> str:
    return f"`{plain(json.dumps(value, ensure_ascii=False, default=str).replace('`', chr(39)), 120)}`"
