"""The peer fields of one Cilium rule in, the endpoints that they mean out, each with the place that says so.

Source: pkg/policy/utils/parserules.go (mergeEndpointSelectors), pkg/policy/k8s/service.go, pkg/policy/api/entity.go, fqdn.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.policies import intervals
from bot.policies.cilium import selectors
from bot.policies.cilium.blocks import outside, parse
from bot.policies.cilium.selectors import WORLD, CiliumSelectors, entity
from bot.policies.cilium.surroundings import Service, Surroundings
from bot.policies.intervals import Intervals
from bot.policies.model import NOBODY, Expr, Label, Maybe, disjunction
from bot.policies.selectors import Path

if TYPE_CHECKING:
    from bot.policies.dns_rules import DnsRule

FQDN = "fqdn"
"""Scope of a DNS name's attributes: a key for each selector of `toFQDNs` that matches it."""
GROUPS = "cilium-groups"


class Peers(NamedTuple):
    """What a rule says of peers: nothing (`every`: all of them, if it names ports), or those of `found`, with their places."""

    every: bool
    found: tuple[tuple[Expr, Path], ...] = ()


ANYONE = Peers(True)
NO_ONE = Peers(False)


class PeerReader:
    """Reads the peers of one run's rules."""

    def __init__(self, selectors: CiliumSelectors) -> None:
        self._selectors = selectors
        self._intern = selectors.intern
        self.surroundings = Surroundings()
        self.looked_around = False
        self.names: dict[DnsRule, None] = {}
        self.absent: list[tuple[Path, str]] = []
        self.asks_groups = False
        self._entities: dict[str, Expr] = {}
        self._blocks: dict[str, Expr] = {}

    def read(self, rule: Mapping[str, object], word: str, deny: bool, namespace: str) -> Peers:
        """The peers of a rule that both gates let through; `word` is `from` or `to`."""
        listed = {key: rule[key] for key in rule if key.startswith(word) and key != "toPorts" and rule[key] is not None}
        if not listed:
            return ANYONE
        if deny:
            listed.pop("toFQDNs", None)
        found: list[tuple[Expr, Path]] = []
        for field, items in listed.items():
            kind = field[len(word) :]
            if not isinstance(items, list) or kind == "Requires":
                continue
            if not items:
                if kind in ("Endpoints", "Nodes", "Entities", "CIDR", "CIDRSet"):
                    return NO_ONE
                continue
            for i, item in enumerate(items):
                before = len(self.absent)
                expr = self._item(kind, item, deny, namespace)
                self.absent[before:] = [((field, i), reason) for _, reason in self.absent[before:]]
                if expr is not None:
                    found.append((expr, (field, i)))
        # What names nobody in particular (no name, a service that is not there) is no limit: cilium/cilium#20067.
        return Peers(False, tuple(found)) if found else ANYONE

    def _item(self, kind: str, item: object, deny: bool, namespace: str) -> Expr | None:
        if kind == "Endpoints" and isinstance(item, dict):
            return self._selectors.peer(item, namespace)
        if kind == "Entities":
            return self._entity(str(item))
        if kind == "CIDR":
            return self._block(str(item))
        if kind == "CIDRSet" and isinstance(item, dict):
            return self._set(item)
        if kind == "FQDNs" and isinstance(item, dict):
            from bot.policies.dns_rules import dns_rule

            name = dns_rule(item)
            self.names[name] = None
            return self._intern(Label(FQDN, name.pattern, "exists"))
        if kind == "Services" and isinstance(item, dict):
            return None if deny else self._services(item)
        if kind == "Groups":
            self.asks_groups = True
            return self._intern(Maybe(WORLD, GROUPS))
        return NOBODY

    def _entity(self, name: str) -> Expr:
        found = self._entities.get(name)
        if found is None:
            found = self._entities[name] = self._intern(entity(name))
        return found

    def _block(self, cidr: str) -> Expr:
        found = self._blocks.get(cidr)
        if found is None:
            found = self._blocks[cidr] = self._intern(outside([(parse(cidr) or (), ())]))
        return found

    def _set(self, item: Mapping[str, object]) -> Expr:
        listed = item.get("except")
        texts = [str(text) for text in listed] if isinstance(listed, list) else []
        cidr = item.get("cidr")
        if isinstance(cidr, str) and not texts:
            return self._block(cidr)
        holes = intervals.normal(pair for text in texts for pair in parse(text) or ())
        if isinstance(cidr, str):
            return self._intern(outside([(parse(cidr) or (), holes)]))
        return self._intern(outside([(block, holes) for block in self._groups(item)]))

    def _groups(self, item: Mapping[str, object]) -> list[Intervals]:
        """The addresses of the CIDR groups that an item names or selects by their labels; of an unknown one, none."""
        self.looked_around = True
        name, selector = item.get("cidrGroupRef"), item.get("cidrGroupSelector")
        if isinstance(selector, dict):
            found = [g for g in self.surroundings.groups if selectors.selects(selector, dict(g.labels))]
        else:
            found = [group for group in self.surroundings.groups if group.name == name]
        if not found:
            what = f"CiliumCIDRGroup {name}" if name else "a CiliumCIDRGroup with such labels"
            self.absent.append(((), f"{what} is not among the manifests: this item matches nobody"))
        return [block for group in found for block in group.blocks]

    def _services(self, item: Mapping[str, object]) -> Expr | None:
        """The pods behind the Services with a selector, the addresses behind the rest; None: there is nothing."""
        self.looked_around = True
        selector, reference = item.get("k8sServiceSelector"), item.get("k8sService")
        found: list[Service] = []
        if isinstance(selector, dict):
            where, wanted = selector.get("namespace") or "", selector.get("selector")
            found = [
                service
                for service in self.surroundings.services
                if where in ("", service.namespace)
                and isinstance(wanted, dict)
                and selectors.selects(wanted, dict(service.labels))
            ]
        elif isinstance(reference, dict):
            where, name = reference.get("namespace") or "", reference.get("serviceName")
            found = [
                service
                for service in self.surroundings.services
                if where in ("", service.namespace) and service.name == name
            ]
        parts: list[Expr] = []
        for service in found:
            if service.selector:
                parts.append(self._selectors.service(dict(service.selector), service.namespace))
            elif service.addresses:
                parts.append(outside([(service.addresses, ())]))
        if not parts:
            what = "no Service with addresses or a selector that this names is among the manifests"
            self.absent.append(
                ((), f"{what}: alone and with toPorts, that is every destination on those ports (cilium/cilium#20067)")
            )
            return None
        return self._intern(disjunction(parts))
