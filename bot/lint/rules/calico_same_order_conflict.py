"""NP121: two policies of Calico at the same order that disagree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.lint.finding import ERROR, Draft, Rule
from bot.lint.overlap import rules_meet

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer

RULE = Rule(
    id="NP121",
    name="calico-same-order-conflict",
    severity=ERROR,
    detects="Two Calico policies of one tier with the same `order`, where one denies traffic that the other allows "
    "or passes.",
    why="Calico then goes by the names, and by other names before 3.32 than since: renaming a policy, or "
    "upgrading, changes what is open.",
    bad="""\
kind: NetworkPolicy
metadata: {name: allow-web}
spec: {order: 100, ingress: [{action: Allow}]}
---
kind: NetworkPolicy
metadata: {name: deny-legacy}
spec: {order: 100, ingress: [{action: Deny}]}
""",
    fix="Give the one that is to come first the lower order.",
)
_MOST = 2_000


class Conflict(NamedTuple):
    """A rule, one of another policy of the same place that disagrees with it, and the order of both (None: they have none)."""

    peer: Peer
    other: Peer
    order: float | None


def check(context: Context) -> Iterator[Draft]:
    """One finding for each two policies of one order."""
    for conflict in conflicts(context):
        if conflict.order is not None:
            other = conflict.other.object
            message = f"{conflict.other.policy.title} has order {conflict.order:g} too, and {does(conflict)}: the names decide"
            yield Draft(RULE, ERROR, conflict.peer.object, ("spec", "order"), message, about=other.name)


def does(conflict: Conflict) -> str:
    """What the other policy does to the same traffic."""
    words = {"allow": "allows", "deny": "denies", "pass": "passes"}
    mine, other = (words[peer.rules[0].action] for peer in (conflict.peer, conflict.other))
    return f"{other} what this one {mine}"


def conflicts(context: Context) -> list[Conflict]:
    """Pairs of Calico policies of one tier and order that disagree, each pair once, told of the later name."""
    return context.once("calico conflicts", lambda: _conflicts(context))  # type: ignore[no-any-return]


def _conflicts(context: Context) -> list[Conflict]:
    places: dict[tuple[str, str, float | None], list[Peer]] = {}
    for peer in context.peers:
        obj = peer.object
        if "projectcalico.org" in obj.api_version:
            spec: Any = obj.value.get("spec")
            order = spec.get("order") if type(spec) is dict else None
            tier = str(spec.get("tier") or "default") if type(spec) is dict else "default"
            place = (peer.direction, tier, float(order) if isinstance(order, (int, float)) else None)
            places.setdefault(place, []).append(peer)
    found: dict[tuple[int, int], Conflict] = {}
    for (_, _, order), peers in places.items():
        if len({peer.rules[0].action for peer in peers}) < 2:
            continue
        looked = 0
        for number, peer in enumerate(peers):
            for other in peers[:number]:
                looked += 1
                pair = (id(peer.object), id(other.object))
                if peer.object is other.object or peer.rules[0].action == other.rules[0].action or pair in found:
                    continue
                if looked > _MOST * _MOST // 2:
                    return list(found.values())
                if rules_meet(context, peer, other) and pair[::-1] not in found:
                    found[pair] = Conflict(peer, other, order)
    return list(found.values())
