"""The endpoints beside pods and addresses that Cilium's policies tell apart: entities, nodes, DNS names.

Own node and other nodes are relative: `entity:host` and `host:NAME` are what a pod sees of its own node, `entity:remote-node` and
`node:NAME` of any other. Source: pkg/identity/reserved.go, pkg/labels/labels.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bot.policies import addresses
from bot.policies.cilium.blocks import ANYWHERE
from bot.policies.cilium.peers import FQDN
from bot.policies.cilium.selectors import RESERVED
from bot.policies.intervals import Intervals
from bot.policies.model import And, Expr, ExtraEndpoint, Label
from bot.policies.nodes import Node

if TYPE_CHECKING:
    from bot.policies.dns_rules import DnsRule

_ENTITIES = ("health", "host", "ingress", "init", "remote-node", "unmanaged")
_IPV4 = {"ipv4": ""}


class Outsiders:
    """The extra endpoints of one run. `names`: what toFQDNs say; `subjects`: what nodeSelectors select."""

    def __init__(
        self,
        nodes: tuple[Sequence[Node], Sequence[Node]],
        subjects: Iterable[Expr],
        names: Iterable[DnsRule],
        apiserver_outside: bool,
    ) -> None:
        self._names = sorted(names)
        self._apiserver_outside = apiserver_outside
        chosen = list(subjects)
        every = [*nodes[0], *nodes[1]]
        self._nodes = {node.name: node for node in every}
        self._shown: list[tuple[Node, bool, bool]] = []
        if chosen:
            distinct = [*nodes[0], *(node for node in nodes[1] if node not in nodes[0])]
            told = [{node.name for node in side} for side in nodes]
            # No manifest makes a node: one that only one side knows of is there on the other as well.
            self._shown = [
                (node, node in nodes[0] or node.name not in told[0], node in nodes[1] or node.name not in told[1])
                for node in distinct
            ]
            self._shown += [(node, True, True) for node in _representatives(chosen, every)]
        self._by_address = {first: node.name for node in every for first, last in node.addresses if first == last}

    def all(self) -> tuple[ExtraEndpoint, ...]:
        """Those that every report shows."""
        out = [_entity(name, {name: ""}) for name in _ENTITIES]
        out.append(self._apiserver())
        for node, base, head in self._shown:
            out.extend(extra._replace(base=base, head=head) for extra in _both(node))
        out.extend(self._pieces())
        return tuple(sorted(out, key=lambda extra: extra.id))

    def hosts(self, node: str) -> tuple[Mapping[str, Mapping[str, str]], ...]:
        """What policies may take a pod on the host network for: its node, seen from there and from elsewhere."""
        known = self._nodes.get(node)
        labels = [known.labels] if known is not None else [shown.labels for shown, _, _ in self._shown] or [{}]
        return tuple(extra.attributes for own in labels for extra in _both(Node("", own, ())))

    def ask(self, text: str, other_node: str) -> tuple[ExtraEndpoint, ...] | None:
        """The endpoints that an end of a question may mean, given the node of the other end ('': not known); None: no such kind."""
        scheme, _, rest = text.partition(":")
        if scheme in ("node", "host") and rest in self._nodes:
            return self._relative(self._nodes[rest], other_node)
        if scheme == "ip":
            name = self._by_address.get(addresses.parse_address(rest))
            return self._relative(self._nodes[name], other_node) if name is not None else None
        if scheme == "fqdn":
            name, _, address = rest.partition("@")
            return (self._name(text, name, _points(address)),)
        if text == "entity:world":
            return (ExtraEndpoint("entity", text, {RESERVED: {"world": ""}, ANYWHERE: _IPV4}, ()),)
        if text.startswith("entity:kube-apiserver@"):
            labels = {"kube-apiserver": "", "world": ""}
            return (ExtraEndpoint("entity", text, {RESERVED: labels}, _points(rest.partition("@")[2])),)
        return None

    def _relative(self, node: Node, other_node: str) -> tuple[ExtraEndpoint, ...]:
        own, remote = _both(node)
        return (own, remote) if not other_node else (own,) if other_node == node.name else (remote,)

    def _apiserver(self) -> ExtraEndpoint:
        if self._apiserver_outside:
            labels = {"kube-apiserver": "", "world": ""}
            return ExtraEndpoint("entity", "entity:kube-apiserver", {RESERVED: labels, ANYWHERE: _IPV4}, ())
        return _entity("kube-apiserver", {"kube-apiserver": "", "remote-node": ""})

    def _name(self, text: str, name: str, known: Intervals) -> ExtraEndpoint:
        from bot.policies.dns_rules import accepts

        matching = {rule.pattern: "" for rule in self._names if accepts(rule, name)}
        return _of_name(text, matching, known)

    def _pieces(self) -> list[ExtraEndpoint]:
        """One name for each piece that the patterns cut names into, called by the pattern where it is the only one."""
        if not self._names:
            return []
        from bot.policies.dns_rules import pieces

        found = pieces(self._names)
        if not isinstance(found, list):
            # Too many to cut: each literal, and each pattern as if it were the only one to match some name.
            found = [(rule.pattern, self._matching(rule)) for rule in self._names]
        out: dict[str, ExtraEndpoint] = {}
        for name, rules in found:
            patterns = sorted(rule.pattern for rule in rules)
            known = name if name in patterns or len(patterns) != 1 else patterns[0]
            out.setdefault(f"fqdn:{known}", _of_name(f"fqdn:{known}", dict.fromkeys(patterns, ""), ()))
        return list(out.values())

    def _matching(self, rule: DnsRule) -> frozenset[DnsRule]:
        if not rule.literal:
            return frozenset({rule})
        from bot.policies.dns_rules import accepts

        return frozenset(other for other in self._names if accepts(other, rule.pattern))


def _entity(name: str, labels: Mapping[str, str]) -> ExtraEndpoint:
    return ExtraEndpoint("entity", f"entity:{name}", {RESERVED: labels}, ())


def _of_name(text: str, matching: Mapping[str, str], known: Intervals) -> ExtraEndpoint:
    attributes = {RESERVED: {"world": ""}, FQDN: matching, ANYWHERE: {} if known else _IPV4}
    return ExtraEndpoint("fqdn", text, attributes, known)


def _both(node: Node) -> tuple[ExtraEndpoint, ExtraEndpoint]:
    """A node as its own pods see it, and as others do."""
    return (
        ExtraEndpoint("node", f"host:{node.name}", {"node": node.labels, RESERVED: {"host": ""}}, ()),
        ExtraEndpoint("node", f"node:{node.name}", {"node": node.labels, RESERVED: {"remote-node": ""}}, ()),
    )


def _points(text: str) -> Intervals:
    return addresses.parse_cidr(text) if text else ()


def _representatives(subjects: Sequence[Expr], nodes: Sequence[Node]) -> list[Node]:
    """A node for each selector that no known node answers to, with the labels it asks for."""
    out: dict[str, Node] = {}
    for subject in subjects:
        parts = subject.parts if isinstance(subject, And) else (subject,)
        wanted = [part for part in parts if isinstance(part, Label)]
        labels = {label.key: label.values[0] if label.values else "any" for label in wanted}
        if not any(all(_has(node, label) for label in wanted) for node in nodes):
            words = ", ".join(f"{key}: {value}" for key, value in sorted(labels.items()))
            name = "{" + words + "}"
            out[name] = Node(name, labels, ())
    return [out[name] for name in sorted(out)]


def _has(node: Node, label: Label) -> bool:
    value = node.labels.get(label.key)
    return value is not None and (label.operator == "exists" or value in label.values)
