"""NP015: a policy for all pods that was meant for some."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import WARNING, Draft, Rule
from bot.lint.rules.null_in_policy import SELECT_ALL
from bot.lint.suppress import annotation

if TYPE_CHECKING:
    from bot.lint.context import Context, View
    from bot.manifests.snapshot import Workload

RULE = Rule(
    id="NP015",
    name="selector-absent",
    severity=WARNING,
    detects="A NetworkPolicy without `podSelector` (valid since Kubernetes 1.34, and all pods), or with `podSelector: "
    "{}` where its name or its ports are those of one workload.",
    why="The rules of one workload then hold for every pod of the namespace, those that come later too.",
    bad="""\
metadata: {name: db, namespace: shop}
spec:
  podSelector: {}
  ingress:
    - ports: [{port: 5432}]
""",
    fix="Select the pods by a label; where all are meant, write `podSelector: {}` and say why by the annotation "
    "`netreach/select-all`.",
    good="""\
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - ports: [{port: 5432}]
""",
)


def check(context: Context) -> Iterator[Draft]:
    """Every policy for all pods of which something says that they are not meant."""
    for view in context.views:
        selector = view.spec.get("podSelector")
        if selector or annotation(view.object, SELECT_ALL).strip():
            continue
        if "podSelector" not in view.spec:
            yield Draft(
                RULE,
                WARNING,
                view.object,
                ("spec",),
                "there is no podSelector: the policy is for all pods of the namespace",
            )
        elif selector is not None and view.items:
            pods = context.in_namespace(view.object.namespace)
            meant = _meant(view, pods) if len({w.key for w in pods}) > 1 else None
            if meant is not None:
                message = f"`podSelector: {{}}` selects all {words.count(len({w.key for w in pods}), 'workload')}, and {meant}"
                yield Draft(RULE, WARNING, view.object, ("spec", "podSelector"), message)


def _meant(view: View, pods: list[Workload]) -> str | None:
    """What says that one workload is meant: the policy is called like it, or only it has the ports that are let in."""
    named = {w.name for w in pods if w.name == view.object.name}
    if named and view.items:
        return f"the policy is called like `{view.object.name}` alone"
    numbers = {
        port.get("port")
        for item in view.items
        for port in item.ports
        if item.direction == "ingress" and type(port.get("port")) is int and "endPort" not in port
    }
    if not numbers or not all(w.ports for w in pods):
        return None
    having = {w.key: w for w in pods if numbers <= {port.number for port in w.ports}}
    if len(having) == 1 and not any(numbers & {p.number for p in w.ports} for w in pods if w.key not in having):
        (one,) = having.values()
        return f"only `{one.name}` has port {words.ports(n for n in numbers if isinstance(n, int))}"
    return None
