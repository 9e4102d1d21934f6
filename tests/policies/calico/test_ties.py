"""Equal orders: since 3.32 `name/namespace/kind` decides, before it the name in the backend (felix/calc/policy_sorter.go)."""

from __future__ import annotations

import json

import pytest

from bot.gate.expectations import parse
from bot.gate.verify import check
from bot.policies.compile import lower
from tests.policies.worlds import snapshot

POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web}}\n"
    "spec: {nodeName: n1, containers: [{name: c}]}\n---\n"
)
NODE = (
    "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: calico-node, namespace: kube-system}\n"
    'spec: {template: {spec: {containers: [{name: c, image: "calico/node:v3.%s.1"}]}}}\n---\n'
)


def calico(kind: str, name: str, action: str) -> str:
    where = "" if kind == "GlobalNetworkPolicy" else ", namespace: shop"
    return (
        f"apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}{where}}}\n"
        f"spec: {{order: 7, selector: all(), types: [Egress], egress: [{{action: {action}}}]}}\n---\n"
    )


def cluster(name: str, action: str) -> str:
    return (
        f"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\n"
        "spec: {tier: Admin, priority: 10, subject: {namespaces: {}},\n"
        f"  egress: [{{action: {action}, to: [{{networks: [0.0.0.0/0]}}]}}]}}\n---\n"
    )


def admin(name: str, action: str) -> str:
    return (
        cluster(name, action).replace("v1alpha2", "v1alpha1").replace("ClusterN", "AdminN").replace("tier: Admin, ", "")
    )


def got(text: str, cni: str | None = "calico") -> str:
    side = snapshot(POD + text)
    row = {"from": "shop/web", "to": "ip:203.0.113.1", "port": 443, "expect": "allow"}
    found = check(parse("x", json.dumps({"expectations": [row]}).encode()), side, lower(side, side, cni))
    assert not found.unmatched
    return found.answers[0].got


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (calico("GlobalNetworkPolicy", "a", "Allow"), calico("GlobalNetworkPolicy", "b", "Deny")),
        (calico("NetworkPolicy", "a", "Allow"), calico("GlobalNetworkPolicy", "b", "Deny")),
        (calico("GlobalNetworkPolicy", "a", "Allow"), calico("NetworkPolicy", "b", "Deny")),
        (cluster("a", "Accept"), cluster("b", "Deny")),
    ],
)
def test_the_name_decides(first: str, second: str) -> None:
    assert got(first + second) == got(second + first) == "allow"
    swapped = first.replace("name: a", "name: c") + second
    assert got(swapped) == "deny"


def test_where_kubernetes_leaves_it_open() -> None:
    assert got(cluster("a", "Accept") + cluster("b", "Deny"), "kubernetes") == "possible"


def test_admin_policies_of_versions_that_have_them() -> None:
    assert got(NODE % "30" + admin("a", "Allow") + admin("b", "Deny"), None) == "allow"
    assert got(NODE % "30" + admin("b", "Allow") + admin("a", "Deny"), None) == "deny"


def test_older_versions_compare_the_names_in_the_backend() -> None:
    # "shop/default.a" comes behind "default.b".
    policies = calico("NetworkPolicy", "a", "Allow") + calico("GlobalNetworkPolicy", "b", "Deny")
    assert got(NODE % "31" + policies, None) == "deny"
    assert got(NODE % "32" + policies, None) == "allow"
