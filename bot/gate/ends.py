"""An end of a rule or an allow entry (`ns:payments`, `label:tier=db`, `internet`, ...) in, the endpoints it means out.

Judged by what a document says of an endpoint, so that the rows of a review and the rows of an evaluation are asked alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.policies import addresses as address_line
from bot.policies import intervals
from bot.policies.intervals import Intervals
from bot.policies.traffic import SCTP, TCP, UDP, Traffic, ports, union
from bot.reachability.change import EndpointFacts

if TYPE_CHECKING:
    from bot.config import Match, Ports
    from bot.manifests.snapshot import Snapshot

PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}
NAME_LABEL = "kubernetes.io/metadata.name"
PODS = ("workload", "hypothetical")

DeclaredPorts = Mapping[tuple[str, str, str], "tuple[tuple[str, int, int], ...]"]
"""(namespace, kind, name) of a workload -> (port name, protocol number, number)."""


class End(NamedTuple):
    """One end, its group resolved. `ids`: endpoints that the cluster's own vocabulary means by it, where it has a word for it."""

    text: str
    scheme: str
    rest: str
    ranges: Intervals = ()
    ids: tuple[str, ...] = ()

    def holds(self, facts: EndpointFacts) -> bool:
        """Whether all of the endpoint is meant."""
        if self.scheme in ("cidr", "internet") and facts.kind == "addresses":
            return intervals.covers(self.ranges, _line(facts))
        return self.touches(facts)

    def touches(self, facts: EndpointFacts) -> bool:
        """Whether any of the endpoint is meant: some of a range of addresses."""
        if self.scheme == "*":
            return True
        if facts.id == self.text or facts.id in self.ids:
            return True
        if self.scheme in ("cidr", "internet") and facts.kind == "addresses":
            return bool(intervals.intersect(self.ranges, _line(facts)))
        if self.scheme == "internet":
            return facts.kind in ("exposure", "fqdn")
        if self.scheme == "ns":
            inside = facts.namespace or dict(facts.namespace_labels).get(NAME_LABEL, "")
            return facts.kind in PODS and inside == self.rest
        if self.scheme == "label":
            labels = dict(facts.labels)
            return facts.kind in PODS and all(
                key in labels and (not equals or labels[key] == value)
                for part in self.rest.split(",")
                for key, equals, value in (part.partition("="),)
            )
        if self.scheme == "workload" and facts.kind == "workload":
            names = (f"{facts.namespace}/{facts.name}", f"{facts.namespace}/{facts.object_kind}/{facts.name}")
            return self.text in names
        return False


def _line(facts: EndpointFacts) -> Intervals:
    return intervals.normal(pair for cidr in facts.cidrs for pair in address_line.parse_cidr(cidr))


def end(text: str, groups: Mapping[str, str], pods: Intervals | None, ids: Iterable[str] = ()) -> End:
    """The end as it is meant. `pods`: where pods have their addresses; `ids`: as in End."""
    text = groups.get(text, text)
    scheme, colon, rest = text.partition(":")
    if text == "*":
        return End(text, "*", "")
    if text == "internet":
        return End(text, "internet", "", intervals.subtract(address_line.ALL, pods or ()))
    if not colon:
        return End(text, "workload", text, ids=tuple(ids))
    if scheme in ("ip", "cidr"):
        return End(text, "cidr", rest, address_line.parse_cidr(rest), tuple(ids))
    return End(text, scheme, rest, ids=tuple(ids))


def declared_ports(*snapshots: Snapshot) -> DeclaredPorts:
    """What containers listen on, on any of the sides."""
    out: dict[tuple[str, str, str], dict[tuple[str, int, int], None]] = {}
    for snapshot in snapshots:
        for workload in snapshot.workloads:
            own = out.setdefault((workload.namespace, workload.kind, workload.name), {})
            own.update(dict.fromkeys((port.name, port.protocol, port.number) for port in workload.ports))
    return {key: tuple(sorted(own)) for key, own in out.items()}


def traffic_to(match: Match, facts: EndpointFacts, declared: DeclaredPorts, universe: Traffic, exact: bool) -> Traffic:
    """The traffic that a match means at this destination; nothing where it has no port of that name.

    `exact`: a number without a protocol is TCP (what must be open); else it is any of TCP, UDP and SCTP.
    """
    if not match.ports:
        return universe
    own = declared.get((facts.namespace, facts.object_kind, facts.name), ()) if facts.kind == "workload" else ()
    return union(*(box for port in match.ports for box in _one(port, own, exact)))


def _one(port: Ports, own: Iterable[tuple[str, int, int]], exact: bool) -> list[Traffic]:
    if port.name is not None:
        wanted = None if port.protocol is None else PROTOCOLS[port.protocol]
        return [
            ports(protocol, number, number)
            for name, protocol, number in own
            if name == port.name and wanted in (None, protocol)
        ]
    if port.protocol is not None:
        return [ports(PROTOCOLS[port.protocol], port.first, port.last)]
    return [ports(protocol, port.first, port.last) for protocol in ((TCP,) if exact else (TCP, UDP, SCTP))]
