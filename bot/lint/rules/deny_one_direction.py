"""NP030: a default deny of one direction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import INFO, Draft, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP030",
    name="deny-one-direction",
    severity=INFO,
    detects="A default deny (all pods, no rules) of ingress alone, in a namespace where pods' egress is isolated by "
    "nothing.",
    why="Isolation is by direction. A default deny of ingress alone leaves every pod free to send anything anywhere.",
    bad="""\
metadata: {name: default-deny}
spec:
  podSelector: {}
  policyTypes: [Ingress]
""",
    fix="Add `Egress` to policyTypes, with the egress that is needed (DNS first); or keep egress open knowingly.",
    good="""\
metadata: {name: default-deny}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
""",
)


def check(context: Context) -> Iterator[Draft]:
    """Every such policy."""
    for policy in context.chain.policies:
        spec = (
            policy.object.value.get("spec")
            if policy.object is not None and policy.object.kind == "NetworkPolicy"
            else None
        )
        view = context.view(policy) if type(spec) is dict and spec.get("podSelector") == {} else None
        if view is None or view.types != ("ingress",) or view.items:
            continue
        bits = 0
        for slot in context.subjects(view.policy, "ingress"):
            bits |= 1 << slot
        free = context.workloads(bits & ~context.isolated("egress"))
        if free:
            message = f"a default deny of ingress alone: what {words.workloads(free)} may send is denied by nothing"
            path = ("spec", "policyTypes") if view.spec.get("policyTypes") else ("spec",)
            yield Draft(RULE, INFO, view.object, path, message)
