"""CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy objects in, Policies of the common model out.

Semantics: pkg/policy/rule.go, l4.go, repository.go (computePolicyEnforcementAndRules) of cilium v1.20.2. All policies stand in one
tier, where denies come before allows and the order says nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.policies.cilium import validation
from bot.policies.cilium.peers import PeerReader, Peers
from bot.policies.cilium.ports import EVERY_PORT, UNIVERSE, Item, Single, read_icmps, read_ports
from bot.policies.cilium.selectors import RESERVED, CiliumSelectors, requirements
from bot.policies.model import EVERYTHING, NOBODY, Expr, Isolation, Maybe, Origin, Policy, Rule, Section
from bot.policies.selectors import Flaw, Path
from bot.policies.terms import Terms
from bot.policies.traffic import Traffic, intersect, ports, subtract, union

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object
    from bot.policies.l7 import L7

TIER = "Cilium"
DENY, ALLOW = (0,), (1,)
ENVOY = "cilium-envoy"
_OWN_ENDPOINTS = "selects no pod: what Cilium's own endpoints (health, ingress, init) let through is not evaluated"
_CONFLICT = (
    "HTTP and DNS rules for one peer on one port: the agent cannot merge them (conflicting L7 parsers) and leaves the endpoints it"
    " selects with the policy they had"
)
_SECTIONS = (
    ("ingressDeny", "ingress", "from", "deny"),
    ("ingress", "ingress", "from", "allow"),
    ("egressDeny", "egress", "to", "deny"),
    ("egress", "egress", "to", "allow"),
)


class CiliumPolicies:
    """Lowers the Cilium policies of one run. `dns_ports`: the ports at which any policy has DNS rules."""

    def __init__(self, terms: Terms, cluster: str, dns_ports: frozenset[Single]) -> None:
        self._terms = terms
        self.selectors = CiliumSelectors(terms.selectors, cluster)
        self.peers = PeerReader(self.selectors)
        self._dns_ports = dns_ports
        self._gates = validation.Gates()
        self._items: dict[str, tuple[Item, ...]] = {}
        self.nodes: dict[Expr, None] = {}
        self.unsure: dict[str, None] = {}

    def lower(self, obj: Object, key: tuple[str, str, str], flaws: list[Flaw]) -> Policy | None:
        """One object; None where one of the two gates refuses it."""
        namespaced = obj.kind == "CiliumNetworkPolicy"
        found = self._gates.flaws_of(obj.value, namespaced)
        if found:
            flaws.extend(found)
            if any(flaw.refused for flaw in found):
                return None
        namespace = obj.namespace if namespaced else ""
        sections: list[Section] = []
        for path, spec in validation.specs_of(obj.value):
            self._spec(obj, path, spec, namespace, sections, flaws)
        clash = _conflict(sections)
        if clash is not None:
            # The agent takes the object, and then computes no policy for what it selects (l4.go, `mergePortProto`).
            flaws.append(Flaw(clash, _CONFLICT))
            return None
        where = f"{namespace}/" if namespace else ""
        return Policy(key, f"{obj.kind} {where}{obj.name}", obj, tuple(sections))

    def _spec(
        self,
        obj: Object,
        path: Path,
        spec: Mapping[str, object],
        namespace: str,
        sections: list[Section],
        flaws: list[Flaw],
    ) -> None:
        selector = spec.get("endpointSelector")
        if isinstance(selector, dict):
            subject = self.selectors.subject(selector, namespace)
            if subject == NOBODY and any(r.source == RESERVED for r in requirements(selector)):
                flaws.append(Flaw((*path, "endpointSelector"), _OWN_ENDPOINTS, False))
                return
        else:
            chosen = spec.get("nodeSelector")
            subject = self.selectors.nodes(chosen if isinstance(chosen, dict) else {})
            self.nodes[subject] = None
        posture = spec.get("enableDefaultDeny")
        for field, direction, word, action in _SECTIONS:
            listed = spec.get(field)
            if not isinstance(listed, list) or not listed:
                continue
            rules: list[Rule] = []
            for i, rule in enumerate(listed):
                if rule:
                    at = (*path, field, i)
                    peers = self.peers.read(rule, word, action == "deny", namespace)
                    if self.peers.absent:
                        flaws.extend(Flaw((*at, *place), reason, False) for place, reason in self.peers.absent)
                        self.peers.absent.clear()
                    items = self._ports(rule, action, namespace)
                    self._emit(rules, obj, at, action, direction, subject, peers, items)
            isolates: tuple[Isolation, ...] = ()
            if not isinstance(posture, dict) or posture.get(direction) is not False:
                source, destination = (subject, EVERYTHING) if direction == "egress" else (EVERYTHING, subject)
                isolates = (Isolation(source, destination, Origin(obj, (*path, field))),)
            if rules or isolates:
                rank = DENY if action == "deny" else ALLOW
                sections.append(Section(direction, TIER, rank, tuple(rules), isolates))

    def _ports(self, rule: Mapping[str, object], action: str, namespace: str) -> tuple[Item, ...]:
        """What a rule says of traffic, an item for each set of L7 rules; without ports and types everything."""
        listed, icmps = rule.get("toPorts"), rule.get("icmps")
        if icmps and isinstance(icmps, list):
            return (read_icmps(icmps),)
        if not listed or not isinstance(listed, list):
            unsure = self._authentication(rule)
            return (EVERY_PORT._replace(unsure=unsure),) if unsure else (EVERY_PORT,)
        key = f"{action}{listed}"
        if "'secret'" in key:
            # A secret without a namespace is one of the policy's.
            key = f"{namespace} {key}"
        found = self._items.get(key)
        if found is None:
            found = self._items[key] = tuple(self._item(item, i, action, namespace) for i, item in enumerate(listed))
            for item in found:
                if item.traffic:
                    self._terms.name_numbers(item.traffic)
        unsure = self._authentication(rule)
        return tuple(item._replace(unsure=unsure) for item in found) if unsure else found

    def _item(self, item: Mapping[str, object], at: int, action: str, namespace: str) -> Item:
        listed = item.get("ports")
        found = read_ports(listed if isinstance(listed, list) else ())
        if action == "deny":
            return found
        unsure = ""
        if item.get("listener") is not None or item.get("serverNames"):
            unsure = ENVOY
            self.unsure[unsure] = None
        return found._replace(l7=_l7(item.get("rules"), namespace), path=("toPorts", at), unsure=unsure)

    def _authentication(self, rule: Mapping[str, object]) -> str:
        """`test-always-fail` drops everything it covers; mutual authentication is taken to succeed."""
        wanted = rule.get("authentication")
        if isinstance(wanted, dict) and wanted.get("mode") == "test-always-fail":
            self.unsure[ENVOY] = None
            return ENVOY
        return ""

    def _emit(
        self,
        out: list[Rule],
        obj: Object,
        at: Path,
        action: str,
        direction: str,
        subject: Expr,
        peers: Peers,
        items: tuple[Item, ...],
    ) -> None:
        if peers.every and items[0].traffic is UNIVERSE:
            return
        places = peers.found if not peers.every else ((EVERYTHING, ()),)
        plain = _united(items) if len(items) > 1 else items
        for expr, place in places:
            for item in plain:
                origin = Origin(obj, (*at, *(item.path if item.l7 is not None else place)))
                peer = Maybe(expr, item.unsure) if item.unsure else expr
                source, destination = (subject, peer) if direction == "egress" else (peer, subject)
                self._rules(out, action, source, destination, item, origin, direction)

    def _rules(
        self, out: list[Rule], action: str, source: Expr, destination: Expr, item: Item, origin: Origin, direction: str
    ) -> None:
        traffic = item.traffic
        if traffic:
            if direction == "egress" and action == "allow" and item.l7 is None:
                alone = [pair for pair in item.single if pair in self._dns_ports]
                if alone:
                    exact = union(*(ports(protocol, port, port) for protocol, port in alone))
                    out.append(Rule(action, source, destination, exact, origin, None, True))
                    traffic = subtract(traffic, exact)
            if traffic:
                out.append(Rule(action, source, destination, traffic, origin, item.l7))
        for name, protocol in item.names:
            for having, number in self._terms.named_ports(destination, name, protocol):
                out.append(Rule(action, source, having, number, origin, item.l7))


def _conflict(sections: list[Section]) -> Path | None:
    """Where one object has HTTP and DNS rules for one peer on one port."""
    rules = [rule for section in sections for rule in section.rules if rule.l7 is not None]
    if len({rule.l7.kind for rule in rules if rule.l7 is not None}) < 2:
        return None
    for at, rule in enumerate(rules):
        for other in rules[:at]:
            alike = (rule.source, rule.destination) == (other.source, other.destination)
            if alike and rule.l7.kind != other.l7.kind and intersect(rule.traffic, other.traffic):  # type: ignore[union-attr]
                return rule.origin.path
    return None


def _united(items: tuple[Item, ...]) -> list[Item]:
    """Items without L7 rules as one."""
    plain = [item for item in items if item.l7 is None and not item.unsure]
    if len(plain) < 2:
        return list(items)
    traffic: Traffic = union(*(item.traffic for item in plain))
    names = tuple(dict.fromkeys(name for item in plain for name in item.names))
    single = tuple(dict.fromkeys(pair for item in plain for pair in item.single))
    one = plain[0]._replace(traffic=traffic, names=names, single=single)
    return [one, *(item for item in items if item.l7 is not None or item.unsure)]


def _l7(rules: object, namespace: str) -> L7 | None:
    """The L7 rules of one item of toPorts; None: it has none, an empty list included."""
    if not isinstance(rules, dict):
        return None
    http, dns = rules.get("http"), rules.get("dns")
    if http:
        from bot.policies import l7
        from bot.policies.http_rules import http_rule

        return l7.http(http_rule(rule, namespace) for rule in http)
    if dns:
        from bot.policies import l7
        from bot.policies.dns_rules import dns_rule

        return l7.dns(dns_rule(rule) for rule in dns)
    return None
