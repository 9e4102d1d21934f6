"""Both Snapshots of a Cilium cluster in; how its policies are lowered, the chain they stand in and the Vocabulary out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from bot.policies.admin import ADMIN, BASELINE
from bot.policies.cilium import surroundings, validation
from bot.policies.cilium.endpoints import Outsiders
from bot.policies.cilium.networks import NetworksInCilium
from bot.policies.cilium.peers import GROUPS
from bot.policies.cilium.ports import UNIVERSE, Single, read_ports
from bot.policies.cilium.rules import ALLOW, ENVOY, TIER, CiliumPolicies
from bot.policies.cilium.selectors import ACCOUNT, reserved
from bot.policies.model import PODS, Assumption, Checkpoint, Origin, Policy, Rule, Section, Tier, Vocabulary
from bot.policies.nodes import read_nodes
from bot.policies.selectors import Flaw
from bot.policies.terms import Terms

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot

_SETTINGS = (
    ("enable-policy", ("default",)),
    ("policy-cidr-match-mode", ("",)),
    ("labels", ("",)),
    ("allow-localhost", ("auto", "always")),
    ("enable-node-selector-labels", ("false",)),
    ("enable-extended-ip-protocols", ("false",)),
    ("enable-icmp-rules", ("true",)),
    ("enable-l7-proxy", ("true",)),
    ("policy-default-local-cluster", ("true",)),
)
Key = tuple[str, str, str]
Lower = Callable[["Object", Key, "list[Flaw]"], "Policy | None"]
_TIER = Tier(TIER, "Cilium", "deny", commutes=True)
_WITH_CLUSTER_POLICIES = (Tier(ADMIN, "admin tier", "pass"), _TIER, Tier(BASELINE, "baseline tier", "pass"))
_KINDS = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy")
APISERVER = Assumption(
    "kube-apiserver",
    "the kube-apiserver is taken to run on a node of the cluster, and not on a pod's own",
    "assume.kubeApiserver",
    "entity:kube-apiserver",
)
NAMES = Assumption(
    "fqdn-addresses",
    "DNS names are taken to have addresses of their own: those that share an address share what is allowed to it",
    "",
    "fqdn:",
)
_ASSUMPTIONS = {
    GROUPS: Assumption(
        GROUPS, "toGroups and fromGroups: the addresses of a cloud provider's groups are not in Git", ""
    ),
    ENVOY: Assumption(
        ENVOY,
        "server names, listeners and authentication that always fails: what Envoy does with such traffic is not looked at",
        "",
    ),
}


class Cilium:
    """Cilium's reading of one run."""

    def __init__(self, terms: Terms, base: Snapshot, head: Snapshot) -> None:
        self._sides = (base, head)
        dns_ports = _dns_ports(self._sides)
        cluster = surroundings.setting(self._sides, "cluster-name", "cluster", "name") or "default"
        self.policies = CiliumPolicies(terms, cluster, dns_ports)
        self.networks = NetworksInCilium(terms.selectors, dns_ports)
        enabled = surroundings.setting(self._sides, "enable-k8s-cluster-network-policy") == "true"
        self.with_cluster_policies = enabled
        tiers = _WITH_CLUSTER_POLICIES if enabled else (_TIER,)
        self.checkpoints = (Checkpoint("egress", "source", tiers), Checkpoint("ingress", "destination", tiers))
        self._terms = terms

    def enter(self, side: Snapshot) -> bool:
        """Resolve through this side from now on; whether that differs from before."""
        found = surroundings.read(side)
        before, self.policies.peers.surroundings = self.policies.peers.surroundings, found
        return found != before

    def looked_around(self) -> bool:
        """Whether the policy lowered last was resolved through Services or CIDR groups."""
        peers = self.policies.peers
        found, peers.looked_around = peers.looked_around, False
        return found

    def handler(self, family: str, plain: Lower) -> Lower | str:
        """What lowers policies of a family, given what does so as Kubernetes defines them; or why they have no effect."""
        if family == "Cilium":
            return self.policies.lower
        if family == "NetworkPolicy":
            return lambda obj, key, flaws: _then(plain(obj, key, flaws), self.networks.network_policy)
        if not self.with_cluster_policies:
            return f"no effect: Cilium enforces {family} only where enable-k8s-cluster-network-policy is set, which it is not by default"
        return lambda obj, key, flaws: _then(plain(obj, key, flaws), self.networks.cluster_policy)

    @cached_property
    def built_in(self) -> tuple[Policy, ...]:
        """What holds whatever the policies say: a pod's own node reaches it (kubelet's probes), unless a rule denies that."""
        origin = Origin(None, (), "allow-localhost")
        rule = Rule("allow", self._terms.selectors.intern(reserved("host")), PODS, UNIVERSE, origin)
        section = Section("ingress", TIER, ALLOW, (rule,))
        return (Policy(("built in", "", "allow-localhost"), "Cilium's built-in allow-localhost", None, (section,)),)

    def notes(self) -> tuple[str, ...]:
        """What holds only under settings of the agent that manifests of policies do not say, where it matters."""
        out = []
        if self.policies.nodes:
            out.append(
                "Policies with a nodeSelector are taken to be enforced, which they are where hostFirewall.enabled is set."
            )
        for key, usual in _SETTINGS:
            value = surroundings.setting(self._sides, key)
            if value is not None and value not in usual:
                out.append(f"cilium-config sets {key} to {value[:80]!r}, and policies are read as without it.")
        return tuple(out)

    def vocabulary(self, plain: Vocabulary, apiserver: str | None = None) -> Vocabulary:
        """The vocabulary of Kubernetes, with what Cilium sees besides. `apiserver`: `external`, `node`, or not said."""
        peers, policies = self.policies.peers, self.policies
        nodes = read_nodes(self._sides[0]), read_nodes(self._sides[1])
        outsiders = Outsiders(nodes, policies.nodes, peers.names, apiserver == "external")
        unsure = [*policies.unsure, *((GROUPS,) if peers.asks_groups else ())]
        return plain._replace(
            universe=UNIVERSE,
            cidr_meets_pods=False,
            attributes=_attributes if policies.selectors.sees_accounts else None,
            extra=outsiders.all(),
            assumptions=(
                *plain.assumptions,
                *(_ASSUMPTIONS[name] for name in sorted(unsure)),
                *((APISERVER,) if apiserver is None else ()),
                NAMES,
            ),
            hosts=outsiders.hosts,
            ask=outsiders.ask,
        )


