"""A cluster, two ends, a protocol and a port in; closed, possible or open out, as the Kubernetes documents say it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from tests.reference.cluster import Cluster, Manifest, Pod, namespace_of


class Verdict(IntEnum):
    """`min` of two is both, `max` of two is either. As the answer to a question: no, perhaps, yes."""

    CLOSED = 0
    POSSIBLE = 1
    OPEN = 2


NO, PERHAPS, YES = Verdict
End = Pod | str  # a str is an address outside the cluster


class Question(NamedTuple):
    """One connection being opened. `pod_cidrs`: where pods whose address is not known have theirs (none: in no CIDR at all)."""

    cluster: Cluster
    source: End
    destination: End
    protocol: str
    port: int
    family: str = ""
    pod_cidrs: tuple[str, ...] = ()


def verdict(question: Question) -> Verdict:
    """Both ends must allow it, each by its own policies; a pod reaches itself whatever they say."""
    if isinstance(question.source, Pod) and question.source == question.destination:
        return Verdict.OPEN
    return min(egress(question), ingress(question))


def egress(question: Question) -> Verdict:
    """What the policies of the source say; only pods have policies."""
    return _side(question, "egress", question.source, question.destination)


def ingress(question: Question) -> Verdict:
    """What the policies of the destination say."""
    return _side(question, "ingress", question.destination, question.source)


# --- The order: admin tier, NetworkPolicy, baseline tier, allow ---


def _side(question: Question, direction: str, subject: End, peer: End) -> Verdict:
    """Walks the tiers with every outcome that is still possible; one outcome in the end is sure."""
    if not isinstance(subject, Pod) or subject.host_network:
        return Verdict.OPEN
    cluster = question.cluster
    outcomes: set[str] = set()
    for tier in ("admin", "network", "baseline"):
        if tier == "network":
            here = _network_policies(question, direction, subject, peer)
        else:
            here = set()
            groups = cluster.admin if tier == "admin" else cluster.baseline
            for order in itertools.product(*(itertools.permutations(group) for group in groups)):
                here |= _walk(question, direction, subject, peer, itertools.chain(*order))
        outcomes |= here & {"allow", "deny"}
        if "leave" not in here:
            break
    else:
        outcomes.add("allow")
    if len(outcomes) > 1:
        return Verdict.POSSIBLE
    return Verdict.OPEN if outcomes == {"allow"} else Verdict.CLOSED


def _walk(question: Question, direction: str, subject: Pod, peer: End, policies: Iterable[Manifest]) -> set[str]:
    """Every outcome that this order of policies can have: allow, deny, or leave this tier (Pass, or no rule matched)."""
    outcomes: set[str] = set()
    for policy in policies:
        if not _admin_pods(question.cluster, policy["spec"]["subject"], subject):
            continue
        for rule in policy["spec"].get(direction) or []:
            matched = _admin_rule(question, direction, peer, rule)
            if matched == NO:
                continue
            outcomes.add({"Allow": "allow", "Accept": "allow", "Deny": "deny", "Pass": "leave"}[rule["action"]])
            if matched == YES:
                return outcomes
    return outcomes | {"leave"}


# --- NetworkPolicy ---


def _network_policies(question: Question, direction: str, subject: Pod, peer: End) -> set[str]:
    """Isolated in this direction: what some rule allows; not isolated: leave it to the next tier."""
    isolating = [
        p
        for p in question.cluster.network_policies
        if namespace_of(p) == subject.namespace
        and selects(p["spec"].get("podSelector"), subject.labels)
        and direction in policy_types(p["spec"])
    ]
    if not isolating:
        return {"leave"}
    allowed = _own_node(question.cluster, peer, subject) if direction == "ingress" else NO
    for policy in isolating:
        for rule in policy["spec"].get(direction) or []:
            peers = rule.get("from" if direction == "ingress" else "to") or []
            peer_matches = max((_peer(question, namespace_of(policy), p, peer) for p in peers), default=YES)
            items = rule.get("ports") or []
            port_matches = any(_port_item(question, item) for item in items) or not items
            if port_matches:
                allowed = max(allowed, peer_matches)
    return {YES: {"allow"}, PERHAPS: {"allow", "deny"}, NO: {"deny"}}[allowed]


def policy_types(spec: Mapping[str, Any]) -> set[str]:
    """Absent or empty: ingress, and egress where there are egress rules."""
    declared = spec.get("policyTypes") or []
    if declared:
        return {name.lower() for name in declared}
    return {"ingress", "egress"} if spec.get("egress") else {"ingress"}


def _own_node(cluster: Cluster, peer: End, subject: Pod) -> Verdict:
    """A pod's own node always reaches it, whatever its NetworkPolicies say. A DaemonSet has a pod on every node."""
    if isinstance(peer, Pod):
        if not peer.host_network:
            return NO
        if not peer.node:
            return YES if peer.kind == "DaemonSet" else PERHAPS
        return PERHAPS if not subject.node else YES if peer.node == subject.node else NO
    return YES if subject.node in cluster.nodes and peer in cluster.nodes[subject.node][1] else NO


def _peer(question: Question, home: str, peer: Mapping[str, Any], end: End) -> Verdict:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        return _in_networks(question, end, [block["cidr"]], block.get("except") or [])
    if not isinstance(end, Pod) or end.host_network:
        return NO
    if peer.get("namespaceSelector") is None:
        in_namespace = end.namespace == home
    else:
        in_namespace = selects(peer["namespaceSelector"], question.cluster.namespaces[end.namespace])
    return YES if in_namespace and selects(peer.get("podSelector"), end.labels) else NO


