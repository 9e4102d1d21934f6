"""NP014: null where a policy wants a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint import words
from bot.lint.finding import ERROR, INFO, Draft, Path, Rule
from bot.lint.suppress import annotation

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object

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
    "endpointSelector": "all pods",
    "namespaceSelector": "nothing: the field counts as absent",
    "nodeSelector": "nothing: the field counts as absent",
    "matchLabels": "no label is asked for",
    "matchExpressions": "no label is asked for",
    "values": "no value",
    "from": "everybody",
    "fromEndpoints": "everybody",
    "to": "everywhere",
    "toEndpoints": "everywhere",
    "ports": "every port",
    "toPorts": "every port",
    "ingress": "no rule",
    "egress": "no rule",
}
_KINDS = frozenset({"NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"})
_DEEPEST = 30


def check(context: Context) -> Iterator[Draft]:
    """Every such null, unless the policy says that it is meant."""
    memo = context.run.memo
    for policy in context.chain.policies:
        obj = policy.object
        if obj is None or obj.kind not in _KINDS:
            continue
        found = memo.get(("nulls", id(obj)))
        if found is None:
            found = memo[("nulls", id(obj))] = tuple(_of_policy(obj.value))
        if found and not annotation(obj, SELECT_ALL).strip():
            for path in found:
                yield _finding(context, obj, path)


def _finding(context: Context, obj: Object, path: Path) -> Draft:
    field = str(path[-1])
    severity = INFO if len(path) == 2 and field in ("ingress", "egress") else ERROR
    means = "an empty value" if path[-2:-1] == ("matchLabels",) else MEANS[field]
    why = _because(context, obj, path) if context.snapshot.made else ""
    return Draft(RULE, severity, obj, path, f"`{field}` has no value{why}, which means {means}")


def _because(context: Context, obj: Object, path: Path) -> str:
    """What the chart that it was rendered from wants and nobody sets."""
    from bot.render.origin import FromTemplate
    from bot.render.unset import unset

    made = context.snapshot.made.get(context.snapshot.where[obj][0])
    if made is None or not isinstance(made.origin, FromTemplate):
        return ""
    origin = made.origin
    known = context.once(f"unset {context.snapshot.where[obj][0]}", lambda: unset(origin))
    names = [one.value for one in known if (one.kind, one.name, one.path) == (obj.kind, obj.name, path)]
    if not names:
        return ""
    return f" because {words.listed([f'`{name}`' for name in names])} {'is' if len(names) == 1 else 'are'} not set"


def _of_policy(value: Any) -> Iterator[Path]:
    yield from nulls(value.get("spec"), ("spec",))
    yield from nulls(value.get("specs"), ("specs",))


def nulls(value: Any, path: Path) -> Iterator[Path]:
    """Where below `path` a field that means something when it is absent, or a label, has no value."""
    if len(path) > _DEEPEST:
        return
    if type(value) is dict:
        for key, inner in value.items():
            if inner is None:
                if key in MEANS or path[-1] == "matchLabels":
                    yield (*path, key)
            elif type(inner) in (dict, list):
                yield from nulls(inner, (*path, key))
    elif type(value) is list:
        for index, inner in enumerate(value):
            if type(inner) in (dict, list):
                yield from nulls(inner, (*path, index))
