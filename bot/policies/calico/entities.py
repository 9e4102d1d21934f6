"""`source` or `destination` of a Calico rule in; out, who that is as an expression, and the ports it asks for.

Semantics: libcalico-go updateprocessors `rules.go`, felix/calc `rule_scanner.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bot.policies import addresses, intervals
from bot.policies.calico.labels import Labels, addresses_of, both, in_namespace, narrowed, under
from bot.policies.calico.ports import Ports, read_list
from bot.policies.calico.selectors import BadSelector, Compare, Negation, Node, matches, parse
from bot.policies.calico.surroundings import ACCOUNT, NAMESPACE, PER_ACCOUNT, PER_NAMESPACE, Service, Surroundings
from bot.policies.intervals import Intervals
from bot.policies.model import EVERYTHING, Expr, InAddresses, Not, conjunction, disjunction
from bot.policies.terms import Terms

FOUR, SIX = frozenset({4}), frozenset({6})
BOTH = FOUR | SIX
NAMED_HOST = tuple[Intervals, str, int, int]


class Entity(NamedTuple):
    """One side of a rule. `families`: the IP versions that its networks leave, `inside` those of `nets` alone. `service`: its
    ports replace the rule's. `hosts`: (addresses, name, protocol, number) of named ports of host endpoints on this side.
    """

    expr: Expr
    ports: Ports | None = None
    not_ports: Ports | None = None
    families: frozenset[int] = BOTH
    inside: frozenset[int] = BOTH
    hosts: tuple[NAMED_HOST, ...] = ()
    service: Service | None = None


ANYONE = Entity(EVERYTHING)


class Entities:
    """Reads the entities of one run. `around`: the side that they are resolved through; `looked_around`: one was.

    `absent`: the Services, of those read last, that are not among the manifests.
    """

    def __init__(self, terms: Terms, labels: Labels, around: Surroundings) -> None:
        self.around = around
        self.looked_around = False
        self.absent: list[str] = []
        self._terms = terms
        self._labels = labels
        self._members: dict[Node, Expr] = {}

    def enter(self, around: Surroundings) -> None:
        """Resolve through this side from now on."""
        self.around = around
        self._members.clear()

    @staticmethod
    def tree(text: object) -> Node | None:
        """The tree of a selector that has been validated; None for an empty one."""
        if not isinstance(text, str) or not text:
            return None
        try:
            return parse(text)
        except BadSelector:
            return None

    def read(self, value: object, namespace: str) -> Entity:
        """An entity of a rule of a policy in `namespace` ('' for a global one)."""
        if not isinstance(value, dict) or not value:
            return ANYONE
        parts: list[Expr] = []
        tree = self._positive(value, namespace)
        negative = self.tree(value.get("notSelector"))
        if tree is not None:
            parts.append(self.members(tree if negative is None else _and_not(tree, negative)))
        elif negative is not None:
            parts.append(Not(self.members(negative)))
        families = within = BOTH
        for field, inside in (("nets", True), ("notNets", False)):
            nets = value.get(field)
            if isinstance(nets, list) and nets:
                ranges = _ranges(nets)
                families &= _families(ranges)
                within = _families(ranges) if inside else within
                parts.append(InAddresses(ranges) if inside else Not(InAddresses(ranges)))
        service = self._service(value.get("services"))
        ports, not_ports = read_list(value.get("ports")), read_list(value.get("notPorts"))
        for listed in (ports, not_ports):
            for pair in listed.numbers if listed is not None else ():
                self._terms.name_numbers(self._terms.traffic(6, *pair))
        hosts = self._named_hosts(tree, ports) + self._named_hosts(tree, not_ports)
        return Entity(
            self._terms.selectors.intern(conjunction(parts)), ports, not_ports, families, within, hosts, service
        )

    def _positive(self, value: Mapping[str, object], namespace: str) -> Node | None:
        """Everything that must be so of one and the same endpoint, set or host."""
        selector, spaces = self.tree(value.get("selector")), self.tree(value.get("namespaceSelector"))
        accounts = self._accounts(value.get("serviceAccounts"))
        where: Node | None = None
        if spaces is not None:
            where = _spaces(spaces)
        elif namespace and (selector is not None or value.get("notSelector") or accounts is not None):
            where = in_namespace(namespace)
        return both(where, selector, accounts)

    def _accounts(self, value: object) -> Node | None:
        if not isinstance(value, dict):
            return None
        names, selector = value.get("names"), self.tree(value.get("selector"))
        named: Node | None = None
        if isinstance(names, list) and names:
            named = Compare(ACCOUNT, "in", tuple(str(name) for name in names))
        return both(named, under(selector, PER_ACCOUNT) if selector is not None else None)

    def members(self, tree: Node) -> Expr:
        """Pods that a tree selects, and the addresses of the sets and host endpoints that it does."""
        self.looked_around = True
        found = self._members.get(tree)
        if found is None:
            parts = (self._labels.pods(tree), addresses_of(tree, self.around.sets))
            found = self._members[tree] = self._terms.selectors.intern(disjunction(parts))
        return found

    def _named_hosts(self, tree: Node | None, ports: Ports | None) -> tuple[NAMED_HOST, ...]:
        if ports is None or not ports.names:
            return ()
        self.looked_around = True
        return tuple(
            (one.addresses, *port)
            for one in self.around.sets
            if one.ports and (tree is None or matches(tree, one.labels))
            for port in one.ports
            if port[0] in ports.names
        )

    def _service(self, value: object) -> Service | None:
        """Without a namespace it is that of no Service, whatever the documentation says."""
        if not isinstance(value, dict):
            return None
        self.looked_around = True
        key = (str(value.get("namespace") or ""), str(value.get("name")))
        found = self.around.services.get(key)
        if found is None and key[0]:
            self.absent.append("/".join(key))
        return found or Service(())


def _spaces(tree: Node) -> Node:
    """A rule's namespaceSelector over all labels; `global()` is whatever has no namespace."""
    return narrowed(under(tree, PER_NAMESPACE), NAMESPACE)


def _and_not(tree: Node, negative: Node) -> Node:
    found = both(tree, Negation(negative))
    assert found is not None
    return found


def _ranges(nets: list[object]) -> Intervals:
    pairs: list[tuple[int, int]] = []
    for text in nets:
        try:
            pairs.extend(addresses.parse_cidr(str(text)))
        except ValueError:
            continue
    return intervals.normal(pairs)


def _families(ranges: Intervals) -> frozenset[int]:
    four = bool(intervals.intersect(ranges, addresses.ALL_V4))
    six = bool(intervals.intersect(ranges, addresses.ALL_V6))
    return (FOUR if four else frozenset()) | (SIX if six else frozenset())
