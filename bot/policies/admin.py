"""Admin policies (policy.networking.k8s.io) in, Policies of the common model out, with what an API server would refuse.

Semantics: network-policy-api, `apis/v1alpha1` (AdminNetworkPolicy, BaselineAdminNetworkPolicy), `apis/v1alpha2` and
`apis/v1beta1` (ClusterNetworkPolicy): type comments and CRD schemas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.policies import intervals
from bot.policies.admin_ports import EVERY_PORT, Names, read_ports, read_protocols
from bot.policies.model import (
    EVERYTHING,
    NOBODY,
    Assumption,
    Expr,
    InAddresses,
    Kind,
    Maybe,
    Origin,
    Policy,
    Rule,
    Section,
    disjunction,
)
from bot.policies.nodes import Nodes, node_addresses
from bot.policies.selectors import Flaw, Path, kind_of, mapping, sequence, unknown_fields
from bot.policies.terms import UNIVERSE, Terms, parse_block

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object

ADMIN, BASELINE = "admin", "baseline"
# A BaselineAdminNetworkPolicy has no priority; it is the only one, and stands behind what a ClusterNetworkPolicy can have.
_LAST_RANK = 1001.0


class _Api(NamedTuple):
    """How one kind is written. `required`: of `pods`; `limit`: the most items of a list of rules or peers."""

    spec: frozenset[str]
    actions: Mapping[str, str]
    ports: str
    versions: tuple[str, ...]
    egress: frozenset[str]
    required: frozenset[str]
    limit: int


_INGRESS_PEERS = frozenset({"namespaces", "pods"})
_EGRESS_PEERS = _INGRESS_PEERS | {"networks", "nodes", "domainNames"}
_RULES = frozenset({"subject", "ingress", "egress"})
_NAMESPACED_POD = frozenset({"namespaceSelector", "podSelector"})
_APIS = {
    "AdminNetworkPolicy": _Api(
        _RULES | {"priority"},
        {"Allow": "allow", "Deny": "deny", "Pass": "pass"},
        "ports",
        ("v1alpha1",),
        _EGRESS_PEERS,
        _NAMESPACED_POD,
        100,
    ),
    "BaselineAdminNetworkPolicy": _Api(
        _RULES,
        {"Allow": "allow", "Deny": "deny"},
        "ports",
        ("v1alpha1",),
        _EGRESS_PEERS - {"domainNames"},
        _NAMESPACED_POD,
        100,
    ),
    "ClusterNetworkPolicy": _Api(
        _RULES | {"tier", "priority"},
        {"Accept": "allow", "Deny": "deny", "Pass": "pass"},
        "protocols",
        ("v1alpha2", "v1beta1"),
        _EGRESS_PEERS,
        frozenset({"podSelector"}),
        25,
    ),
}
_OBJECT = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_MISTAKEN = _EGRESS_PEERS | {"namespaceSelector", "podSelector", "ipBlock", "sameLabels", "notSameLabels", "namespaceLabels"}
_OLD = frozenset({"namespaceSelector", "sameLabels", "notSameLabels", "namespaceLabels", "namespaces"})
_DOMAIN = r"(\*\.)?([A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?\.)+[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?\.?"
_MOST = 25


class AdminPolicies:
    """Lowers the admin policies of one run. `nodes`: those of the side whose objects are lowered; `looked_at_nodes`: a policy asked."""

    def __init__(self, terms: Terms) -> None:
        self.nodes: Nodes = ()
        self.looked_at_nodes = False
        self._terms = terms

    def lower(self, obj: Object, key: tuple[str, str, str], flaws: list[Flaw]) -> Policy | None:
        """One object; None where a flaw is such that an API server would refuse it."""
        api = _APIS[obj.kind]
        if not obj.value.keys() <= _OBJECT:
            unknown_fields(obj.value, _OBJECT, (), flaws)
        _check_version(obj, api, flaws)
        spec = mapping(obj.value.get("spec"), ("spec",), flaws)
        if not spec.keys() <= api.spec:
            unknown_fields(spec, api.spec, ("spec",), flaws)
        tier, rank, title = _place(obj, spec, flaws)
        subject = self._subject(api, spec.get("subject"), flaws)
        sections = []
        for direction in ("egress", "ingress"):
            rules = self._rules(obj, api, spec.get(direction), direction, subject, flaws)
            if rules:
                sections.append(Section(direction, tier, (rank,), rules))
        if any(flaw.refused for flaw in flaws):
            return None
        return Policy(key, title, obj, tuple(sections))

    def _subject(self, api: _Api, value: object, flaws: list[Flaw]) -> Expr:
        at: Path = ("spec", "subject")
        fields = {name: inner for name, inner in mapping(value, at, flaws).items() if inner is not None}
        if len(fields) != 1 or not fields.keys() <= _INGRESS_PEERS:
            flaws.append(Flaw(at, "a subject must have exactly one of namespaces and pods"))
            return NOBODY
        return self._pods(api, fields, at, flaws)

    def _pods(self, api: _Api, fields: Mapping[str, object], path: Path, flaws: list[Flaw]) -> Expr:
        """The pods of `{namespaces: selector}` or `{pods: {namespaceSelector, podSelector}}`; host network pods are none.

        A selector of `pods` that is absent matches everything, also where the schema requires it.
        """
        selectors = self._terms.selectors
        if "namespaces" in fields:
            at = (*path, "namespaces")
            where = _without_nesting(fields["namespaces"], at, flaws)
            return self._terms.pods(selectors.read(where, "namespace", at, flaws), EVERYTHING)
        at = (*path, "pods")
        inner = mapping(fields["pods"], at, flaws)
        if not inner.keys() <= _NAMESPACED_POD:
            if "namespaces" in inner:
                flaws.append(Flaw((*at, "namespaces"), _NESTED))
            else:
                unknown_fields(inner, _NAMESPACED_POD, at, flaws)
        for name in sorted(api.required):
            if inner.get(name) is None:
                flaws.append(Flaw(at, f"{name} is required, and absent it is read as the one that matches all", refused=False))
        where = selectors.read(inner.get("namespaceSelector"), "namespace", (*at, "namespaceSelector"), flaws)
        return self._terms.pods(where, selectors.read(inner.get("podSelector"), "pod", (*at, "podSelector"), flaws))

    def _rules(
        self, obj: Object, api: _Api, rules: object, direction: str, subject: Expr, flaws: list[Flaw]
    ) -> tuple[Rule, ...]:
        out: list[Rule] = []
        peers_field = "from" if direction == "ingress" else "to"
        known = frozenset({"name", "action", peers_field, api.ports})
        items = sequence(rules, ("spec", direction), flaws)
        _check_length(items, api.limit, ("spec", direction), flaws)
        for i, item in enumerate(items):
            at: Path = ("spec", direction, i)
            rule = mapping(item, at, flaws)
            if not rule.keys() <= known:
                unknown_fields(rule, known, at, flaws)
            name = rule.get("name")
            if name is not None and not isinstance(name, str):
                flaws.append(Flaw((*at, "name"), f"a name must be text, and is {kind_of(name)}"))
            action = api.actions.get(str(rule.get("action")))
            if action is None:
                choices = ", ".join(api.actions)
                flaws.append(Flaw((*at, "action") if "action" in rule else at, f"the action must be one of {choices}"))
                action = "deny"
            self._rule(out, obj, api, rule, action, direction, subject, at, flaws)
        return tuple(out)

    def _rule(
        self,
        out: list[Rule],
        obj: Object,
        api: _Api,
        rule: Mapping[str, object],
        action: str,
        direction: str,
        subject: Expr,
        path: Path,
        flaws: list[Flaw],
    ) -> None:
        """The Rules of one rule, in its place. One with a peer that nobody knows fails closed (comment of `...IngressPeer`)."""
        peers_field = "from" if direction == "ingress" else "to"
        peers = sequence(rule.get(peers_field), (*path, peers_field), flaws)
        if not peers:
            flaws.append(Flaw((*path, peers_field) if peers_field in rule else path, f"{peers_field} must have a peer"))
        _check_length(peers, api.limit, (*path, peers_field), flaws)
        reader = read_ports if api.ports == "ports" else read_protocols
        traffic, names = EVERY_PORT
        if rule.get(api.ports) is not None:
            at = (*path, api.ports)
            _check_length(sequence(rule[api.ports], at, flaws), api.limit, at, flaws)
            traffic, names = reader(self._terms, rule[api.ports], at, flaws)
        found: list[tuple[Expr, Path]] = []
        for j, peer in enumerate(peers):
            where = (*path, peers_field, j)
            expr = self._peer(peer, api, direction, action, names, where, flaws)
            if expr is None:
                if action != "allow":
                    source, destination = (subject, EVERYTHING) if direction == "egress" else (EVERYTHING, subject)
                    out.append(Rule("deny", source, destination, UNIVERSE, Origin(obj, where)))
                return
            found.append((expr, where))
        for expr, where in found:
            source, destination = (subject, expr) if direction == "egress" else (expr, subject)
            origin = Origin(obj, where)
            if traffic:
                out.append(Rule(action, source, destination, traffic, origin))
            for named, protocol in names:
                for having, ports in self._terms.named_ports(destination, named, protocol):
                    out.append(Rule(action, source, having, ports, origin))

    def _peer(
        self,
        value: object,
        api: _Api,
        direction: str,
        action: str,
        names: Names,
        path: Path,
        flaws: list[Flaw],
    ) -> Expr | None:
        """Who a peer is; None where its only field is one that nobody knows."""
        fields = {name: inner for name, inner in mapping(value, path, flaws).items() if inner is not None}
        known = _INGRESS_PEERS if direction == "ingress" else api.egress
        if len(fields) != 1:
            flaws.append(Flaw(path, f"a peer must have exactly one of {', '.join(sorted(known))}"))
            return NOBODY
        ((name, inner),) = fields.items()
        if name in _INGRESS_PEERS:
            return self._pods(api, fields, path, flaws)
        at = (*path, name)
        if name not in known:
            if name in _MISTAKEN:
                flaws.append(Flaw(at, f"{direction} peers here are only {', '.join(sorted(known))}"))
                return NOBODY
            closed = "matches nothing" if action == "allow" else "denies everything"
            flaws.append(Flaw(at, f"a peer {name!r} that is not known here: the rule fails closed and {closed}", refused=False))
            return None
        if names:
            flaws.append(Flaw(at, f"a named port beside {name}, which have no named ports", refused=False))
        if name == "nodes":
            self.looked_at_nodes = True
            if not self.nodes:
                flaws.append(Flaw(at, "no Node is among the manifests, so that this matches nothing", refused=False))
            selector = self._terms.selectors.read(inner, "node", at, flaws)
            found = node_addresses(self.nodes, selector)
            return self._terms.selectors.intern(InAddresses(found, pods=False)) if found else NOBODY
        texts = sequence(inner, at, flaws)
        if not texts:
            flaws.append(Flaw(at, f"{name} must not be empty"))
        _check_length(texts, _MOST, at, flaws)
        if name == "networks":
            # Pods count too: "cluster-internal traffic will be checked against the rule as well" (`networks`).
            ranges = [parse_block(text, (*at, i), flaws) or () for i, text in enumerate(texts)]
            return self._terms.selectors.intern(InAddresses(intervals.normal(pair for part in ranges for pair in part)))
        if action != "allow":
            flaws.append(Flaw(at, "domainNames are for rules that allow; what this one does is not defined", refused=False))
        return disjunction(self._domain(text, (*at, i), flaws) for i, text in enumerate(texts))

    def _domain(self, text: object, path: Path, flaws: list[Flaw]) -> Expr:
        """Any address outside the cluster may be one of the name's: which ones, DNS answers decide (NPEP-133)."""
        if not isinstance(text, str) or not re.fullmatch(_DOMAIN, text):
            shown = repr(text[:80]) if isinstance(text, str) else kind_of(text)
            flaws.append(Flaw(path, f"{shown} is no domain name (shop.example, or *.example for every name below it)"))
            return NOBODY
        name = text.rstrip(".").lower()
        words = f"the addresses of {name} are not known; any address outside the cluster may be one of them"
        self._terms.assumptions.setdefault(f"dns:{name}", Assumption(f"dns:{name}", words, ""))
        return Maybe(Kind("address"), f"dns:{name}")


