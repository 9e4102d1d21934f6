"""NP021: a rule that names nobody, and so means everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import INFO, WARNING, Draft, Rule
from bot.lint.rules.ports_list_split import is_half

if TYPE_CHECKING:
    from bot.lint.context import Context, Item, View

RULE = Rule(
    id="NP021",
    name="rule-without-peers",
    severity=WARNING,
    detects="A rule without `from` or `to`, or with an empty list there. For information only where the pods are "
    "exposed by an Ingress, a route or a load balancer, or called by the API server (webhooks), whose addresses "
    "nobody knows. A policy that allows everything and says so (its only rule is `{}`), and DNS, are left alone.",
    why="An empty list of peers is no peers in most languages; here it is everybody, inside and outside of the "
    "cluster.",
    bad="""\
ingress:
  - from: []
    ports: [{port: 8080}]
""",
    fix="Name who may connect.",
    good="""\
ingress:
  - from:
      - podSelector: {matchLabels: {app: web}}
    ports: [{port: 8080}]
""",
)


def check(context: Context) -> Iterator[Draft]:
    """Every such rule; one of null is null-in-policy."""
    for view in context.views:
        for item in view.items:
            field = "from" if item.direction == "ingress" else "to"
            if item.direction not in view.types or item.peers or item.value.get(field, ()) is None:
                continue
            if _is_meant(view, item) or is_half(context, view.object, item.path):
                continue
            exposed = item.direction == "ingress" and any(
                context.exposed().get(slot) for slot in context.subjects(view.policy, "ingress")
            )
            how = f"`{field}` is an empty list" if field in item.value else f"there is no `{field}`"
            whom = "everybody" if item.direction == "ingress" else "everywhere"
            ports = "these ports" if item.ports else "every port"
            message = f"{how}, which allows {ports} {'from' if field == 'from' else 'to'} {whom}"
            hooks = not exposed and item.direction == "ingress" and _is_called(context, view)
            if exposed:
                message += "; the pods are exposed, so this may be meant"
            elif hooks:
                message += "; the API server calls the pods, and its addresses are in no manifest"
            yield Draft(RULE, INFO if exposed or hooks else WARNING, view.object, item.path, message)


def _is_called(context: Context, view: View) -> bool:
    from bot.lint.rules.webhook_ingress_blocked import called

    return not called(context).isdisjoint(context.subjects(view.policy, "ingress"))


def _is_meant(view: View, item: Item) -> bool:
    if not item.value:
        return len(view.spec[item.direction]) == 1
    return (
        item.direction == "egress" and bool(item.ports) and all(port.get("port") in (53, "dns") for port in item.ports)
    )
