"""Edges of netpol-analyzer and of a netreach document in, one comparable form out: nothing is compared fuzzily after this.

An *edge* is (from, to) between workloads or `{ingress-controller}`; its value is ports by protocol. What meets addresses is a
map over the whole IPv4 line, cut where values differ and nowhere else, since the two tools cut the line at different CIDRs.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from typing import Any, NamedTuple

Value = Any  # ports of a list, or (ports before, ports after) of a diff: only equality counts
Ports = tuple[tuple[str, tuple[tuple[int, int], ...]], ...]
CONTROLLER = "{ingress-controller}"
LAST = 2**32 - 1


class Edges(NamedTuple):
    """`pods`: (from, to) -> value. `addresses`: (workload, 'from' or 'to' addresses) -> ((first, last, value), ...)."""

    pods: dict[tuple[str, str], Value]
    addresses: dict[tuple[str, str], tuple[tuple[int, int, Value], ...]]


def ports_of(ranges: Mapping[str, Iterable[tuple[int, int]]]) -> Ports:
    """Ports 1 to 65535 of each protocol as merged ranges. netpol-analyzer has no port 0, so it counts for nobody."""
    out = []
    for protocol, pairs in sorted(ranges.items()):
        merged: list[tuple[int, int]] = []
        for first, last in sorted((max(first, 1), last) for first, last in pairs):
            if last < first:
                continue
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        if merged:
            out.append((protocol, tuple(merged)))
    return tuple(out)


def _union(*parts: Ports) -> Ports:
    ranges: dict[str, list[tuple[int, int]]] = {}
    for part in parts:
        for protocol, pairs in part:
            ranges.setdefault(protocol, []).extend(pairs)
    return ports_of(ranges)


def of_rows(rows: Iterable[tuple[str, str, tuple[Ports, ...]]]) -> Edges:
    """Edges of (from, to, values) rows; ends are workloads, the controller, or IPv4 ranges `a-b`; rows of one pair are united."""
    pods: dict[tuple[str, str], tuple[Ports, ...]] = {}
    lines: dict[tuple[str, str], list[tuple[int, int, tuple[Ports, ...]]]] = {}
    for source, destination, values in rows:
        if re.match(r"\d", source):
            lines.setdefault((destination, "from"), []).append((*_range(source), values))
        elif re.match(r"\d", destination):
            lines.setdefault((source, "to"), []).append((*_range(destination), values))
        else:
            before = pods.get((source, destination))
            pods[source, destination] = values if before is None else tuple(map(_union, before, values))
    addresses = {key: _line(pieces) for key, pieces in lines.items()}
    return Edges(
        {key: values for key, values in pods.items() if _tells(values)},
        {key: line for key, line in addresses.items() if line},
    )


def _tells(values: tuple[Ports, ...]) -> bool:
    """A listed edge is open; a diffed one changed."""
    return bool(values[0]) if len(values) == 1 else values[0] != values[1]


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(IPv4Address(first)), int(IPv4Address(last))


def _line(pieces: list[tuple[int, int, tuple[Ports, ...]]]) -> tuple[tuple[int, int, tuple[Ports, ...]], ...]:
    cuts = sorted({0, LAST + 1, *(p[0] for p in pieces), *(p[1] + 1 for p in pieces)})
    starts: dict[int, tuple[Ports, ...]] = {}
    for first, last, values in pieces:
        for cut in cuts[bisect_left(cuts, first) : bisect_right(cuts, last)]:
            starts[cut] = tuple(map(_union, starts[cut], values)) if cut in starts else values
    out: list[tuple[int, int, tuple[Ports, ...]]] = []
    for first, end in pairwise(cuts):
        values = starts.get(first, ())
        if not values or not _tells(values):
            continue
        if out and out[-1][1] == first - 1 and out[-1][2] == values:
            out[-1] = (out[-1][0], end - 1, values)
        else:
            out.append((first, end - 1, values))
    return tuple(out)


# --- netpol-analyzer's side ---


def theirs_listed(case: Mapping[str, Any]) -> Edges:
    """The edges of a `list` case."""
    return of_rows((_their_end(c["src"]), _their_end(c["dst"]), (ports_of(c["ports"]),)) for c in case["connections"])


def theirs_diffed(case: Mapping[str, Any]) -> Edges:
    """The edges of a `diff` case."""
    return of_rows(
        (_their_end(c["src"]), _their_end(c["dst"]), (ports_of(c["before_ports"]), ports_of(c["after_ports"])))
        for c in case["changes"]
    )


def _their_end(text: str) -> str:
    return text.removesuffix("[External]")


# --- netreach's side: a `list` or `diff --pairs` document ---


def ours_listed(document: Mapping[str, Any]) -> Edges:
    """The edges of a `list` document between what netpol-analyzer knows: workloads, IPv4 addresses and Ingress or Route objects."""
    assert not any(path.get("certainty") == "possible" for path in document["paths"]), "a possible path"
    return of_rows(_expand(document["endpoints"], ((p["from"], p["to"], (p["ports"],)) for p in document["paths"])))


def ours_diffed(document: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> Edges:
    """The edges of the one environment of a `diff --pairs` document.

    What the controller reaches is the union over its objects, and those that did not change are no rows: so that one edge
    is put together from the two listings, for destinations that a row of such an object has.
    """
    (environment,) = document["environments"]
    assert not any("beforePossible" in pair or "afterPossible" in pair for pair in environment["pairs"]), (
        "a possible path"
    )
    pairs = ((p["from"], p["to"], (p["before"], p["after"])) for p in environment["pairs"])
    edges = of_rows(_expand(environment["endpoints"], pairs))
    sides = [ours_listed(side).pods for side in (before, after)]
    for cell in [cell for cell in edges.pods if cell[0] == CONTROLLER]:
        was, became = (side.get(cell, ((),))[0] for side in sides)
        del edges.pods[cell]
        if was != became:
            edges.pods[cell] = (was, became)
    return edges


def _expand(
    endpoints: Mapping[str, Mapping[str, Any]], rows: Iterable[tuple[str, str, tuple[Any, ...]]]
) -> Iterable[tuple[str, str, tuple[Ports, ...]]]:
    ends = {name: _our_ends(name, facts) for name, facts in endpoints.items()}
    for source, destination, values in rows:
        if source == destination:  # between replicas: netpol-analyzer has no such pairs
            continue
        ports = tuple(map(_our_ports, values))
        for one in ends[source]:
            for other in ends[destination]:
                yield one, other, ports


def _our_ends(name: str, facts: Mapping[str, Any]) -> list[str]:
    if facts.get("hypothetical"):
        return []
    if "cidrs" in facts:
        networks = [IPv4Network(cidr) for cidr in facts["cidrs"] if ":" not in cidr]
        return [f"{network.network_address}-{network.broadcast_address}" for network in networks]
    if name.startswith("ingress:"):
        return [CONTROLLER] if facts["kind"] in ("Ingress", "Route") else []
    return [f"{facts['namespace']}/{facts['name']}[{facts['kind']}]"]


def _our_ports(ports: Any) -> Ports:
    if ports == "none":
        return ()
    if ports == "all":
        return ports_of({protocol: [(0, 65535)] for protocol in ("TCP", "UDP", "SCTP")})
    ranges: dict[str, list[tuple[int, int]]] = {}
    for item in ports:
        ranges.setdefault(item["protocol"], []).append((item["from"], item["to"]))
    return ports_of(ranges)
