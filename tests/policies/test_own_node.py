"""Traffic from a pod's own node is always allowed in (k8s.io/api/networking/v1 types.go, comment of `Ingress`)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.gate.expectations import parse
from bot.gate.verify import check
from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import compare, open_paths
from tests.policies.worlds import network_policy, snapshot

CLUSTER = """
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
status: {addresses: [{type: InternalIP, address: 172.18.0.3}]}
---
apiVersion: v1
kind: Pod
metadata: {name: placed, namespace: shop}
spec: {nodeName: n1, containers: [{name: c}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: host-1, namespace: system}
spec: {nodeName: n1, hostNetwork: true, containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host-2, namespace: system}
spec: {nodeName: n2, hostNetwork: true, containers: [{name: c}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: system}
spec: {template: {spec: {hostNetwork: true, containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: some-agent, namespace: system}
spec: {template: {spec: {hostNetwork: true, nodeSelector: {gpu: "yes"}, containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: proxy, namespace: system}
spec: {template: {spec: {hostNetwork: true, containers: [{name: c}]}}}
---
"""
DENY = network_policy("{podSelector: {}, policyTypes: [Ingress]}")


def _got(source: str, destination: str, text: str = CLUSTER + DENY) -> str:
    side = snapshot(text)
    row: dict[str, Any] = {"from": source, "to": destination, "port": 80, "expect": "allow"}
    found = check(parse("x.yaml", json.dumps({"expectations": [row]}).encode()), side, lower(side, side, "kubernetes"))
    assert not found.unmatched
    return found.answers[0].got


@pytest.mark.parametrize(
    ("source", "destination", "got"),
    [
        ("system/host-1", "shop/placed", "allow"),
        ("system/host-2", "shop/placed", "deny"),
        ("node:n1", "shop/placed", "allow"),
        ("ip:172.18.0.2", "shop/placed", "allow"),
        ("node:n2", "shop/placed", "deny"),
        ("ip:172.18.0.3", "shop/placed", "deny"),
        ("ip:172.18.0.4", "shop/placed", "deny"),
        ("system/host-1", "shop/web", "possible"),
        ("node:n1", "shop/web", "possible"),
        ("system/agent", "shop/placed", "allow"),
        ("system/agent", "shop/web", "allow"),
        ("system/some-agent", "shop/web", "possible"),
        ("system/proxy", "shop/placed", "possible"),
        ("shop/web", "shop/placed", "deny"),
    ],
)
def test_a_pods_own_node_reaches_it(source: str, destination: str, got: str) -> None:
    assert _got(source, destination) == got


@pytest.mark.parametrize(
    ("source", "got"), [("system/agent", "allow"), ("system/some-agent", "possible"), ("system/proxy", "possible")]
)
def test_under_calico_too(source: str, got: str) -> None:
    side = snapshot(CLUSTER + DENY)
    row: dict[str, Any] = {"from": source, "to": "shop/web", "port": 80, "expect": "allow"}
    found = check(parse("x.yaml", json.dumps({"expectations": [row]}).encode()), side, lower(side, side, "calico"))
    assert found.answers[0].got == got


def test_of_very_many_nodes_whichever_is_its_own_is_left_open() -> None:
    pods = "".join(
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}, namespace: shop}}\nspec: {{nodeName: x{n}, containers: [{{name: c}}]}}\n---\n"
        for n in range(65)
    )
    assert _got("system/host-1", "shop/placed", CLUSTER + pods + DENY) == "possible"


def test_a_cluster_without_nodes_or_host_network_has_no_word_of_it() -> None:
    side = snapshot(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {nodeName: n, containers: [{name: c}]}\n---\n" + DENY
    )
    assert [policy.object is None for policy in lower(side, side, "kubernetes").head.policies] == [False]


def test_nodes_stand_in_no_table() -> None:
    side = snapshot(CLUSTER + DENY)
    found = open_paths(side, lower(side, side, "kubernetes"))
    assert not any(facts.kind == "node" for facts in found.endpoints.values())


def test_a_default_deny_closes_nothing_for_what_runs_on_every_node() -> None:
    reader = Reader()
    base, head = snapshot(CLUSTER, reader), snapshot(CLUSTER + DENY, reader)
    found = compare(base, head, lower(base, head, "kubernetes"), pairs=True)
    assert found.pairs is not None
    assert "system/agent" not in {pair.source for pair in found.pairs}
    (row,) = [pair for pair in found.pairs if (pair.source, pair.destination) == ("system/proxy", "shop/web")]
    assert row.after == ()
    assert row.after_possible == row.before
