"""NetworkPolicy objects (networking.k8s.io/v1) in, Policies of the common model out, with what an API server would refuse.

Semantics: the comments of k8s.io/api/networking/v1 `types.go` (NP below), defaults and validation of
k8s.io/kubernetes/pkg/apis/networking (NPDEF, NPVAL), and the page "Network Policies" of kubernetes.io.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeGuard

from bot.policies.model import EVERYTHING, NOBODY, Expr, Isolation, Origin, Policy, Rule, Section
from bot.policies.selectors import Flaw, Path, kind_of, mapping, sequence, unknown_fields
from bot.policies.terms import UNIVERSE, Terms
from bot.policies.traffic import NOTHING, SCTP, TCP, UDP, Traffic, union

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object

TIER = "NetworkPolicy"
_VERSION = "networking.k8s.io/v1"
Names = tuple[tuple[str, int], ...]
_PROTOCOLS: dict[object, int] = {None: TCP, "": TCP, "TCP": TCP, "UDP": UDP, "SCTP": SCTP}
_OBJECT = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_SPEC = frozenset({"podSelector", "policyTypes", "ingress", "egress"})
_RULE = {"ingress": frozenset({"from", "ports"}), "egress": frozenset({"to", "ports"})}
_PEERS = {"ingress": "from", "egress": "to"}
_PEER = frozenset({"podSelector", "namespaceSelector", "ipBlock"})
_BLOCK = frozenset({"cidr", "except"})
_PORT = frozenset({"protocol", "port", "endPort"})
_DIRECTION = {"Ingress": "ingress", "Egress": "egress"}
_PORT_NAME = r"(?!.*--)(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?"
_FREE: tuple[Traffic, Names] = (UNIVERSE, ())


class NetworkPolicies:
    """Lowers the NetworkPolicies of one run."""

    def __init__(self, terms: Terms, staged: bool = False) -> None:
        """`staged`: they are Calico's StagedKubernetesNetworkPolicies, of its own API group and with a `stagedAction`."""
        self._terms = terms
        self._staged = staged
        self._spec = _SPEC | {"stagedAction"} if staged else _SPEC
        self._ports: dict[str, tuple[Traffic, Names]] = {}
        self._types: dict[str, tuple[str, ...]] = {}

    def lower(self, obj: Object, key: tuple[str, str, str], flaws: list[Flaw]) -> Policy | None:
        """One object; None where a flaw is such that an API server would refuse it."""
        value = obj.value
        if obj.api_version != _VERSION and not self._staged:
            reason = f"{obj.api_version} is read as {_VERSION}, the only version that API servers since 1.16 take"
            flaws.append(Flaw(("apiVersion",), reason, refused=False))
        if not value.keys() <= _OBJECT:
            unknown_fields(value, _OBJECT, (), flaws)
        spec = value.get("spec")
        if not isinstance(spec, dict):
            spec = mapping(spec, ("spec",), flaws)
        if not spec.keys() <= self._spec:
            unknown_fields(spec, self._spec, ("spec",), flaws)
        terms, namespace = self._terms, obj.namespace
        selected = terms.selectors.read(spec.get("podSelector"), "pod", ("spec", "podSelector"), flaws)
        subject = terms.own_pods(namespace, selected)
        ingress = self._rules(obj, spec["ingress"], "ingress", subject, flaws) if "ingress" in spec else ()
        egress = self._rules(obj, spec["egress"], "egress", subject, flaws) if "egress" in spec else ()
        declared = spec.get("policyTypes")
        if declared:
            isolated = self._types.get(str(declared)) or self._policy_types(declared, flaws)
            origin = Origin(obj, ("spec", "policyTypes"))
        else:
            # NPDEF: absent and empty are Ingress, and Egress too where there are egress rules, listed or not.
            sequence(declared, ("spec", "policyTypes"), flaws)
            isolated = ("egress", "ingress") if spec.get("egress") else ("ingress",)
            origin = Origin(obj, ("spec",))
        if flaws and any(flaw.refused for flaw in flaws):
            return None
        sections = []
        if "egress" in isolated:
            isolation = Isolation(subject, EVERYTHING, origin)
            sections.append(Section("egress", TIER, (), egress, (isolation,)))
        if "ingress" in isolated:
            isolation = Isolation(EVERYTHING, subject, origin)
            sections.append(Section("ingress", TIER, (), ingress, (isolation,)))
        return Policy(key, f"NetworkPolicy {namespace}/{obj.name}", obj, tuple(sections))

    def _rules(self, obj: Object, rules: object, direction: str, subject: Expr, flaws: list[Flaw]) -> tuple[Rule, ...]:
        out: list[Rule] = []
        known, peers_field = _RULE[direction], _PEERS[direction]
        for i, rule in enumerate(rules if isinstance(rules, list) else sequence(rules, ("spec", direction), flaws)):
            at: Path = ("spec", direction, i)
            if not isinstance(rule, dict):
                if rule is None:
                    flaws.append(Flaw(at, "an empty item is an empty rule, which allows everything", refused=False))
                rule = mapping(rule, at, flaws)
            if not rule.keys() <= known:
                unknown_fields(rule, known, at, flaws)
            items = rule.get("ports")
            traffic, names = self._read_ports(items, at, flaws) if items is not None else _FREE
            peers = rule.get(peers_field)
            if peers and isinstance(peers, list):
                for j, peer in enumerate(peers):
                    where = (*at, peers_field, j)
                    found = self._peer(peer, obj.namespace, where, flaws)
                    self._emit(out, direction, subject, found, traffic, names, Origin(obj, where))
            else:
                sequence(peers, (*at, peers_field), flaws)
                self._emit(out, direction, subject, EVERYTHING, traffic, names, Origin(obj, at))
        return tuple(out)

    def _emit(
        self, out: list[Rule], direction: str, subject: Expr, peer: Expr, traffic: Traffic, names: Names, origin: Origin
    ) -> None:
        """A rule for what is said in numbers; names are looked up at the destination (NP `NetworkPolicyPort.port`)."""
        source, destination = (subject, peer) if direction == "egress" else (peer, subject)
        if traffic:
            out.append(Rule("allow", source, destination, traffic, origin))
        for name, protocol in names:
            for having, at in self._terms.named_ports(destination, name, protocol):
                out.append(Rule("allow", source, having, at, origin))

    def _peer(self, peer: object, namespace: str, path: Path, flaws: list[Flaw]) -> Expr:
        if not isinstance(peer, dict):
            peer = mapping(peer, path, flaws)
        if not peer.keys() <= _PEER:
            unknown_fields(peer, _PEER, path, flaws)
        terms = self._terms
        pods, namespaces, block = peer.get("podSelector"), peer.get("namespaceSelector"), peer.get("ipBlock")
        if block is not None:
            if pods is not None or namespaces is not None:
                flaws.append(Flaw(path, "ipBlock must stand alone in a peer"))
            return self._block(block, (*path, "ipBlock"), flaws)
        if pods is None and namespaces is None:
            flaws.append(Flaw(path, "a peer must have a podSelector, a namespaceSelector or an ipBlock (null is none)"))
            return NOBODY
        selected = EVERYTHING if pods is None else terms.selectors.read(pods, "pod", (*path, "podSelector"), flaws)
        if namespaces is None:
            return terms.own_pods(namespace, selected)
        where = terms.selectors.read(namespaces, "namespace", (*path, "namespaceSelector"), flaws)
        return terms.pods(where, selected)

    def _block(self, block: object, path: Path, flaws: list[Flaw]) -> Expr:
        fields = mapping(block, path, flaws)
        if not fields.keys() <= _BLOCK:
            unknown_fields(fields, _BLOCK, path, flaws)
        cidr, holes = fields.get("cidr"), sequence(fields.get("except"), (*path, "except"), flaws)
        if not isinstance(cidr, str) or not cidr:
            flaws.append(Flaw((*path, "cidr") if "cidr" in fields else path, "a CIDR is required"))
            return NOBODY
        for i, hole in enumerate(holes):
            if not isinstance(hole, str):
                flaws.append(Flaw((*path, "except", i), f"a CIDR must be text, and is {kind_of(hole)}"))
                return NOBODY
        return self._terms.block(cidr, tuple(map(str, holes)), path, flaws) or NOBODY

    def _read_ports(self, items: object, path: Path, flaws: list[Flaw]) -> tuple[Traffic, Names]:
        """The union of a rule's port items: what they say in numbers, and the (name, protocol) of those that say a name."""
        if not items or not isinstance(items, list):
            sequence(items, (*path, "ports"), flaws)
            return _FREE
        text = str(items)
        found = self._ports.get(text)
        if found is not None:
            return found
        before = len(flaws)
        boxes: list[Traffic] = []
        names: dict[tuple[str, int], None] = {}
        for i, item in enumerate(items):
            self._read_port(item, (*path, "ports", i), boxes, names, flaws)
        traffic = self._terms.name_numbers(union(*boxes)) if boxes else NOTHING
        if len(flaws) == before:
            self._ports[text] = (traffic, tuple(names))
        return traffic, tuple(names)

    def _read_port(
        self, item: object, path: Path, boxes: list[Traffic], names: dict[tuple[str, int], None], flaws: list[Flaw]
    ) -> None:
        """One port item; without protocol it is TCP (NPDEF), without port every port of its protocol."""
        fields = mapping(item, path, flaws)
        if not fields.keys() <= _PORT:
            unknown_fields(fields, _PORT, path, flaws)
        declared, port, last = fields.get("protocol"), fields.get("port"), fields.get("endPort")
        protocol = _PROTOCOLS.get(declared) if declared is None or isinstance(declared, str) else None
        if protocol is None:
            flaws.append(Flaw((*path, "protocol"), f"the protocol must be TCP, UDP or SCTP, not {_shown(declared)}"))
            protocol = TCP
        elif declared == "":
            flaws.append(Flaw((*path, "protocol"), "an empty protocol is read as TCP", refused=False))
        if port is None:
            if last is not None:
                flaws.append(Flaw((*path, "endPort"), "endPort needs a port"))
            boxes.append(self._terms.traffic(protocol, 1, 0xFFFF))
        elif isinstance(port, str):
            if not re.fullmatch(_PORT_NAME, port):
                flaws.append(Flaw((*path, "port"), f"{_shown(port)} is no port name (a number stands without quotes)"))
            if last is not None:
                flaws.append(Flaw((*path, "endPort"), "endPort needs a numeric port"))
            names[(port, protocol)] = None
        elif not _is_port(port):
            flaws.append(Flaw((*path, "port"), f"{_shown(port)} is no port number between 1 and 65535"))
        elif last is None:
            boxes.append(self._terms.traffic(protocol, port, port))
        elif not _is_port(last):
            flaws.append(Flaw((*path, "endPort"), f"{_shown(last)} is no port number between 1 and 65535"))
        elif last < port:
            flaws.append(Flaw((*path, "endPort"), f"endPort {last} is below port {port}"))
        else:
            boxes.append(self._terms.traffic(protocol, port, last))

    def _policy_types(self, declared: object, flaws: list[Flaw]) -> tuple[str, ...]:
        at: Path = ("spec", "policyTypes")
        before = len(flaws)
        names = sequence(declared, at, flaws)
        for i, name in enumerate(names):
            if not isinstance(name, str) or name not in _DIRECTION:
                flaws.append(Flaw((*at, i), f"a policy type must be Ingress or Egress, not {_shown(name)}"))
        if len(names) > 2:
            flaws.append(Flaw(at, "there are no more than two policy types"))
        found = tuple(_DIRECTION[name] for name in names if isinstance(name, str) and name in _DIRECTION)
        if len(flaws) == before:
            self._types[str(declared)] = found
        return found


def _is_port(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 0xFFFF


def _shown(value: object) -> str:
    return repr(value[:80]) if isinstance(value, str) else kind_of(value)
