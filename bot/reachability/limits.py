"""L7 limits of cells in, their meets, unions and comparisons out; nothing here is touched where no rule has L7.

Limits are disjoint: each (L7, bits) says that the slots of `bits` are allowed only such requests; slots in none are not limited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.policies.l7 import L7

Limits = tuple[tuple["L7", int], ...]
Span = tuple[int, "L7 | None", "L7 | None"]
"""Atoms, with what requests were allowed there before and after; None: all, or nothing is open there at all."""


def meet_limits(left: Limits, right: Limits, within: int) -> Limits:
    """Both sides' limits: a request must pass each of them."""
    if not left and not right:
        return ()
    from bot.policies.l7 import meet

    out: dict[L7, int] = {}
    for ours, theirs in ((left, right), (right, left)):
        covered = 0
        for _, bits in theirs:
            covered |= bits
        for l7, bits in ours:
            alone = bits & ~covered & within
            if alone:
                out[l7] = out.get(l7, 0) | alone
    for mine, a in left:
        for its, b in right:
            both = a & b & within
            if both:
                found = meet(mine, its)
                out[found] = out.get(found, 0) | both
    return tuple(out.items())


def join_limits(left: Limits, left_allowed: int, right: Limits, right_allowed: int) -> Limits:
    """Either of two slots may be the one that is reached: a request passes if one of them lets it."""
    if not left and not right:
        return ()
    from bot.policies.l7 import union

    out: dict[L7, int] = {}
    free = [allowed & ~limited(limits) for limits, allowed in ((left, left_allowed), (right, right_allowed))]
    for ours, their_limits, their_free in ((left, right, free[1]), (right, left, free[0])):
        for l7, bits in ours:
            alone = bits & ~their_free & ~limited(their_limits)
            if alone:
                out[l7] = out.get(l7, 0) | alone
    for mine, a in left:
        for its, b in right:
            if a & b:
                found = union(mine, its)
                out[found] = out.get(found, 0) | (a & b)
    return tuple(out.items())


def limited(limits: Limits) -> int:
    """The rows or slots that are limited at all."""
    out = 0
    for _, bits in limits:
        out |= bits
    return out


def limited_to(limits: Limits, wanted: L7) -> int:
    """The rows or slots whose limit is this one."""
    out = 0
    for l7, bits in limits:
        if l7 == wanted:
            out |= bits
    return out


def spans(mask: int, before: Limits, before_allowed: int, after: Limits, after_allowed: int) -> list[tuple[int, Span]]:
    """(rows, span) for every pair of limits of two sides on the same atoms; rows that no side limits are left out."""
    out: list[tuple[int, Span]] = []
    befores = _parts(before, before_allowed)
    afters = _parts(after, after_allowed)
    for old, a in befores:
        for new, b in afters:
            if (old is not None or new is not None) and a & b:
                out.append((a & b, (mask, old, new)))
    return out


def _parts(limits: Limits, allowed: int) -> list[tuple[L7 | None, int]]:
    """The rows by limit; the unlimited and the closed ones (all rows but the limited) under None."""
    open_ = tuple((l7, bits & allowed) for l7, bits in limits)
    return [*open_, (None, ~limited(open_))]


def wider(span: Span) -> bool:
    """Whether requests are allowed after that were not before (or nobody can tell)."""
    return _answer(span[1], span[2])


def narrower(span: Span) -> bool:
    """Whether requests were allowed before that are not after (or nobody can tell)."""
    return _answer(span[2], span[1])


def _answer(old: L7 | None, new: L7 | None) -> bool:
    from bot.policies import l7

    return old != new and l7.compare(old or l7.ALL, new or l7.ALL).wider.answer != "no"


def differs(span: Span) -> bool:
    """Whether the same traffic carries other requests than before."""
    return wider(span) or narrower(span)
