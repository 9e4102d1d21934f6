"""NP025: an empty namespaceSelector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import WARNING, Draft, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP025",
    name="all-namespaces-peer",
    severity=WARNING,
    detects="A peer of `namespaceSelector: {}` alone, without a podSelector that narrows it. DNS is left alone.",
    why="It is every pod of every namespace, those that come later too.",
    bad="""\
egress:
  - to:
      - namespaceSelector: {}
""",
    fix="Select the namespaces by a label, or the pods by a podSelector in the same item.",
    good="""\
egress:
  - to:
      - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}
""",
)


def check(context: Context) -> Iterator[Draft]:
    """Every such peer of a NetworkPolicy."""
    for view in context.views:
        for item in view.items:
            if item.direction not in view.types or (
                item.ports and all(port.get("port") in (53, "dns") for port in item.ports)
            ):
                continue
            field = "from" if item.direction == "ingress" else "to"
            for at, peer in enumerate(item.peers):
                if peer.get("namespaceSelector") == {} and not peer.get("podSelector"):
                    message = "empty `namespaceSelector` allows every pod of every namespace, present and future"
                    yield Draft(RULE, WARNING, view.object, (*item.path, field, at), message)
