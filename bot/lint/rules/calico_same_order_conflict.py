"""NP121: two policies of Calico at the same order that disagree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.lint.finding import ERROR, Draft, Rule
from bot.lint.overlap import by_subject, rules_meet

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
_MOST = 300


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
        if len({peer.rules[0].action for peer in peers}) > 1:
            groups = by_subject(context, peers).values() if context.slots else (peers[:_MOST],)
            for group in groups:
                _compare(context, group, order, found)
    return list(found.values())


def _compare(context: Context, peers: list[Peer], order: float | None, found: dict[tuple[int, int], Conflict]) -> None:
    """Add the pairs of some rules that disagree."""
    for number, peer in enumerate(peers[:_MOST]):
        for other in peers[:number]:
            pair = (id(peer.object), id(other.object))
            if (
                peer.object is not other.object
                and peer.rules[0].action != other.rules[0].action
                and pair not in found
                and pair[::-1] not in found
                and rules_meet(context, peer, other)
            ):
                found[pair] = Conflict(peer, other, order)
