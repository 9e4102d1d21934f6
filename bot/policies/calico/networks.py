"""A Kubernetes policy in; out, the Draft that Calico makes of it: its tier, its order, its rules as read.

Semantics: libcalico-go, lib/backend/k8s/conversion `conversion.go`, `clusternetworkpolicy.go` (before 3.32 `adminnetworkpolicy.go`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.policies import addresses, intervals
from bot.policies.admin_ports import read_ports, read_protocols
from bot.policies.calico.drafts import STAGED_NETWORK_POLICY, Draft, backend_name
from bot.policies.calico.entities import ANYONE, BOTH, FOUR, SIX, Entities, Entity
from bot.policies.calico.labels import under
from bot.policies.calico.ports import UNIVERSE, Ports
from bot.policies.calico.rules import Spec
from bot.policies.calico.selectors import ALL, Compare, Every, Has, Negation, Node
from bot.policies.calico.surroundings import DEFAULT, NAMESPACE, ORCHESTRATOR, PER_NAMESPACE
from bot.policies.model import Expr, InAddresses, Origin, Policy
from bot.policies.terms import Terms
from bot.policies.traffic import Traffic

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object

NETWORK_POLICY_ORDER = 1000.0
# Kind and name under which Calico keeps them; AdminNetworkPolicies became GlobalNetworkPolicies.
KEPT_AS = {
    "NetworkPolicy": ("KubernetesNetworkPolicy", ""),
    "ClusterNetworkPolicy": ("KubernetesClusterNetworkPolicy", ""),
    "AdminNetworkPolicy": ("GlobalNetworkPolicy", "kanp.adminnetworkpolicy."),
    "BaselineAdminNetworkPolicy": ("GlobalNetworkPolicy", "kbanp.baselineadminnetworkpolicy."),
}
_PEERS = {"ingress": "from", "egress": "to"}
_ACTIONS = {"Allow": "allow", "Accept": "allow", "Deny": "deny", "Pass": "pass"}
_PODS = Compare(ORCHESTRATOR, "==", ("k8s",))
_TEXTS = {"In": "in", "NotIn": "not in"}


class Networks:
    """Rereads the Kubernetes policies of one run as Calico does. `older`: as it did before 3.32."""

    def __init__(self, terms: Terms, entities: Entities, older: bool = False) -> None:
        self._older = older
        self._terms = terms
        self._entities = entities

    def network_policy(self, policy: Policy) -> Draft:
        """A NetworkPolicy: rules that allow, at one order of the default tier."""
        _, namespace, name = policy.key
        kind, _ = KEPT_AS["NetworkPolicy"]
        assert policy.object is not None
        tie = backend_name("knp.default", namespace, name) if self._older else f"{name}/{namespace}/{kind}"
        order = NETWORK_POLICY_ORDER
        return Draft(
            policy.key, policy.title, kind, policy.object, namespace, DEFAULT, order, tie, ALL, {}, ready=policy
        )

    def staged(self, policy: Policy) -> Draft:
        """A StagedKubernetesNetworkPolicy, lowered as the NetworkPolicy that it would be."""
        obj = policy.object
        assert obj is not None
        action = str((obj.value.get("spec") or {}).get("stagedAction") or "Set")
        title = f"{STAGED_NETWORK_POLICY} {obj.namespace}/{obj.name}"
        draft = self.network_policy(policy)
        tie = draft.tie if self._older else f"{obj.name}/{obj.namespace}/{STAGED_NETWORK_POLICY}"
        return draft._replace(title=title, kind=STAGED_NETWORK_POLICY, tie=tie, staged=action)

    def admin_policy(self, policy: Policy) -> Draft:
        """An AdminNetworkPolicy, BaselineAdminNetworkPolicy or ClusterNetworkPolicy that Kubernetes would take."""
        obj = policy.object
        assert obj is not None
        spec = obj.value.get("spec") or {}
        tier, order = _place(obj, spec)
        subject = spec.get("subject") or {}
        if subject.get("namespaces") is not None:
            selects: Node = Every((_PODS, _spaces(subject["namespaces"])))
        else:
            selects = _pods(subject.get("pods") or {})
        rules = {}
        for direction in ("egress", "ingress"):
            listed = spec.get(direction) or []
            found = [made for i, rule in enumerate(listed) for made in self._rule(obj, rule, direction, i)]
            if found:
                rules[direction] = tuple(found)
        kind, prefix = KEPT_AS[obj.kind]
        tie = f"{prefix}{obj.name}" if self._older else f"{prefix}{obj.name}//{kind}"
        return Draft(policy.key, policy.title, kind, obj, "", tier, order, tie, selects, rules)

    def _rule(self, obj: Object, rule: Mapping[str, object], direction: str, i: int) -> list[Spec]:
        """The rules of one rule; one that Calico cannot convert denies everything, or is dropped where it would allow."""
        action = _ACTIONS[str(rule["action"])]
        field = _PEERS[direction]
        listed = rule.get(field)
        peers = [self._peer(peer) for peer in listed] if isinstance(listed, list) else []
        if None in peers:
            if action == "allow":
                return []
            return [Spec("deny", UNIVERSE, BOTH, ANYONE, ANYONE, Origin(obj, ("spec", direction, i)))]
        traffic, named = self._traffic(obj, rule)
        out = []
        for j, peer in enumerate(peers):
            if peer is not None:
                origin = Origin(obj, ("spec", direction, i, field, j))
                source, destination = (peer, ANYONE) if direction == "ingress" else (ANYONE, peer)
                families = BOTH & peer.families
                if traffic:
                    out.append(Spec(action, traffic, families, source, destination, origin))
                if named is not None:
                    owners = destination._replace(ports=named)
                    out.append(Spec(action, UNIVERSE, families, source, owners, origin))
        return out

    def _traffic(self, obj: Object, rule: Mapping[str, object]) -> tuple[Traffic, Ports | None]:
        """What is said in numbers, and port names. The `namedPort` of an older API is not understood, and counts as every port."""
        new = obj.kind == "ClusterNetworkPolicy"
        items = rule.get("protocols" if new else "ports")
        if not isinstance(items, list) or not items:
            return UNIVERSE, None
        if not new:
            if any(isinstance(item, dict) and item.get("namedPort") is not None for item in items):
                return UNIVERSE, None
            return read_ports(self._terms, items, (), [])[0], None
        traffic, named = read_protocols(self._terms, items, (), [])
        names = tuple(dict.fromkeys(name for name, _ in named))
        return traffic, Ports((), names) if names else None

    def _peer(self, peer: object) -> Entity | None:
        """A peer of namespaces takes in their network sets, and a negative one everything that has no namespace."""
        if not isinstance(peer, dict):
            return None
        if peer.get("namespaces") is not None:
            return Entity(self._entities.members(_spaces(peer["namespaces"])))
        if peer.get("pods") is not None:
            return Entity(self._entities.members(_pods(peer["pods"])))
        networks = peer.get("networks")
        if not isinstance(networks, list) or not networks:
            return None
        ranges = intervals.normal(pair for text in networks for pair in addresses.parse_cidr(str(text)))
        found: Expr = self._terms.selectors.intern(InAddresses(ranges))
        four = intervals.intersect(ranges, addresses.ALL_V4)
        six = intervals.intersect(ranges, addresses.ALL_V6)
        families = (FOUR if four else frozenset()) | (SIX if six else frozenset())
        return Entity(found, families=families, inside=families)


def _place(obj: Object, spec: Mapping[str, object]) -> tuple[str, float]:
    if obj.kind == "BaselineAdminNetworkPolicy":
        return "baselineadminnetworkpolicy", NETWORK_POLICY_ORDER
    priority = spec.get("priority")
    order = float(priority) if isinstance(priority, int) else 0.0
    if obj.kind == "AdminNetworkPolicy":
        return "adminnetworkpolicy", order
    return ("kube-baseline" if spec.get("tier") == "Baseline" else "kube-admin"), order


def _selector(value: object) -> list[Node]:
    """The requirements of a Kubernetes label selector (`k8sSelectorToCalico`)."""
    out: list[Node] = []
    fields = value if isinstance(value, dict) else {}
    for key, text in (fields.get("matchLabels") or {}).items():
        out.append(Compare(str(key), "==", (str(text),)))
    for item in fields.get("matchExpressions") or ():
        key, operator = str(item.get("key")), item.get("operator")
        if operator in _TEXTS:
            out.append(Compare(key, _TEXTS[operator], tuple(str(text) for text in item.get("values") or ())))
        else:
            out.append(Has(key) if operator == "Exists" else Negation(Has(key)))
    return out


def _spaces(value: object) -> Node:
    """A namespace selector over all labels; the empty one is every namespace."""
    parts = _selector(value)
    if not parts:
        return Has(NAMESPACE)
    return under(parts[0] if len(parts) == 1 else Every(tuple(parts)), PER_NAMESPACE)


def _pods(value: object) -> Node:
    fields = value if isinstance(value, dict) else {}
    return Every((_PODS, _spaces(fields.get("namespaceSelector")), *_selector(fields.get("podSelector"))))
