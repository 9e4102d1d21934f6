"""Pieces (sources × destinations) of one change in, few maximal rectangles out that hold exactly the same pairs."""

from __future__ import annotations

from collections.abc import Iterable

Rectangle = tuple[int, int]
BUDGET = 64


def rectangles(pieces: Iterable[Rectangle]) -> list[Rectangle]:
    """Disjoint or overlapping (sources, destinations) bitsets, united into few; their pairs are those of `pieces`.

    Equal sides are merged first; then, within a budget of `BUDGET` pieces, greedily the largest rectangle that fits.
    """
    found = _by_second(_by_first(_by_second(pieces)))
    if len(found) <= 2 or len(found) > BUDGET:
        return found
    return _greedy(found)


def _by_second(pieces: Iterable[Rectangle]) -> list[Rectangle]:
    out: dict[int, int] = {}
    for first, second in pieces:
        if first and second:
            out[second] = out.get(second, 0) | first
    return [(first, second) for second, first in out.items()]


def _by_first(pieces: Iterable[Rectangle]) -> list[Rectangle]:
    out: dict[int, int] = {}
    for first, second in pieces:
        out[first] = out.get(first, 0) | second
    return list(out.items())


def _greedy(pieces: list[Rectangle]) -> list[Rectangle]:
    """Rows with one destination set each; take the rectangle that covers most of what is left, until nothing is left."""
    rows = _disjoint_rows(pieces)
    out: list[Rectangle] = []
    left = [(first, second) for first, second in rows]
    while left:
        best: tuple[int, int, int] = (0, 0, 0)
        for _, second in {second: (first, second) for first, second in left}.values():
            sources = gain = 0
            for first, own in left:
                if own & second == second:
                    sources |= first
                    gain += first.bit_count()
            area = gain * second.bit_count()
            if area > best[0]:
                best = (area, sources, second)
        _, sources, second = best
        out.append((sources, second))
        left = [(first, own & ~second if not first & ~sources else own) for first, own in left]
        left = _by_second((first, own) for first, own in left if own)
    return _by_first(out)


def _disjoint_rows(pieces: list[Rectangle]) -> list[Rectangle]:
    """The same pairs with sources in disjoint groups, each with all of its destinations."""
    rows: list[Rectangle] = []
    for first, second in pieces:
        rest = first
        fresh: list[Rectangle] = []
        for own, reached in rows:
            shared = own & rest
            if not shared:
                fresh.append((own, reached))
                continue
            rest &= ~shared
            fresh.append((shared, reached | second))
            if own & ~shared:
                fresh.append((own & ~shared, reached))
        if rest:
            fresh.append((rest, second))
        rows = fresh
    return _by_second(rows)
