"""One Calico rule in; out, the Rules of the common model that it stands for, in order, about one subject.

Semantics: felix/rules/policy.go (`CombineMatches`, `FilterRuleToIPVersion`), felix/calc `rule_scanner.go`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bot.policies import addresses
from bot.policies.calico.entities import BOTH, Entities, Entity
from bot.policies.calico.ports import Kinds, Ports, at_destination, at_source, kinds, protocols_with_ports
from bot.policies.model import EVERYTHING, NOBODY, Expr, HasPort, InAddresses, Not, Origin, Rule, conjunction, home
from bot.policies.terms import Terms
from bot.policies.traffic import LAST_PORT, NOTHING, Box, Traffic, intersect, ports, subtract, union

ACTIONS = {"Allow": "allow", "Deny": "deny", "Pass": "pass"}
_V4, _V6 = InAddresses(addresses.ALL_V4), InAddresses(addresses.ALL_V6)
# A pod of unknown address is taken to have IPv4; one outside of every CIDR has either.
_FAMILY = {frozenset({4}): Not(conjunction((_V6, Not(_V4)))), frozenset({6}): Not(conjunction((_V4, Not(_V6))))}
Variant = tuple[Expr, Traffic]


class Spec(NamedTuple):
    """A rule as read, about no subject yet. `families`: the IP versions it is rendered for."""

    action: str
    traffic: Traffic
    families: frozenset[int]
    source: Entity
    destination: Entity
    origin: Origin


def read(entities: Entities, rule: Mapping[str, object], namespace: str, origin: Origin) -> Spec | None:
    """One rule; None where it decides nothing: a Log, or one that no packet can match."""
    action = ACTIONS.get(str(rule.get("action")))
    if action is None:
        return None
    found: Kinds = kinds(rule)
    source, destination = (
        entities.read(rule.get("source"), namespace),
        entities.read(rule.get("destination"), namespace),
    )
    families = BOTH & source.families & destination.families
    version = rule.get("ipVersion") or found.family
    if version in (4, 6):
        families &= frozenset({version})
    if not families or not found.traffic:
        return None
    return Spec(action, found.traffic, families, source, destination, origin)


class Emitter:
    """Makes Rules of rules as read."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def rules(
        self, spec: Spec, egress: bool, subject: Expr, other: Expr = EVERYTHING, but: Traffic = NOTHING
    ) -> Iterator[Rule]:
        """The Rules of a rule for the `subject` at its own end and `other` ends only, but for some traffic."""
        known = (spec.destination if egress else spec.source).inside <= spec.families
        family = None if known else _FAMILY.get(spec.families)
        peer = other if family is None else conjunction((other, family))
        near, far = (subject, peer) if egress else (peer, subject)
        source = self._intern(conjunction((near, spec.source.expr)))
        destination = self._intern(conjunction((far, spec.destination.expr)))
        traffic = subtract(spec.traffic, but) if but else spec.traffic
        if source is NOBODY or destination is NOBODY:
            return
        for own, sent in self._side(spec.source, source, traffic, False):
            for its, received in self._side(spec.destination, destination, sent, True):
                if received:
                    yield Rule(spec.action, own, its, received, spec.origin)

    def _intern(self, expr: Expr) -> Expr:
        return self._terms.selectors.intern(expr)

    def _side(self, entity: Entity, expr: Expr, traffic: Traffic, destination: bool) -> list[Variant]:
        """What the ports of one side make of the traffic: some of it for some of the endpoints each."""
        found: list[Variant] = [(expr, traffic)]
        if entity.service is not None:
            found = self._service(entity, expr, traffic, destination)
        if entity.ports is not None:
            cut = at_destination if destination else at_source
            found = [(expr, cut(traffic, entity.ports.numbers))] if entity.ports.numbers else []
            found += self._named(entity, entity.ports, expr, traffic, destination)
        if entity.not_ports is not None:
            found = self._without(entity, entity.not_ports, found, destination)
        return [(who, what) for who, what in found if what]

    def _service(self, entity: Entity, expr: Expr, traffic: Traffic, destination: bool) -> list[Variant]:
        """A Service's endpoints; as a destination at their own ports only."""
        out: list[Variant] = []
        for backend in entity.service.backends if entity.service is not None else ():
            who = self._intern(conjunction((expr, backend.expr)))
            if not destination:
                out.append((who, traffic))
                continue
            for protocol, port in backend.ports:
                if isinstance(port, int):
                    out.append((who, intersect(traffic, ports(protocol, port, port))))
                else:
                    out.extend(
                        (having, intersect(traffic, at)) for having, at in self._terms.named_ports(who, port, protocol)
                    )
        return out

    def _named(self, entity: Entity, listed: Ports, expr: Expr, traffic: Traffic, destination: bool) -> list[Variant]:
        """Endpoints that own one of the names, each at its number."""
        return [
            (who, intersect(traffic, _at(protocol, number, destination)))
            for name in listed.names
            for protocol in protocols_with_ports(traffic)
            for who, number in self._owners(entity, expr, name, protocol)
        ]

    def _owners(self, entity: Entity, expr: Expr, name: str, protocol: int) -> Iterator[tuple[Expr, int]]:
        for number in self._terms.names.numbers(name, protocol, home(expr)):
            yield self._terms.at_port(expr, HasPort(name, protocol, number)), number
        for ranges, own, of, number in entity.hosts:
            if own == name and of == protocol:
                yield self._intern(conjunction((expr, InAddresses(ranges)))), number

    def _without(self, entity: Entity, listed: Ports, variants: list[Variant], destination: bool) -> list[Variant]:
        """notPorts: numbers leave the traffic; a name leaves it for its owners, at their number."""
        out: list[Variant] = []
        for expr, traffic in variants:
            protocols = protocols_with_ports(traffic)
            numbers = [_at(p, first, destination, last) for p in protocols for first, last in listed.numbers]
            rest = subtract(traffic, union(*numbers)) if numbers else traffic
            owners: dict[Traffic, list[Expr]] = {}
            for name in listed.names:
                for protocol in protocols:
                    for who, number in self._owners(entity, expr, name, protocol):
                        owners.setdefault(_at(protocol, number, destination), []).append(Not(who))
            plain = subtract(rest, union(*owners)) if owners else rest
            out.append((expr, plain))
            out.extend(
                (self._intern(conjunction((expr, *others))), intersect(rest, at)) for at, others in owners.items()
            )
        return out


def _at(protocol: int, first: int, destination: bool, last: int | None = None) -> Traffic:
    end = first if last is None else last
    if destination:
        return ports(protocol, first, end)
    return (Box(protocol << 16, protocol << 16 | LAST_PORT, first, end),)