def _port_item(question: Question, item: Mapping[str, Any]) -> bool:
    protocol = item.get("protocol") or "TCP"
    if protocol != question.protocol:
        return False
    port = item.get("port")
    if port is None:
        return True
    if isinstance(port, str):
        return _declares(question.destination, port, protocol, question.port)
    return bool(port <= question.port <= item.get("endPort", port))


def _declares(end: End, name: str, protocol: str, number: int) -> bool:
    """Names are looked up at the destination; an address (a host network pod is one) has none."""
    if not isinstance(end, Pod) or end.host_network:
        return False
    return any(p.name == name and p.protocol == protocol and p.number == number for p in end.ports)


# --- AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy ---


def _admin_pods(cluster: Cluster, peer: Mapping[str, Any], pod: Pod) -> bool:
    if "namespaces" in peer:
        return selects(peer["namespaces"], cluster.namespaces[pod.namespace])
    inside = peer["pods"]
    return selects(inside.get("namespaceSelector"), cluster.namespaces[pod.namespace]) and selects(
        inside.get("podSelector"), pod.labels
    )


def _admin_rule(question: Question, direction: str, end: End, rule: Mapping[str, Any]) -> Verdict:
    peers = rule["from" if direction == "ingress" else "to"]
    return min(max(_admin_peer(question, p, end) for p in peers), _admin_ports(question, rule))


def _admin_peer(question: Question, peer: Mapping[str, Any], end: End) -> Verdict:
    if "networks" in peer:
        return max(_in_networks(question, end, [cidr], []) for cidr in peer["networks"])
    if "nodes" in peer:
        addresses = [
            address
            for labels, known in question.cluster.nodes.values()
            if selects(peer["nodes"], labels)
            for address in known
        ]
        return max((_in_networks(question, end, [address], []) for address in addresses), default=NO)
    if "domainNames" in peer:
        return NO if isinstance(end, Pod) and not end.host_network else PERHAPS
    if not isinstance(end, Pod) or end.host_network:
        return NO
    return YES if _admin_pods(question.cluster, peer, end) else NO


def _admin_ports(question: Question, rule: Mapping[str, Any]) -> Verdict:
    items = rule["ports"] if "ports" in rule else rule.get("protocols")
    if not items:
        return YES
    return YES if any(_admin_port(question, item) for item in items) else NO


def _admin_port(question: Question, item: Mapping[str, Any]) -> bool:
    name = item.get("namedPort") or item.get("destinationNamedPort")
    if name:
        return _declares(question.destination, name, question.protocol, question.port)
    if "portNumber" in item:
        number = item["portNumber"]
        return (number.get("protocol") or "TCP", number["port"]) == (question.protocol, question.port)
    if "portRange" in item:
        ports = item["portRange"]
        return (ports.get("protocol") or "TCP") == question.protocol and ports["start"] <= question.port <= ports["end"]
    ((protocol, inside),) = item.items()
    if protocol.upper() != question.protocol:
        return False
    ports = (inside or {}).get("destinationPort")
    if not ports:
        return True
    if "number" in ports:
        return bool(ports["number"] == question.port)
    return bool(ports["range"]["start"] <= question.port <= ports["range"]["end"])


# --- Selectors and addresses ---


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """A label selector; absent and empty ones select everything (callers see to where absent means something else)."""
    wanted = (selector or {}).get("matchLabels") or {}
    return all(key in labels and labels[key] == value for key, value in wanted.items()) and all(
        _OPERATORS[e["operator"]](labels.get(e["key"]), e.get("values") or [])
        for e in (selector or {}).get("matchExpressions") or []
    )


_OPERATORS: dict[str, Callable[[str | None, list[str]], bool]] = {
    "In": lambda value, values: value is not None and value in values,
    "NotIn": lambda value, values: value is None or value not in values,
    "Exists": lambda value, values: value is not None,
    "DoesNotExist": lambda value, values: value is None,
}


def _in_networks(question: Question, end: End, cidrs: list[str], excepted: list[str]) -> Verdict:
    """Whether the packet's address at this end is in a CIDR and in no `except` of it."""

    def inside(address: str) -> bool:
        return any(_within(address, c) for c in cidrs) and not any(_within(address, c) for c in excepted)

    known = _address(question, end)
    if known is not None:
        return YES if inside(known) else NO
    if not question.pod_cidrs:
        return NO
    answers = {inside(address) for address in _telling(question.pod_cidrs, cidrs + excepted)}
    return PERHAPS if len(answers) == 2 else YES if answers == {True} else NO


def _address(question: Question, end: End) -> str | None:
    if isinstance(end, str):
        return end
    known = end.addresses
    if end.host_network and not known and end.node in question.cluster.nodes:
        known = question.cluster.nodes[end.node][1]
    if question.family:
        known = tuple(a for a in known if f"IPv{ip_address(a).version}" == question.family)
    return known[0] if known else None


@cache
def _parsed(address: str, cidr: str) -> tuple[Any, Any]:
    return ip_address(address), ip_network(cidr, strict=False)


def _within(address: str, cidr: str) -> bool:
    ip, network = _parsed(address, cidr)
    return ip.version == network.version and ip in network


def _telling(pod_cidrs: tuple[str, ...], cidrs: list[str]) -> list[str]:
    """Addresses of the pod CIDRs among which every answer of these CIDRs occurs: both ends of each, and their neighbours."""
    candidates = set()
    for cidr in [*pod_cidrs, *cidrs]:
        network = ip_network(cidr, strict=False)
        for edge in (network.network_address, network.broadcast_address):
            candidates |= {edge, *(edge + step for step in (-1, 1) if 0 <= int(edge) + step < 2**edge.max_prefixlen)}
    return [str(a) for a in candidates if any(_within(str(a), cidr) for cidr in pod_cidrs)]