def _then(policy: Policy | None, reread: Callable[[Policy], Policy]) -> Policy | None:
    return None if policy is None else reread(policy)


def _attributes(
    labels: Mapping[str, str], namespace: Mapping[str, str], _: str, account: str
) -> Mapping[str, Mapping[str, str]]:
    return {"pod": labels, "namespace": namespace, ACCOUNT: {"name": account}}


def _dns_ports(sides: tuple[Snapshot, Snapshot]) -> frozenset[Single]:
    """The ports at which a policy of either side has DNS rules."""
    found: dict[Single, None] = {}
    seen: set[int] = set()
    for side in sides:
        for obj in side.by_kind(*_KINDS):
            if id(obj) not in seen:
                seen.add(id(obj))
                for _, spec in validation.specs_of(obj.value):
                    _dns_ports_of(spec.get("egress"), found)
    return frozenset(found)


def _dns_ports_of(egress: object, found: dict[Single, None]) -> None:
    for rule in egress if isinstance(egress, list) else ():
        listed = rule.get("toPorts") if isinstance(rule, dict) else None
        for item in listed if isinstance(listed, list) else ():
            rules = item.get("rules") if isinstance(item, dict) else None
            if isinstance(rules, dict) and rules.get("dns") and isinstance(item.get("ports"), list):
                try:
                    found.update(dict.fromkeys(read_ports(item["ports"]).single))
                except (ValueError, AttributeError):
                    continue
