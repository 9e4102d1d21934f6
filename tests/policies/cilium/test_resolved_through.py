"""What changes under Cilium when no policy does, but something that policies are resolved through, and what is named for it."""

from __future__ import annotations

import pytest

from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import compare
from tests.policies.cilium.worlds import PODS, ccnp, cnp
from tests.policies.worlds import snapshot


def group(cidr: str, name: str = "office") -> str:
    return (
        f"apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {{name: {name}}}\n"
        f"spec: {{externalCIDRs: [{cidr}]}}\n---\n"
    )


def service(app: str) -> str:
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: backend, namespace: shop}}\nspec: {{selector: {{app: {app}}}}}\n---\n"


def endpoints(address: str) -> str:
    return (
        "apiVersion: v1\nkind: Service\nmetadata: {name: outside, namespace: shop}\nspec: {}\n---\n"
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: outside-1, namespace: shop, labels: {kubernetes.io/service-name: outside}}\n"
        f"addressType: IPv4\nendpoints: [{{addresses: [{address}]}}]\n---\n"
    )


def namespace(label: str) -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: data, labels: {{trusted: '{label}'}}}}\n---\n"


def node(label: str) -> str:
    return f"apiVersion: v1\nkind: Node\nmetadata: {{name: n1, labels: {{zone: '{label}'}}}}\n---\n"


FROM_GROUP = cnp("{endpointSelector: {}, ingress: [{fromCIDRSet: [{cidrGroupRef: office}]}]}")
TO_BACKEND = cnp(
    "{endpointSelector: {}, egress: [{toServices: [{k8sService: {serviceName: backend, namespace: shop}}]}]}"
)
TO_OUTSIDE = cnp(
    "{endpointSelector: {}, egress: [{toServices: [{k8sService: {serviceName: outside, namespace: shop}}]}]}"
)
FROM_TRUSTED = cnp(
    "{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {io.cilium.k8s.namespace.labels.trusted: 'yes'}}]}]}"
)
NODES = ccnp("{nodeSelector: {matchLabels: {zone: a}}, ingress: [{fromCIDR: [203.0.113.0/24]}]}")
CHANGES = {
    "a CIDR group": (
        FROM_GROUP,
        group("203.0.113.0/25"),
        group("203.0.113.0/24"),
        ("CiliumCIDRGroup office", "spec.externalCIDRs"),
    ),
    "another group too": (
        FROM_GROUP,
        group("203.0.113.0/25") + group("198.51.100.0/25", "plant"),
        group("203.0.113.0/24") + group("198.51.100.0/24", "plant"),
        ("CiliumCIDRGroup office", "spec.externalCIDRs"),
    ),
    "a group that goes": (FROM_GROUP, group("203.0.113.0/25"), "", ("CiliumCIDRGroup office", "")),
    "the selector of a Service": (
        TO_BACKEND,
        service("api"),
        service("web"),
        ("Service shop/backend", "spec.selector.app"),
    ),
    "an address of a Service": (
        TO_OUTSIDE,
        endpoints("203.0.113.1"),
        endpoints("203.0.113.2"),
        ("EndpointSlice shop/outside-1", "endpoints"),
    ),
    "a label of a Namespace": (FROM_TRUSTED, namespace("no"), namespace("yes"), ("Namespace data", "metadata.labels")),
    "a label of a Node": (NODES, node("b"), node("a"), ("Node n1", "metadata.labels")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_it_is_named(name: str) -> None:
    policy, before, after, because = CHANGES[name]
    reader = Reader()
    base, head = (snapshot(PODS + text + policy, reader) for text in (before, after))
    lowered = lower(base, head, "cilium")
    found = compare(base, head, lowered, pairs=True)
    assert {(cause.object, cause.path) for change in found.changes for cause in change.causes} == {because}
    assert all(cause.lines[0] > 0 for change in found.changes for cause in change.causes)
    assert found.pairs == compare(base, head, lowered, pairs=True, full=True).pairs


def test_a_node_is_there_before_its_manifest() -> None:
    reader = Reader()
    base, head = snapshot(PODS + NODES, reader), snapshot(PODS + NODES + node("b"), reader)
    assert not any(change.endpoint for change in compare(base, head, lower(base, head, "cilium")).changes)
