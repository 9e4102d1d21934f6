"""NP052: two manifests of one policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import ERROR, Draft, Rule
from bot.lint.registry import ANY

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP052",
    name="duplicate-name",
    severity=ERROR,
    detects="Two policies of one kind, namespace and name in what is deployed together.",
    why="They are one object to the cluster: the one that is applied last replaces the other, whose rules are then "
    "nowhere.",
    bad="""\
metadata: {name: api, namespace: shop}
spec: {podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
---
metadata: {name: api, namespace: shop}
spec: {podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: jobs}}}]}]}
""",
    fix="Give one of them another name, or make one policy of both.",
)


def check(context: Context) -> Iterator[Draft]:
    """Every policy that replaces another of its name."""
    for note in context.snapshot.notes:
        obj = context.snapshot.objects.get(note.again) if note.again is not None else None
        if obj is not None and obj.kind in ANY:
            message = f"there is another of this name at {note.file}:{note.lines[0] if note.lines else 1}, which this one replaces"
            yield Draft(RULE, ERROR, obj, ("metadata", "name"), message)
