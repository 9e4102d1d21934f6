"""NP120: policies of Calico without an order that disagree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import WARNING, Draft, Rule
from bot.lint.rules.calico_same_order_conflict import conflicts, does

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP120",
    name="calico-no-order",
    severity=WARNING,
    detects="A Calico policy without `order` and another one of its tier without, where one denies traffic that the "
    "other allows or passes.",
    why="Policies without an order come last, and among themselves by name: `default-deny` before `web-allow`, "
    "which then allows nothing.",
    bad="""\
kind: GlobalNetworkPolicy
metadata: {name: default-deny}
spec: {selector: all(), ingress: [{action: Deny}]}
---
kind: NetworkPolicy
metadata: {name: web-allow, namespace: shop}
spec: {selector: app == 'web', ingress: [{action: Allow}]}
""",
    fix="Give both an `order`: the one that is to come first the lower.",
)


def check(context: Context) -> Iterator[Draft]:
    """One finding for each two such policies."""
    for conflict in conflicts(context):
        if conflict.order is None:
            other = conflict.other.object
            both = f"neither this policy nor {conflict.other.policy.title} has an order"
            message = f"{both}, and the latter {does(conflict)}: the names decide"
            yield Draft(RULE, WARNING, conflict.peer.object, ("spec",), message, about=other.name)
