"""A NetworkPolicy or ClusterNetworkPolicy lowered as Kubernetes defines it in, the same in Cilium's reading out.

Source: pkg/k8s/network_policy.go of cilium v1.20.2: one engine with Cilium's own policies, so that labels go through the label filter,
CIDRs never match pods or nodes, and a rule without ports covers ICMP too.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING

from bot.policies import intervals
from bot.policies.cilium.blocks import outside, parse
from bot.policies.cilium.ports import UNIVERSE, Single
from bot.policies.cilium.rules import ALLOW, TIER
from bot.policies.cilium.selectors import identifies
from bot.policies.model import (
    NOBODY,
    And,
    Expr,
    InAddresses,
    Isolation,
    Label,
    Maybe,
    Not,
    Or,
    Policy,
    Rule,
    Section,
    conjunction,
    disjunction,
)
from bot.policies.selectors import Selectors
from bot.policies.terms import UNIVERSE as PORTS_ALONE
from bot.policies.traffic import PROTOCOLS, TCP, Traffic, intersect, ports, subtract, union

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object


class NetworksInCilium:
    """Rereads the Kubernetes policies of one run."""

    def __init__(self, interned: Selectors, dns_ports: frozenset[Single]) -> None:
        self._intern = interned.intern
        self._dns_ports = dns_ports
        self._dns_traffic: Traffic = union(*(ports(protocol, port, port) for protocol, port in sorted(dns_ports)))
        self._known: dict[int, tuple[Expr, Expr]] = {}

    def network_policy(self, policy: Policy) -> Policy:
        """A NetworkPolicy, in the tier of all policies."""
        return policy._replace(sections=tuple(self._section(section, TIER, ALLOW) for section in policy.sections))

    def cluster_policy(self, policy: Policy) -> Policy:
        """A ClusterNetworkPolicy, in its own tier."""
        return policy._replace(sections=tuple(self._section(s, s.tier, s.rank) for s in policy.sections))

    def _section(self, section: Section, tier: str, rank: tuple[float | str, ...]) -> Section:
        expr = self._expr
        rules: list[Rule] = []
        for rule in section.rules:
            traffic = UNIVERSE if rule.traffic is PORTS_ALONE else rule.traffic
            egress = section.checkpoint == "egress"
            source = expr(rule.source) if egress else self._peer(rule, rule.source)
            destination = self._peer(rule, rule.destination) if egress else expr(rule.destination)
            found = rule
            if source is not rule.source or destination is not rule.destination or traffic is not rule.traffic:
                found = Rule(rule.action, source, destination, traffic, rule.origin)
            if egress and self._dns_ports and traffic is not UNIVERSE and rule.action == "allow":
                rules.extend(self._split(found))
            else:
                rules.append(found)
        isolates = tuple([Isolation(expr(i.source), expr(i.destination), i.origin) for i in section.isolates])
        return Section(section.checkpoint, tier, rank, tuple(rules), isolates)

    def _peer(self, rule: Rule, expr: Expr) -> Expr:
        """A peer's ipBlock is read again, for a /0 means more than its addresses."""
        if isinstance(expr, InAddresses) and rule.origin.object is not None:
            value: object = rule.origin.object.value
            for step in rule.origin.path:
                value = value[step]  # type: ignore[index]
            block = value.get("ipBlock") if isinstance(value, dict) else None
            if isinstance(block, dict):
                holes = intervals.normal(pair for text in block.get("except") or () for pair in parse(text) or ())
                return self._intern(outside([(parse(block["cidr"]) or expr.addresses, holes)]))
        return self._expr(expr)

    def _expr(self, expr: Expr) -> Expr:
        known = self._known.get(id(expr))
        if known is None:
            found = self._reread(expr)
            known = self._known[id(expr)] = (expr if found is expr else self._intern(found), expr)
        return known[0]

    def _reread(self, expr: Expr) -> Expr:
        if isinstance(expr, Label):
            hidden = expr.scope == "pod" and (expr.key.startswith("io.cilium.k8s") or not identifies(expr.key))
            return NOBODY if hidden else expr
        if isinstance(expr, InAddresses):
            return outside([(expr.addresses, ())])
        if isinstance(expr, (And, Or)):
            parts = [self._expr(part) for part in expr.parts]
            if all(map(is_, parts, expr.parts)):
                return expr
            return conjunction(parts) if isinstance(expr, And) else disjunction(parts)
        if isinstance(expr, Not):
            inner = self._expr(expr.inner)
            return conjunction(()) if inner is NOBODY else expr if inner is expr.inner else Not(inner)
        if isinstance(expr, Maybe):
            return Maybe(self._expr(expr.inner), expr.assumption)
        return expr

    def _split(self, rule: Rule) -> list[Rule]:
        """What a rule says of single ports that DNS rules speak of apart from the rest."""
        if not intersect(rule.traffic, self._dns_traffic) or rule.origin.object is None:
            return [rule]
        alone = [pair for pair in _single(rule.origin.object, rule.origin.path) if pair in self._dns_ports]
        exact = intersect(rule.traffic, union(*(ports(protocol, port, port) for protocol, port in alone)))
        if not exact:
            return [rule]
        rest = subtract(rule.traffic, exact)
        out = [rule._replace(traffic=exact, exact=True)]
        return [*out, rule._replace(traffic=rest)] if rest else out


def _single(obj: Object, path: tuple[str | int, ...]) -> list[Single]:
    """The ports that a NetworkPolicy's rule names alone."""
    value: object = obj.value
    for step in path[:3]:
        value = value[step]  # type: ignore[index]
    listed = value.get("ports") if isinstance(value, dict) else None
    out = []
    for item in listed if isinstance(listed, list) else ():
        port = item.get("port")
        if isinstance(port, int) and item.get("endPort") in (None, port):
            out.append((PROTOCOLS.get(item.get("protocol") or "TCP", TCP), port))
    return out
