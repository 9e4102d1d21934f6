"""Sets of integers as sorted, disjoint, non-adjacent (first, last) pairs in, the same out: a Boolean algebra."""

from __future__ import annotations

from collections.abc import Iterable

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]


def normal(pairs: Iterable[Interval]) -> Intervals:
    """The canonical form of any (first, last) pairs; pairs with last < first are empty."""
    out: list[Interval] = []
    for first, last in sorted(pairs):
        if last < first:
            continue
        if out and first <= out[-1][1] + 1:
            if last > out[-1][1]:
                out[-1] = (out[-1][0], last)
        else:
            out.append((first, last))
    return tuple(out)


def intersect(left: Intervals, right: Intervals) -> Intervals:
    """What is in both."""
    out: list[Interval] = []
    i = j = 0
    while i < len(left) and j < len(right):
        first = max(left[i][0], right[j][0])
        last = min(left[i][1], right[j][1])
        if first <= last:
            out.append((first, last))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(out)


def subtract(left: Intervals, right: Intervals) -> Intervals:
    """What is in `left` and not in `right`."""
    out: list[Interval] = []
    j = 0
    for first, last in left:
        while j < len(right) and right[j][1] < first:
            j += 1
        k = j
        while k < len(right) and right[k][0] <= last:
            if right[k][0] > first:
                out.append((first, right[k][0] - 1))
            first = right[k][1] + 1
            k += 1
        if first <= last:
            out.append((first, last))
    return tuple(out)


def covers(outer: Intervals, inner: Intervals) -> bool:
    """Whether every integer of `inner` is in `outer`."""
    return not subtract(inner, outer)
