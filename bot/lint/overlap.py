"""Policies and rules of one side in; out, whether two of them speak of the same endpoints and traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bot.lint.matching import namespaces_of
from bot.lint.near import labels_asked
from bot.policies.model import And, Everything, Expr, InNamespace, Kind, Label
from bot.policies.traffic import intersect
from bot.reachability.endpoints import indices

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer
    from bot.reachability.cells import Cell


def side(context: Context) -> int:
    """Every slot of this side: workloads, addresses, entities, names."""

    def make() -> int:
        out = 0
        for row in context.run.world.universe.rows.values():
            for slot in row.head if context.head else row.base:
                out |= 1 << slot
        return out

    return context.once("side", make)  # type: ignore[no-any-return]


def sure(context: Context, expr: Expr) -> int:
    """Every slot of this side that surely matches, of whatever kind."""
    return context.run.world.resolver.resolve(expr)[0] & side(context)


def subjects_meet(context: Context, left: Expr, right: Expr) -> bool:
    """Whether two policies select a pod in common; where no workloads are in the repository, whether they surely would."""
    if context.slots:
        return bool(context.bits(left) & context.bits(right))
    return left == right or _is_wide(left, right) or _is_wide(right, left)


def may_meet(left: Expr, right: Expr) -> bool:
    """Whether a pod that is not in the repository may be selected by both: they are of one namespace, and no label is asked for twice."""
    namespaces = namespaces_of(left), namespaces_of(right)
    if namespaces[0] and namespaces[1] and set(namespaces[0]).isdisjoint(namespaces[1]):
        return False
    wanted = {
        part.key: set(part.values) for part in labels_asked(left) or () if isinstance(part, Label) and part.values
    }
    return not any(
        isinstance(part, Label) and part.values and not wanted.get(part.key, set(part.values)) & set(part.values)
        for part in labels_asked(right) or ()
    )


def _is_wide(left: Expr, right: Expr) -> bool:
    """Whether `left` is all pods, or all of the namespace that `right` is in."""
    if isinstance(left, (Everything, Kind)):
        return True
    first = right.parts[0] if isinstance(right, And) else right
    return isinstance(left, InNamespace) and left == first


def by_subject(context: Context, peers: Iterable[Peer]) -> Mapping[int, list[Peer]]:
    """Slot of a workload -> the rules of policies that select it."""
    out: dict[int, list[Peer]] = {}
    for peer in peers:
        for slot in indices(context.bits(peer.subject)):
            out.setdefault(slot, []).append(peer)
    return out


def rules_meet(context: Context, left: Peer, right: Peer) -> bool:
    """Whether some traffic between some subject and some peer is in both."""
    if not subjects_meet(context, left.subject, right.subject):
        return False
    if not any(intersect(a.traffic, b.traffic) for a in left.rules for b in right.rules):
        return False
    return bool(sure(context, left.other) & sure(context, right.other)) or left.other == right.other


def row(context: Context, direction: str, slot: int) -> list[Cell]:
    """What the policies of `slot` itself let it send (egress) or receive (ingress), over the slots of the other end."""
    checkpoint = next((found for found in context.chain.checkpoints if found.name == direction), None)
    if checkpoint is None:
        return []
    world = context.run.world
    axis = "source" if direction == "egress" else "destination"
    return world.evaluator.row(world.stack(checkpoint, axis, context.head), slot)
