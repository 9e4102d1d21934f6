"""A rule that decided in; out, the words in which Felix names it: tier, kind, name and number, from 0, of its rule.

Kubernetes policies count as what Calico makes of them: of each rule one for each protocol, and in it one for each peer.
"""

from __future__ import annotations

from typing import Any

from bot.policies.calico.networks import KEPT_AS
from bot.policies.model import And, HasPort, Policy, Rule, Tier

_NAMES = {6: "TCP", 17: "UDP", 132: "SCTP"}
_CONVERTED = frozenset({"namespaces", "pods", "networks", "podSelector", "namespaceSelector", "ipBlock"})
_PEERS = {"ingress": "from", "egress": "to"}


def deciding(policy: Policy, tier: Tier, rule: Rule, protocol: int) -> str:
    """`TIER KIND NAME rule N: ACTION` of a rule that decided about traffic of this protocol number."""
    group, namespace, name = policy.key
    kind = group.partition(".")[0]
    calico = group.endswith("projectcalico.org")
    number = rule.origin.path[2]
    if not calico:
        kind, prefix = KEPT_AS[kind]
        name, number = prefix + name, _number(rule, protocol)
    name = f"{namespace}/{name}" if namespace else name
    return f"{tier.title} {kind} {name} rule {number}: {rule.action}"


def _number(rule: Rule, protocol: int) -> int:
    assert rule.origin.object is not None
    path = rule.origin.path
    direction, own = str(path[1]), int(path[2])
    listed = rule.origin.object.value["spec"][direction]
    before = sum(_count(item, direction) for item in listed[:own])
    groups = _groups(listed[own])
    named = isinstance(rule.destination, And) and any(isinstance(part, HasPort) for part in rule.destination.parts)
    new = "protocols" in listed[own]
    wanted = "" if named and new else _NAMES.get(protocol, "")
    at = groups.index(wanted) if wanted in groups else 0
    return before + at * _peers(listed[own], direction) + (int(path[4]) if len(path) > 4 else 0)


def _count(item: dict[str, Any], direction: str) -> int:
    """How many rules Calico makes of one: of one that it cannot convert, a single one that denies, or none."""
    if any(not _CONVERTED & peer.keys() for peer in item.get(_PEERS[direction]) or ()):
        return 0 if item.get("action") in ("Allow", "Accept") else 1
    return len(_groups(item)) * _peers(item, direction)


def _peers(item: dict[str, Any], direction: str) -> int:
    return max(1, len(item.get(_PEERS[direction]) or ()))


def _groups(item: dict[str, Any]) -> list[str]:
    """The protocols of a rule in Calico's order; '' stands for none in particular: a rule without ports, or port names."""
    found: set[str] = set()
    for port in item.get("protocols") or ():
        found.update(name.upper() if name in ("tcp", "udp", "sctp") else "" for name in port)
    for port in item.get("ports") or ():
        if "namedPort" in port:
            return [""]
        inner = port.get("portNumber") or port.get("portRange") or port
        found.add(str(inner.get("protocol") or "TCP"))
    return sorted(found) or [""]
