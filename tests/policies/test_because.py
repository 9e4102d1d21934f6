"""Paths that are only possible name the assumptions that would settle them, and no others."""

from __future__ import annotations

import pytest

from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import compare, open_paths
from tests.policies.worlds import network_policy, snapshot

PODS = "".join(
    f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\n"
    f"spec: {{template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{hostNetwork: {host}, containers: [{{name: c}}]}}}}}}\n---\n"
    for name, host in (("web", "false"), ("db", "false"), ("proxy", "true"))
)
IN_PART = network_policy(
    "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.1.0.0/16}}]}]}"
)
DENY = network_policy("{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}").replace(
    "name: p", "name: deny"
)


def cluster(name: str, action: str, to: str) -> str:
    return (
        f"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\n"
        f"spec: {{tier: Admin, priority: 1, subject: {{pods: {{podSelector: {{matchLabels: {{app: web}}}}}}}},\n"
        f"  egress: [{{action: {action}, to: [{to}]}}]}}\n---\n"
    )


NET = "{networks: [203.0.113.0/24]}"


@pytest.mark.parametrize(
    ("policies", "path", "because"),
    [
        (IN_PART, ("shop/web", "shop/db"), ("pod-addresses",)),
        (DENY, ("shop/proxy", "shop/db"), ("placement",)),
        (IN_PART + "---\n" + DENY, ("shop/proxy", "shop/db"), ("placement",)),
        (cluster("a", "Deny", NET) + cluster("b", "Accept", NET), ("shop/web", "203.0.113.0/24"), ("equal-priority",)),
        (
            cluster("a", "Accept", "{domainNames: [a.example]}")
            + network_policy("{podSelector: {}, policyTypes: [Egress]}"),
            ("shop/web", "internet"),
            ("dns:a.example",),
        ),
    ],
)
def test_a_path_names_what_would_settle_it(policies: str, path: tuple[str, str], because: tuple[str, ...]) -> None:
    side = snapshot(PODS + policies)
    found = open_paths(side, lower(side, side, "kubernetes"))
    (one,) = [p for p in found.paths if p.possible and (p.source, p.destination) == path]
    assert one.because == because
    assert {name for p in found.paths for name in p.because} == {assumption.id for assumption, _ in found.assumptions}
    for assumption, count in found.assumptions:
        assert count == sum(assumption.id in p.because for p in found.paths)


def test_a_review_counts_them() -> None:
    reader = Reader()
    base, head = snapshot(PODS, reader), snapshot(PODS + IN_PART + "---\n" + DENY, reader)
    found = compare(base, head, lower(base, head, "kubernetes"), pairs=True)
    assert found.pairs is not None
    possible = [pair for pair in found.pairs if pair.before_possible or pair.after_possible]
    counts = {assumption.id: count for assumption, count in found.assumptions}
    assert counts.keys() == {"pod-addresses", "placement"}
    assert counts["placement"] == sum(pair.source == "shop/proxy" for pair in possible)
    assert counts["pod-addresses"] == len(possible) - counts["placement"]
