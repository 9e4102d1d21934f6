"""What a side says is to be ignored, in comments and annotations, in; findings without those, and idle suppressions, out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.lint.finding import Draft, Path

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object

ANNOTATION = "netreach/ignore"
_MARK = "netreach"
_COMMENT = re.compile(r"#[ \t]*netreach:[ \t]*ignore\[([^\]\n]{1,200})\][ \t]*([^\n]*)")
_PART = re.compile(r"([A-Za-z0-9-]{1,60})[ \t]*(?:\[([^\]]*)\]|:?[ \t]+([^,;\n]+))?")
_MOST = 200


class Suppression(NamedTuple):
    """One rule that is ignored at one place. `lines`: of the document, what it covers (None: the whole object)."""

    object: Object
    path: Path
    rule: str
    reason: str
    lines: tuple[int, int] | None
    line: int


def suppressions(context: Context) -> Iterator[Suppression]:
    """Everything that a side says is to be ignored."""
    for obj in context.every_object():
        if _MARK not in obj.document.text:
            continue
        yield from _of_annotation(obj)
        yield from _of_comments(obj)


def _of_annotation(obj: Object) -> Iterator[Suppression]:
    metadata = obj.value.get("metadata")
    annotations = metadata.get("annotations") if type(metadata) is dict else None
    text = annotations.get(ANNOTATION) if type(annotations) is dict else None
    if type(text) is not str:
        return
    path: Path = ("metadata", "annotations", ANNOTATION)
    for part in islice(_PART.finditer(text[:10_000]), _MOST):
        yield Suppression(obj, path, part[1], (part[2] or part[3] or "").strip(), None, 0)


def _of_comments(obj: Object) -> Iterator[Suppression]:
    text = obj.document.text
    if "ignore[" not in text:
        return
    lines = text.split("\n")
    own = obj.document.lines(obj.pointer)
    found = 0
    for number, line in enumerate(lines, 1):
        match = _COMMENT.search(line)
        if match is None or not (number <= own[1] and (number >= own[0] or not obj.pointer)):
            continue
        last = number
        if line.lstrip().startswith("#"):
            while last < len(lines) and lines[last].lstrip().startswith("#"):
                last += 1
            last += 1
        whole = number < own[0] or (not obj.pointer and last <= own[0])
        for rule in match[1].split(","):
            found += 1
            yield Suppression(obj, (), rule.strip(), match[2].strip(), None if whole else (number, last), number)
        if found >= _MOST:
            return


def apply(context: Context, drafts: Iterable[Draft], off: frozenset[str]) -> list[Draft]:
    """The findings that nobody ignores, and one for each suppression without a reason, or that ignores nothing."""
    found = list(suppressions(context))
    if not found:
        return list(drafts)
    by_object: dict[int, list[Suppression]] = {}
    for one in found:
        by_object.setdefault(id(one.object), []).append(one)
    used: set[Suppression] = set()
    kept = []
    for draft in drafts:
        silencing = [one for one in by_object.get(id(draft.object), ()) if one.reason and _covers(one, draft)]
        used.update(silencing)
        if not silencing:
            kept.append(draft)
    from bot.lint.rules import suppression_unused

    if suppression_unused.RULE.id not in off and suppression_unused.RULE.name not in off:
        kept += suppression_unused.of(found, used, off)
    return kept


def _covers(one: Suppression, draft: Draft) -> bool:
    if one.rule not in (draft.rule.id, draft.rule.name):
        return False
    if one.lines is None:
        return True
    first, last = draft.object.document.lines((*draft.object.pointer, *draft.path))
    return one.lines[0] <= last and first <= one.lines[1]


def annotation(obj: Object, name: str) -> str:
    """The text of an annotation of an object, or nothing."""
    metadata: Any = obj.value.get("metadata")
    annotations = metadata.get("annotations") if type(metadata) is dict else None
    text = annotations.get(name) if type(annotations) is dict else None
    return text if type(text) is str else ""
