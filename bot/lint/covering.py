"""Two rules of policies in; out, whether one allows all that the other does, for pods that are in Git and pods that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.policies.intervals import covers as holds_addresses
from bot.policies.model import And, Everything, Expr, InAddresses, InNamespace, Kind, Label, Not, Or
from bot.policies.traffic import subtract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.lint.context import Peer
    from bot.policies.model import Rule


def includes(outer: Expr, inner: Expr) -> bool:
    """Whether everything that matches `inner` surely matches `outer` (False where that cannot be told)."""
    if outer == inner or isinstance(outer, Everything):
        return True
    if isinstance(inner, Or):
        return all(includes(outer, part) for part in inner.parts)
    if isinstance(outer, Or):
        return any(includes(part, inner) for part in outer.parts)
    if isinstance(outer, And):
        return all(includes(part, inner) for part in outer.parts)
    parts = inner.parts if isinstance(inner, And) else (inner,)
    return any(_includes(outer, part) for part in parts)


def _includes(outer: Expr, inner: Expr) -> bool:
    if outer == inner:
        return True
    if isinstance(outer, Kind):
        return outer.kind == "pod" and isinstance(inner, InNamespace)
    if isinstance(outer, InNamespace) or isinstance(inner, InNamespace):
        return False
    if isinstance(outer, InAddresses) and isinstance(inner, InAddresses):
        return outer.pods == inner.pods and holds_addresses(outer.addresses, inner.addresses)
    if isinstance(outer, Label) and isinstance(inner, Label) and (outer.scope, outer.key) == (inner.scope, inner.key):
        if outer.operator == "exists":
            return True
        return outer.operator == inner.operator == "in" and set(inner.values) <= set(outer.values)
    if isinstance(outer, Not) and isinstance(inner, Not):
        return _includes(inner.inner, outer.inner)
    return False


def rule_covers(outer: Rule, inner: Rule) -> bool:
    """Whether a rule allows all that another does."""
    return (
        outer.action == inner.action == "allow"
        and outer.l7 is None
        and not inner.exact
        and includes(outer.source, inner.source)
        and includes(outer.destination, inner.destination)
        and (inner.traffic == outer.traffic or not subtract(inner.traffic, outer.traffic))
    )


def peer_covers(outer: Peer, inner: Peer) -> bool:
    """Whether a peer with its ports allows all that another does."""
    return outer.direction == inner.direction and all(
        any(rule_covers(one, rule) for one in outer.rules) for rule in inner.rules
    )


def covering(peers: Iterable[Peer], inner: Peer) -> Peer | None:
    """The first of these that makes `inner` superfluous."""
    return next((outer for outer in peers if outer is not inner and peer_covers(outer, inner)), None)
