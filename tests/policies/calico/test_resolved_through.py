"""What changes when no policy does, but something that policies are resolved through."""

from __future__ import annotations

import pytest

from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import Difference, compare
from tests.policies.worlds import snapshot

PODS = "\n---\n".join(
    f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\n"
    f"spec: {{template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{serviceAccountName: {name}, containers: [{{name: c}}]}}}}}}"
    for name in ("web", "db")
)


def tier(name: str, order: int, end: str = "Deny") -> str:
    return (
        f"apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: {name}}}\n"
        f"spec: {{order: {order}, defaultAction: {end}}}"
    )


def policy(name: str, spec: str) -> str:
    return (
        f"apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}}}\n"
        f"spec: {{selector: \"app == 'db'\", types: [Ingress], {spec}}}"
    )


def network_set(cidr: str) -> str:
    return (
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: office, labels: {kind: office}}\n"
        f"spec: {{nets: [{cidr}]}}"
    )


def account(label: str) -> str:
    return f"apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: web, namespace: shop, labels: {{trusted: '{label}'}}}}"


def slice_of(address: str) -> str:
    return (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: api-1, namespace: shop, labels: {kubernetes.io/service-name: api}}\n"
        f"addressType: IPv4\nendpoints: [{{addresses: [{address}]}}]\nports: [{{port: 80}}]"
    )


def service(app: str) -> str:
    return (
        "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\n"
        f"spec: {{selector: {{app: {app}}}, ports: [{{port: 80}}]}}"
    )


TRUSTED = "ingress: [{action: Allow, source: {serviceAccounts: {selector: \"trusted == 'yes'\"}}}]"
FROM_OFFICE = "ingress: [{action: Allow, source: {selector: \"kind == 'office'\"}}]"
FROM_API = "ingress: [{action: Allow, source: {services: {name: api, namespace: shop}}}]"
IN_TIERS = [
    policy("let-in", "tier: a, ingress: [{action: Allow}]"),
    policy("keep-out", "tier: b, ingress: [{action: Deny}]"),
]
CHANGES = {
    # policies and what they are resolved through, before and after; what it does; the object and the path that did it
    "a tier behind another": (
        IN_TIERS,
        [tier("a", 1), tier("b", 2)],
        [tier("a", 3), tier("b", 2)],
        "closed",
        ("Tier a", "spec.order"),
    ),
    "the end of a tier": (
        [policy("none", "tier: a")],
        [tier("a", 1)],
        [tier("a", 1, "Pass")],
        "opened",
        ("Tier a", "spec.defaultAction"),
    ),
    "a network set": (
        [policy("p", FROM_OFFICE)],
        [network_set("203.0.113.0/25")],
        [network_set("203.0.113.0/24")],
        "opened",
        ("GlobalNetworkSet office", "spec.nets"),
    ),
    "a label of an account": (
        [policy("p", TRUSTED)],
        [account("no")],
        [account("yes")],
        "opened",
        ("ServiceAccount shop/web", "metadata.labels"),
    ),
    "an endpoint of a Service": (
        [policy("p", FROM_API)],
        [slice_of("203.0.113.1")],
        [slice_of("203.0.113.2")],
        "opened",
        ("EndpointSlice shop/api-1", "endpoints"),
    ),
    "the selector of a Service": (
        [policy("p", FROM_API)],
        [service("none")],
        [service("web")],
        "opened",
        ("Service shop/api", "spec.selector.app"),
    ),
}


def compared(base: list[str], head: list[str], full: bool = False) -> Difference:
    reader = Reader()
    before, after = (snapshot("\n---\n".join([PODS, *texts]), reader) for texts in (base, head))
    assert before.unread == after.unread == []
    return compare(before, after, lower(before, after, "calico"), pairs=True, full=full)


@pytest.mark.parametrize("name", CHANGES)
def test_it_shows_the_paths_it_changes(name: str) -> None:
    policies, before, after, verdict, because = CHANGES[name]
    found = compared([*policies, *before], [*policies, *after])
    assert verdict in {change.change for change in found.changes}
    assert {(cause.object, cause.path) for change in found.changes for cause in change.causes} == {because}
    assert found.pairs == compared([*policies, *before], [*policies, *after], full=True).pairs


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_changes_without_a_change(name: str) -> None:
    policies, before, _, _, _ = CHANGES[name]
    assert compared([*policies, *before], [*policies, *before]).changes == ()


def test_of_two_changed_sets_the_row_names_the_one_that_it_is_made_of() -> None:
    other = network_set("198.51.100.0/24").replace("office", "plant")
    wider = other.replace("198.51.100.0/24", "198.51.100.0/23")
    before, after = network_set("203.0.113.0/25"), network_set("203.0.113.0/24")
    found = compared([policy("p", FROM_OFFICE), before, other], [policy("p", FROM_OFFICE), after, wider])
    assert {cause.object for change in found.changes for cause in change.causes} == {"GlobalNetworkSet office"}


def test_a_policy_that_changed_itself_is_the_cause() -> None:
    before, after = policy("p", FROM_OFFICE), policy("p", "ingress: [{action: Allow}]")
    found = compared([before, network_set("203.0.113.0/25")], [after, network_set("203.0.113.0/24")])
    assert {cause.kind.partition(".")[0] for change in found.changes for cause in change.causes} == {
        "GlobalNetworkPolicy"
    }


HOST = (
    "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: n1, labels: {role: node}}\n"
    "spec: {node: n1, interfaceName: eth0, expectedIPs: [192.0.2.1]}"
)


def test_a_host_endpoint_closes_a_node_that_was_there_before_it() -> None:
    found = compared([], [HOST], full=False)
    assert {change.change for change in found.changes} == {"narrowed"}
    assert {cause.object for change in found.changes for cause in change.causes} == {"HostEndpoint n1"}
    assert not any(change.endpoint for change in found.changes)
    (row,) = [
        change for change in found.changes if (change.sources, change.destinations) == (("internet",), ("node:n1",))
    ]
    assert row.witness.decided_after[0].text == "denied: HostEndpoint n1 is on the way and no rule allows this"
    assert found.pairs == compared([], [HOST], full=True).pairs
    assert {change.change for change in compared([HOST], []).changes} == {"widened"}


def test_what_is_not_among_the_manifests_is_said() -> None:
    texts = [policy("p", "tier: nowhere"), policy("q", FROM_API)]
    side = snapshot("\n---\n".join([PODS, *texts]))
    found = lower(side, side, "calico").problems_head
    assert [(problem.object.name, problem.refused) for problem in found] == [("q", False), ("p", False)]
    assert "Service shop/api is not among the manifests" in found[0].reason
    assert "Tier nowhere is not among the manifests: it stands last, and denies" in found[1].reason


def test_a_tier_of_very_many_policies_is_named_all_the_same() -> None:
    many = [policy(f"p{n}", "tier: a, ingress: [{action: Allow}]") for n in range(40)]
    found = compared([*many, IN_TIERS[1], tier("a", 1), tier("b", 2)], [*many, IN_TIERS[1], tier("a", 3), tier("b", 2)])
    assert {cause.object for change in found.changes for cause in change.causes} == {"Tier a"}
