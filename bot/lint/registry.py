"""An id or nothing in, the rules there are out; a rule's file is read only where a side has what the rule is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.lint.finding import Draft, Rule

POLICIES = ("NetworkPolicy",)
ADMIN = ("AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy")
CILIUM = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy")
CALICO = ("GlobalNetworkPolicy", "NetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "Tier")
KYVERNO = ("ClusterPolicy", "Policy", "GeneratingPolicy", "NamespacedGeneratingPolicy")
ANY = (*POLICIES, *ADMIN, *CILIUM, "GlobalNetworkPolicy")
EXPOSURES = ("Ingress", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute", "Route", "Service")
CALICO_STORE = (*ANY, "Tier", "NetworkSet", "GlobalNetworkSet", "HostEndpoint")
EVERY: tuple[str, ...] = ()


class Entry(NamedTuple):
    """A rule's id and name, its file in `bot/lint/rules`, and kinds of which a side must have an object of each group.

    `alone`: what it finds of a policy comes of that policy and of what its selectors match, and not of other policies.
    """

    id: str
    name: str
    needs: tuple[tuple[str, ...], ...]
    alone: bool = False

    @property
    def module(self) -> str:
        """The file, by the rule's name."""
        return self.name.replace("-", "_")


ENTRIES = (
    Entry("NP001", "dns-egress-missing", (ANY,)),
    Entry("NP002", "peer-list-split", (POLICIES,), True),
    Entry("NP003", "ports-list-split", (POLICIES,), True),
    Entry("NP004", "dns-tcp-missing", (ANY,)),
    Entry("NP005", "external-egress-missing", (ANY,)),
    Entry("NP006", "kube-api-egress-missing", (ANY, ("RoleBinding", "ClusterRoleBinding"))),
    Entry(
        "NP007",
        "webhook-ingress-blocked",
        (ANY, ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService")),
    ),
    Entry("NP008", "scrape-blocked", (ANY,)),
    Entry("NP009", "ingress-controller-blocked", (ANY, EXPOSURES)),
    Entry("NP010", "policy-selects-nothing", (ANY,), True),
    Entry("NP011", "peer-selects-nothing", (ANY,), True),
    Entry("NP012", "peer-in-other-namespace", (POLICIES,), True),
    Entry("NP013", "namespace-selector-matches-none", (ANY,), True),
    Entry("NP014", "null-in-policy", (ANY,), True),
    Entry("NP015", "selector-absent", (POLICIES,), True),
    Entry("NP016", "unresolved-selector-value", (ANY,)),
    Entry("NP020", "rule-without-ports", (ANY,), True),
    Entry("NP021", "rule-without-peers", (POLICIES,), True),
    Entry("NP022", "world-without-except", (ANY,), True),
    Entry("NP023", "metadata-reachable", (ANY,)),
    Entry("NP024", "ipblock-on-cluster-cidr", (POLICIES,), True),
    Entry("NP025", "all-namespaces-peer", (POLICIES,), True),
    Entry("NP030", "deny-one-direction", (POLICIES,)),
    Entry("NP031", "rules-ignored-by-policytypes", (POLICIES,), True),
    Entry("NP040", "named-port-unknown", (POLICIES,), True),
    Entry("NP041", "port-not-exposed", (POLICIES,), True),
    Entry("NP042", "service-port-used", (POLICIES, ("Service",))),
    Entry("NP043", "endport-invalid", (POLICIES,)),
    Entry("NP050", "redundant-policy", (POLICIES,)),
    Entry("NP051", "redundant-rule", (POLICIES,)),
    Entry("NP052", "duplicate-name", (ANY,)),
    Entry("NP060", "one-sided-allow", (ANY,)),
    Entry("NP061", "exposed-service-blocked", (ANY, EXPOSURES)),
    Entry("NP071", "workload-not-isolated", (ANY,)),
    Entry("NP080", "deprecated-api", (CALICO_STORE,)),
    Entry("NP081", "invalid-enum", (ANY,)),
    Entry("NP082", "cidr-invalid", (ANY,)),
    Entry("NP090", "hostnetwork-target", (ANY,), True),
    Entry("NP091", "hostnetwork-peer", (ANY,), True),
    Entry("NP100", "anp-priority-overlap", (ADMIN,)),
    Entry("NP101", "cni-ignores-policy", (ANY,)),
    Entry("NP102", "kind-unsupported", (ANY,)),
    Entry("NP103", "feature-unsupported", (ANY,), True),
    Entry("NP104", "overridden-by-admin", ((*ADMIN, "GlobalNetworkPolicy", "CiliumClusterwideNetworkPolicy"),)),
    Entry("NP110", "fqdn-without-dns-rule", (CILIUM,)),
    Entry("NP111", "fqdn-pattern-wide", (CILIUM,), True),
    Entry("NP112", "l7-empty-rule", (CILIUM,)),
    Entry("NP113", "l7-regex", (CILIUM,)),
    Entry("NP114", "cilium-default-deny-off", (CILIUM,)),
    Entry("NP115", "cilium-entity-wide", (CILIUM,), True),
    Entry("NP120", "calico-no-order", (CALICO,)),
    Entry("NP121", "calico-same-order-conflict", (CALICO,)),
    Entry("NP122", "calico-global-scope", (("GlobalNetworkPolicy",),)),
    Entry("NP123", "calico-tier-implicit-deny", (CALICO,)),
    Entry("NP130", "kyverno-generate-not-applied", (KYVERNO,)),
    Entry("NP140", "suppression-unused", (EVERY,)),
)
BY_ID = {entry.id: entry for entry in ENTRIES}
BY_NAME = {entry.name: entry for entry in ENTRIES}
SUPPRESSION = "NP140"


def rule(entry: Entry) -> Rule:
    """What is known of a rule."""
    found: Rule = import_module(f"bot.lint.rules.{entry.module}").RULE
    return found


def check(entry: Entry) -> Callable[[Context], Iterable[Draft]]:
    """What finds a rule's mistakes on one side."""
    found: Callable[[Context], Iterable[Draft]] = import_module(f"bot.lint.rules.{entry.module}").check
    return found


def wanted(contexts: Iterable[Context], off: frozenset[str]) -> Iterator[Entry]:
    """The rules that have something to look at on any of these sides; those that are switched off left out."""
    sides = [context.kinds for context in contexts]
    for entry in ENTRIES:
        if entry.id in off or entry.name in off or entry.id == SUPPRESSION:
            continue
        if any(all(not kinds.isdisjoint(group) for group in entry.needs) for kinds in sides):
            yield entry


def every() -> list[Rule]:
    """All rules, in the order of their ids."""
    return [rule(entry) for entry in ENTRIES]
