"""NP050: a policy without which nothing would be different."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import INFO, Draft, Rule
from bot.lint.rules.redundant_rule import by_namespace, redundant

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP050",
    name="redundant-policy",
    severity=INFO,
    detects="A NetworkPolicy with rules, each of which another single rule allows too, for pods that other policies "
    "isolate in the same directions. What they mean is compared, for pods that are not in the repository too.",
    why="Removing it would change no path. Who reads it takes it for what protects or opens something.",
    bad="""\
metadata: {name: api-from-web}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]
---
metadata: {name: api-from-all}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress: [{from: [{podSelector: {}}]}]
""",
    fix="Remove it, or the wider one where that was not meant.",
)


def check(context: Context) -> Iterator[Draft]:
    """Every such policy; of two that say the same, the later one by name."""
    for items in by_namespace(context):
        for at, by in redundant(context, items).items():
            obj = next(item[0].object for item in items if id(item[0].policy) == at)
            others = f" ({by[0].policy.title})" if by is not None else ""
            message = f"without this policy no path would differ: others allow all that it does{others}"
            yield Draft(RULE, INFO, obj, ("metadata", "name"), message)
