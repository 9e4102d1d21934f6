"""NP014: null where a policy wants a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint.finding import ERROR, INFO, Draft, Path, Rule
from bot.lint.suppress import annotation

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP014",
    name="null-in-policy",
    severity=ERROR,
    detects="`podSelector`, `namespaceSelector`, `matchLabels`, `matchExpressions`, `values`, `from`, `to` or `ports` "
    "without a value, as a template leaves them whose value was not set. For information only: `ingress` or "
    "`egress` without one.",
    why="Null is as if the field were not there: an empty selector selects all pods, no `from` lets everybody in, "
    "no `ports` is every port. A forgotten Helm value so opens what it was meant to close.",
    bad="""\
spec:
  podSelector:
    matchLabels:
  ingress:
    - from:
""",
    fix="Give it a value, write `{}` or `[]` where everything is meant, or say why by the annotation "
    "`netreach/select-all`.",
    good="""\
metadata:
  annotations:
    netreach/select-all: every pod here takes part in the mesh
spec:
  podSelector: {}
""",
)
SELECT_ALL = "netreach/select-all"
MEANS = {
    "podSelector": "all pods",
    "namespaceSelector": "nothing: the field counts as absent",
    "matchLabels": "no label is asked for",
    "matchExpressions": "no label is asked for",
    "values": "no value",
    "from": "everybody",
    "to": "everywhere",
    "ports": "every port",
    "ingress": "no rule",
    "egress": "no rule",
}


def check(context: Context) -> Iterator[Draft]:
    """Every such null of a NetworkPolicy, unless the policy says that it is meant."""
    memo = context.run.memo
    for view in context.views:
        found = memo.get(("nulls", id(view.object)))
        if found is None:
            found = memo[("nulls", id(view.object))] = tuple(nulls(view.spec, ("spec",)))
        if found and not annotation(view.object, SELECT_ALL).strip():
            for path in found:
                field = str(path[-1])
                severity = INFO if field in ("ingress", "egress") else ERROR
                yield Draft(RULE, severity, view.object, path, f"`{field}` has no value, which means {MEANS[field]}")


def nulls(value: Any, path: Path) -> Iterator[Path]:
    """Where below `path` a field that means something when it is absent has no value."""
    if type(value) is dict:
        for key, inner in value.items():
            if inner is None:
                if key in MEANS and path[-1] != "matchLabels":
                    yield (*path, key)
            elif type(inner) is not str:
                yield from nulls(inner, (*path, key))
    elif type(value) is list:
        for index, inner in enumerate(value):
            if type(inner) is dict:
                yield from nulls(inner, (*path, index))