_NESTED = (
    "peers and subjects with selectors nested like this (namespaceSelector, sameLabels, notSameLabels) were dropped in v0.1.3 of the"
    " API; a present server would read them as everything"
)


def _without_nesting(value: object, path: Path, flaws: list[Flaw]) -> object:
    if not isinstance(value, dict) or value.keys().isdisjoint(_OLD):
        return value
    flaws.extend(Flaw((*path, name), _NESTED) for name in value if name in _OLD)
    return {name: inner for name, inner in value.items() if name not in _OLD}


def _check_version(obj: Object, api: _Api, flaws: list[Flaw]) -> None:
    group, _, version = obj.api_version.partition("/")
    if version not in api.versions:
        means = " or ".join(f"{group}/{known}" for known in api.versions)
        if obj.kind != "ClusterNetworkPolicy":
            means += ", or a ClusterNetworkPolicy"
        flaws.append(Flaw(("apiVersion",), f"there is no {obj.kind} in {obj.api_version}; did you mean {means}?", refused=False))


def _check_length(items: list[object], most: int, path: Path, flaws: list[Flaw]) -> None:
    if len(items) > most:
        flaws.append(Flaw(path, f"{len(items)} items, of which an API server takes no more than {most}", refused=False))


def _place(obj: Object, spec: Mapping[str, object], flaws: list[Flaw]) -> tuple[str, float, str]:
    """The tier, the rank in it, and how people call the policy."""
    if obj.kind == "BaselineAdminNetworkPolicy":
        if obj.name != "default":
            flaws.append(Flaw(("metadata", "name"), "the only BaselineAdminNetworkPolicy there can be is named default"))
        return BASELINE, _LAST_RANK, f"{obj.kind} {obj.name}"
    priority = spec.get("priority")
    if not isinstance(priority, int) or isinstance(priority, bool) or not 0 <= priority <= 1000:
        flaws.append(Flaw(("spec", "priority") if "priority" in spec else ("spec",), "a priority from 0 to 1000 is required"))
        priority = 0
    if obj.kind == "AdminNetworkPolicy":
        return ADMIN, float(priority), f"{obj.kind} {obj.name} (priority {priority})"
    tier = spec.get("tier")
    if tier not in ("Admin", "Baseline"):
        flaws.append(Flaw(("spec", "tier") if "tier" in spec else ("spec",), "the tier must be Admin or Baseline"))
    title = f"{obj.kind} {obj.name} ({tier}, priority {priority})"
    return BASELINE if tier == "Baseline" else ADMIN, float(priority), title
