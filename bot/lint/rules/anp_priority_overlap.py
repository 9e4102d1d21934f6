"""NP100: two admin policies of one priority that select the same pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import ERROR, Draft, Rule
from bot.lint.overlap import subjects_meet
from bot.lint.registry import ADMIN

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.policies.model import Policy

RULE = Rule(
    id="NP100",
    name="anp-priority-overlap",
    severity=ERROR,
    detects="Two AdminNetworkPolicies of one priority, or ClusterNetworkPolicies of one tier and priority, that "
    "select a pod in common and have rules in the same direction.",
    why="Which of them comes first is not defined: it may differ from node to node, and after a restart.",
    bad="""\
kind: AdminNetworkPolicy
metadata: {name: allow-monitoring}
spec: {priority: 50, subject: {namespaces: {}}}
---
kind: AdminNetworkPolicy
metadata: {name: deny-legacy}
spec: {priority: 50, subject: {namespaces: {}}}
""",
    fix="Give each a priority of its own.",
)


def check(context: Context) -> Iterator[Draft]:
    """One finding for each policy that another of its place, earlier by name, meets."""
    places: dict[tuple[str, object, int], list[Policy]] = {}
    for policy in context.chain.policies:
        obj = policy.object
        if obj is None or obj.kind not in ADMIN or obj.kind == "BaselineAdminNetworkPolicy":
            continue
        spec = obj.value.get("spec")
        if type(spec) is dict and type(spec.get("priority")) is int:
            places.setdefault((obj.kind, spec.get("tier"), spec["priority"]), []).append(policy)
    for (_, tier, priority), policies in places.items():
        for number, policy in enumerate(policies):
            met = [other for other in policies[:number] if _meet(context, policy, other)]
            if met and policy.object is not None:
                names = words.listed([f"`{other.key[2]}`" for other in met])
                where = f"tier {tier} and priority {priority}" if tier else f"priority {priority}"
                verbs = ("has", "selects") if len(met) == 1 else ("have", "select")
                message = f"{names} {verbs[0]} {where} too and {verbs[1]} pods in common"
                yield Draft(RULE, ERROR, policy.object, ("spec", "priority"), message)


def _meet(context: Context, left: Policy, right: Policy) -> bool:
    directions = {section.checkpoint for section in left.sections if section.rules}
    if directions.isdisjoint(section.checkpoint for section in right.sections if section.rules):
        return False
    mine, other = context.subject(left), context.subject(right)
    return mine is not None and other is not None and subjects_meet(context, mine, other)
