"""NP122: a cluster-wide policy of Calico for everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import WARNING, Draft, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP122",
    name="calico-global-scope",
    severity=WARNING,
    detects="A GlobalNetworkPolicy with the selector `all()`, or none, and neither a namespaceSelector nor a "
    "serviceAccountSelector.",
    why="It applies to every pod, those of kube-system among them, and to every host endpoint: cluster DNS, the "
    "CNI and nodes are cut off with the rest.",
    bad="""\
kind: GlobalNetworkPolicy
metadata: {name: default-deny}
spec:
  selector: all()
  types: [Ingress, Egress]
""",
    fix="Leave out the system's namespaces by a namespaceSelector.",
    good="""\
kind: GlobalNetworkPolicy
metadata: {name: default-deny}
spec:
  namespaceSelector: kubernetes.io/metadata.name not in {'kube-system', 'calico-system'}
  types: [Ingress, Egress]
""",
)
_ALL = frozenset({"", "all()"})
_OF_HOSTS = ("doNotTrack", "preDNAT", "applyOnForward")


def check(context: Context) -> Iterator[Draft]:
    """Every such policy, unless it is about hosts, or lets everything else pass."""
    for policy in context.chain.policies:
        obj = policy.object
        spec = None if obj is None or obj.kind != "GlobalNetworkPolicy" else obj.value.get("spec")
        if obj is None or type(spec) is not dict or policy.staged:
            continue
        if (
            spec.get("namespaceSelector")
            or spec.get("serviceAccountSelector")
            or str(spec.get("selector") or "").strip() not in _ALL
        ):
            continue
        if any(spec.get(field) is True for field in _OF_HOSTS) or _lets_pass(spec):
            continue
        message = "it applies to every pod, those of kube-system included, and to every host endpoint"
        yield Draft(RULE, WARNING, obj, ("spec", "selector") if "selector" in spec else ("spec",), message)


def _lets_pass(spec: dict[str, object]) -> bool:
    """Whether each list of rules ends in one that lets everything else through or pass."""
    ends = [listed[-1] for listed in (spec.get("ingress"), spec.get("egress")) if type(listed) is list and listed]
    return bool(ends) and all(
        type(end) is dict and end.get("action") in ("Allow", "Pass") and is_catch_all(end) for end in ends
    )


def is_catch_all(rule: object) -> bool:
    """Whether a rule is for all traffic."""
    return type(rule) is dict and all(key in ("action", "metadata") or not value for key, value in rule.items())
