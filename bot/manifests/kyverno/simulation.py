"""The objects of one side in; the objects that Kyverno's generate rules create for them out.

Every object of the side counts as created once, after the policies: the steady state of a cluster that holds the side.
What a change means for a cluster that already runs is in lifecycle.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from bot.manifests.kyverno.model import Generated, Resource, RuleOrigin
from bot.manifests.kyverno.side import SIDE_BUDGET, Exhausted, Side


def is_policy(resource: Resource) -> bool:
    """Whether the object is a Kyverno policy that may generate."""
    if resource.group == "kyverno.io":
        return resource.kind in ("ClusterPolicy", "Policy")
    return resource.group == "policies.kyverno.io" and resource.kind in (
        "GeneratingPolicy",
        "NamespacedGeneratingPolicy",
    )


def simulate(
    resources: Iterable[Resource],
    unread_kinds: frozenset[str] = frozenset(),
    other_kinds: frozenset[str] = frozenset(),
    budget: int = SIDE_BUDGET,
) -> Generated:
    """What Kyverno creates for the resources of one side (for the other arguments see Side); pure, and the same for the
    same input."""
    side = Side(resources, unread_kinds, other_kinds, budget)
    for policy in filter(is_policy, side.resources):
        origin = RuleOrigin(policy.value, ("spec",), "")
        try:
            if policy.group == "kyverno.io":
                from bot.manifests.kyverno.rules import run_policy

                run_policy(side, policy)
            else:
                from bot.manifests.kyverno.cel import run_generating_policy

                run_generating_policy(side, policy)
        except Exhausted:
            side.note(origin, "the limit for Kyverno rules is reached: this and later policies are not simulated", True)
            break
    return side.result()
