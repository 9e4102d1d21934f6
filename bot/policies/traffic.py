"""Traffic: which protocol, port and source port a rule speaks of, as a canonical Boolean algebra of boxes.

A point is `protocol << 16 | port` (for ICMP: `type << 8 | code` in place of the port) with a source port.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bot.policies import intervals
from bot.policies.intervals import Intervals

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
PROTOCOLS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP, "ICMP": ICMP, "ICMPv6": ICMPV6, "UDPLite": 136}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
LAST_PORT = 0xFFFF
# A port that clients are given: Linux gives them from 32768 to 60999 (net.ipv4.ip_local_port_range).
CLIENT_PORT = 40000


class Box(NamedTuple):
    """Consecutive points of the line, each with the same consecutive source ports (ends included)."""

    first: int
    last: int
    source_first: int = 0
    source_last: int = LAST_PORT


Traffic = tuple[Box, ...]
NOTHING: Traffic = ()


def ports(protocol: int, first: int = 0, last: int = LAST_PORT) -> Traffic:
    """The ports `first` to `last` (included) of a protocol number, from any source port."""
    return (Box(protocol << 16 | first, protocol << 16 | last),)


def union(*parts: Traffic) -> Traffic:
    """Everything in any of `parts`, canonical: equal sets are equal tuples."""
    boxes = [box for part in parts for box in part]
    if all(box.source_first == 0 and box.source_last == LAST_PORT for box in boxes):
        return tuple(Box(*pair) for pair in intervals.normal((box.first, box.last) for box in boxes))
    return _canonical(boxes)


def intersect(left: Traffic, right: Traffic) -> Traffic:
    """Everything in both, canonical."""
    return _canonical(
        Box(
            max(a.first, b.first),
            min(a.last, b.last),
            max(a.source_first, b.source_first),
            min(a.source_last, b.source_last),
        )
        for a in left
        for b in right
    )


def subtract(left: Traffic, right: Traffic) -> Traffic:
    """Everything in `left` and not in `right`, canonical."""
    cuts = _cuts(left + right)
    out: list[Box] = []
    for first, last in zip(cuts, cuts[1:], strict=False):
        rest = intervals.subtract(_sources(left, first), _sources(right, first))
        out.extend(Box(first, last - 1, *pair) for pair in rest)
    return _canonical(out)


def _cuts(boxes: Iterable[Box]) -> list[int]:
    return sorted({edge for box in boxes for edge in (box.first, box.last + 1)})


def _sources(boxes: Iterable[Box], point: int) -> Intervals:
    return intervals.normal((b.source_first, b.source_last) for b in boxes if b.first <= point <= b.last)


def _canonical(boxes: Iterable[Box]) -> Traffic:
    """Cut at every edge, unite the source ports of each piece, then join neighbours that have the same ones."""
    kept = [b for b in boxes if b.first <= b.last and b.source_first <= b.source_last]
    cuts = _cuts(kept)
    runs: list[tuple[int, int, Intervals]] = []
    for first, end in zip(cuts, cuts[1:], strict=False):
        sources = _sources(kept, first)
        if runs and runs[-1][2] == sources and runs[-1][1] == first - 1:
            runs[-1] = (runs[-1][0], end - 1, sources)
        else:
            runs.append((first, end - 1, sources))
    return tuple(Box(first, last, *pair) for first, last, sources in runs for pair in sources)


class Atoms:
    """The traffic universe of one run, cut where any rule cuts it: a set of traffic is then a bit mask over atoms."""

    def __init__(self, universe: Traffic, used: Iterable[Traffic]) -> None:
        """`universe` is what the CNI polices; `used` every traffic that any rule (or question) names."""
        points = {box.first for box in universe} | {box.last + 1 for box in universe}
        sources = {0, LAST_PORT + 1}
        for traffic in used:
            for box in traffic:
                points.add(box.first)
                points.add(box.last + 1)
                sources.add(box.source_first)
                sources.add(box.source_last + 1)
        line = sorted(points)
        self._sources = list(zip(sorted(sources), sorted(sources)[1:], strict=False))
        self._line = [
            (first, end - 1)
            for first, end in zip(line, line[1:], strict=False)
            if any(box.first <= first and end - 1 <= box.last for box in universe)
        ]
        self._masks: dict[Traffic, int] = {}
        self.count = len(self._line) * len(self._sources)
        self.everything = (1 << self.count) - 1

    def mask(self, traffic: Traffic) -> int:
        """The atoms of `traffic`, which must have been named in `used` (or be a union of such)."""
        found = self._masks.get(traffic)
        if found is None:
            found = self._masks[traffic] = self._make(traffic)
        return found

    def _make(self, traffic: Traffic) -> int:
        width = len(self._sources)
        out = 0
        for box in traffic:
            for i, (first, last) in enumerate(self._line):
                if box.first <= first and last <= box.last:
                    for j, (low, end) in enumerate(self._sources):
                        if box.source_first <= low and end - 1 <= box.source_last:
                            out |= 1 << (i * width + j)
        return out

    def traffic(self, mask: int) -> Traffic:
        """The canonical traffic of a mask."""
        width = len(self._sources)
        return _canonical(
            Box(*self._line[i // width], self._sources[i % width][0], self._sources[i % width][1] - 1)
            for i in range(self.count)
            if mask >> i & 1
        )

    def touching(self, first: int, last: int) -> int:
        """The atoms that have a point between `first` and `last`."""
        width = len(self._sources)
        out = 0
        for i, (low, high) in enumerate(self._line):
            if low <= last and first <= high:
                out |= ((1 << width) - 1) << (i * width)
        return out

    def atom(self, point: int, source: int | None = None) -> int | None:
        """The mask of the atom that holds this point and source port (None: a client's), or None outside the universe."""
        if source is None:
            source = CLIENT_PORT
        width = len(self._sources)
        for i, (first, last) in enumerate(self._line):
            if first <= point <= last:
                for j, (low, end) in enumerate(self._sources):
                    if low <= source < end:
                        return 1 << (i * width + j)
        return None

    def source(self, mask: int, point: int) -> int | None:
        """A source port at which the mask holds this point; None: a client's port does."""
        width = len(self._sources)
        for i, (first, last) in enumerate(self._line):
            if first <= point <= last:
                held = [low for j, (low, _) in enumerate(self._sources) if mask >> (i * width + j) & 1]
                return held[0] if held and not mask & (self.atom(point) or 0) else None
        return None
