"""Expressions, selectors and workloads in, short words for messages out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bot.policies.model import And, Expr, InNamespace, Label, Not

if TYPE_CHECKING:
    from bot.manifests.snapshot import Workload


def count(number: int, noun: str) -> str:
    """`1 pod`, `2 pods`, `2 policies`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("cy") else f"{number} {noun}s"


def workloads(found: Sequence[Workload], most: int = 3) -> str:
    """`web, api and 3 more`, each with its namespace where they are in several."""
    names = list(dict.fromkeys([(w.namespace, w.name) for w in found]))
    several = any(namespace != names[0][0] for namespace, _ in names)
    words = [f"`{namespace}/{name}`" if several else f"`{name}`" for namespace, name in names[: most + 1]]
    return listed(words, most) if len(names) <= most + 1 else f"{', '.join(words[:most])} and {len(names) - most} more"


def listed(words: Sequence[str], most: int = 3) -> str:
    """`a, b and 2 more`."""
    if len(words) > most + 1:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def selector(expr: Expr, scope: str = "pod") -> str:
    """`{app: web, tier}` of the labels that an expression asks for in a scope; `{}` for none."""
    parts = expr.parts if isinstance(expr, And) else (expr,)
    found = []
    for part in parts:
        negative = isinstance(part, Not)
        inner = part.inner if isinstance(part, Not) else part
        if isinstance(inner, Label) and inner.scope == scope:
            found.append(_requirement(inner, negative))
        elif isinstance(inner, InNamespace) and scope == "namespace":
            found.append(f"kubernetes.io/metadata.name: {inner.namespace}")
    return "{" + ", ".join(found) + "}"


def _requirement(label: Label, negative: bool) -> str:
    if label.operator == "exists":
        return f"{'!' if negative else ''}{label.key}"
    values = label.values[0] if len(label.values) == 1 else "|".join(label.values)
    if label.operator != "in":
        return f"{label.key} {label.operator} {values}"
    return f"{label.key}: {'not ' if negative else ''}{values}"


def ports(numbers: Iterable[int]) -> str:
    """Port numbers, in order, with commas."""
    return ", ".join(str(number) for number in sorted(set(numbers)))
