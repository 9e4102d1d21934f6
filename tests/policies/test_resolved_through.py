"""What changes in plain Kubernetes when no policy does: the object that did it is named, not what is resolved through it."""

from __future__ import annotations

import pytest

from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import compare
from tests.policies.worlds import snapshot

PODS = "".join(
    f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\n"
    f"spec: {{template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c}}]}}}}}}\n---\n"
    for name in ("web", "db")
)
TO_NODES = """\
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: no-gpu}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress: [{action: Deny, to: [{nodes: {matchLabels: {gpu: 'yes'}}}]}]
---
"""
INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shop}
spec: {defaultBackend: {service: {name: front, port: {number: 80}}}}
---
"""


def node(label: str) -> str:
    return (
        f"apiVersion: v1\nkind: Node\nmetadata: {{name: n1, labels: {{gpu: '{label}'}}}}\n"
        "status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}\n---\n"
    )


def service(app: str) -> str:
    return (
        "apiVersion: v1\nkind: Service\nmetadata: {name: front, namespace: shop}\n"
        f"spec: {{selector: {{app: {app}}}, ports: [{{port: 80}}]}}\n---\n"
    )


@pytest.mark.parametrize(
    ("around", "before", "after", "because"),
    [
        (TO_NODES, node("no"), node("yes"), "Node n1"),
        (INGRESS, service("web"), service("db"), "Service shop/front"),
    ],
)
def test_it_is_named(around: str, before: str, after: str, because: str) -> None:
    reader = Reader()
    base, head = (snapshot(PODS + around + text, reader) for text in (before, after))
    found = compare(base, head, lower(base, head, "kubernetes"))
    assert found.changes
    assert {cause.object for change in found.changes for cause in change.causes} == {because}
