"""NP003: two rules, one with peers and one with ports, that were meant as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import ERROR, WARNING, Draft, Path, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context, Item, View
    from bot.manifests.snapshot import Object

RULE = Rule(
    id="NP003",
    name="ports-list-split",
    severity=ERROR,
    detects="A rule with peers and no ports beside a rule with ports and no peers. An error where the pods listen on one of these ports, a "
    "warning otherwise.",
    why="They are OR: the first allows these peers on every port, the second allows everybody on these ports. One "
    "rule with both was meant.",
    bad="""\
ingress:
  - from:
      - podSelector: {matchLabels: {app: frontend}}
  - ports:
      - port: 8080
""",
    fix="Remove the dash before `ports`, so that peers and ports stand in one rule.",
    good="""\
ingress:
  - from:
      - podSelector: {matchLabels: {app: frontend}}
    ports:
      - port: 8080
""",
)


def is_half(context: Context, obj: Object, path: Path) -> bool:
    """Whether a rule is one of such a pair: what is wrong with it alone is told here."""

    def make() -> frozenset[tuple[int, Path]]:
        return frozenset(
            (id(view.object), item.path)
            for view in context.views
            for pair in zip(view.items, view.items[1:], strict=False)
            for item in pair
            if pair[0].direction == pair[1].direction and (_is_split(*pair) or _is_split(pair[1], pair[0]))
        )

    return (id(obj), path) in context.once("halves", make)


def check(context: Context) -> Iterator[Draft]:
    """Every such pair of neighbours; ports of DNS alone are meant for everybody."""
    for view in context.views:
        for first, second in zip(view.items, view.items[1:], strict=False):
            if first.direction != second.direction:
                continue
            for peers, ports in ((first, second), (second, first)):
                if _is_split(peers, ports):
                    exposed = first.direction == "ingress" and any(
                        context.exposed().get(slot) for slot in context.subjects(view.policy, "ingress")
                    )
                    field = "from" if first.direction == "ingress" else "to"
                    meant = _declares(context, view, ports)
                    yield Draft(
                        RULE,
                        WARNING if exposed or not meant else ERROR,
                        view.object,
                        second.path,
                        f"a rule with `{field}` and one with `ports` side by side: the first allows every port, the second everybody",
                        f"one rule with both `{field}` and `ports`",
                    )


def _declares(context: Context, view: View, item: Item) -> bool:
    """Whether the pods (for egress: any) listen on one of the ports, so that they are most likely meant for the peers."""
    slots = (
        context.slots
        if item.direction == "egress"
        else sum(1 << slot for slot in context.subjects(view.policy, "ingress"))
    )
    declared = {
        key for workload in context.workloads(slots) for own in workload.ports for key in (own.number, own.name)
    }
    return any(port.get("port") in declared for port in item.ports)


def _is_split(peers: Item, ports: Item) -> bool:
    """What one stray dash makes of a rule; ports of DNS are let out to everywhere on purpose."""
    return bool(
        peers.peers
        and peers.value.keys().isdisjoint({"ports"})
        and ports.ports
        and ports.value.keys().isdisjoint({"from", "to"})
        and all(port.get("port") not in (53, "dns") for port in ports.ports)
    )
