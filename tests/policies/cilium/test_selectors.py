"""Section 1 of the semantics: what selectors mean, what is added to them, and which labels they can see."""

from __future__ import annotations

from typing import Any

import pytest

from bot.policies.cilium.selectors import WORLD, CiliumSelectors, entity, identifies, selects
from bot.policies.model import EVERYTHING, NOBODY, PODS, And, Expr, InNamespace, Kind, Label, Not, Or
from bot.policies.selectors import Selectors
from tests.policies.cilium.worlds import PODS as CLUSTER
from tests.policies.cilium.worlds import cnp, verdict

SHOP = InNamespace("shop")


def label(key: str, *values: str, scope: str = "pod") -> Label:
    return Label(scope, key, "in", values) if values else Label(scope, key, "exists")


def selectors() -> CiliumSelectors:
    return CiliumSelectors(Selectors(), "default")


def wants(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": [*values]} if values else {})}]}


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        ("app", True),
        ("app.kubernetes.io/name", True),
        ("batch.kubernetes.io/job-name", True),
        ("job-name", True),
        ("example.com/k8s.io", True),
        ("node-role.kubernetes.io/worker", True),
        ("kubernetes.io/hostname", False),
        ("beta.kubernetes.io/os", False),
        ("node.beta.kubernetes.io/x", False),
        ("app.kubernetes.io/beta.kubernetes.io", False),
        ("pod-template-hash", False),
        ("pod-template-hash-of-mine", False),
        ("annotation.x", False),
        ("topology.kubernetes.io/zone", False),
        ("statefulset.kubernetes.io/pod-name", False),
        ("apps.kubernetes.io/pod-index", False),
        ("io.kubernetes.foo", False),
        ("io.kubernetes.pod.namespace", True),
    ],
)
def test_1_7_the_label_filter(key: str, seen: bool) -> None:
    assert identifies(key) is seen


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, SHOP),
        ({"matchLabels": {"app": "web"}}, And((SHOP, label("app", "web")))),
        ({"matchLabels": {"any:app": "web"}}, And((SHOP, label("app", "web")))),
        ({"matchLabels": {"k8s:app": "web"}}, And((SHOP, label("app", "web")))),
        ({"matchLabels": {"k8s:io.kubernetes.pod.namespace": "data"}}, SHOP),
        ({"matchLabels": {"pod-template-hash": "x"}}, NOBODY),
        ({"matchLabels": {"reserved:host": ""}}, NOBODY),
        ({"matchLabels": {"container:app": "web"}}, NOBODY),
        (wants("pod-template-hash", "DoesNotExist"), SHOP),
        (wants("reserved:host", "DoesNotExist"), SHOP),
    ],
)
def test_1_3_a_subject_is_in_the_namespace_of_its_policy(selector: dict[str, Any], expected: Expr) -> None:
    assert selectors().subject(selector, "shop") == expected


@pytest.mark.parametrize(
    ("selector", "of_namespace", "of_cluster"),
    [
        ({}, SHOP, PODS),
        ({"matchLabels": {"app": "web"}}, And((SHOP, label("app", "web"))), And((PODS, label("app", "web")))),
        ({"matchLabels": {"io.kubernetes.pod.namespace": "data"}}, InNamespace("data"), InNamespace("data")),
        (wants("k8s:io.kubernetes.pod.namespace", "Exists"), PODS, PODS),
        (wants("any:io.kubernetes.pod.namespace", "DoesNotExist"), NOBODY, NOBODY),
        (wants("io.kubernetes.pod.namespace", "NotIn", "data"), *(2 * (And((PODS, Not(InNamespace("data")))),))),
        (
            {"matchLabels": {"io.cilium.k8s.namespace.labels.env": "prod"}},
            *(2 * (And((PODS, label("env", "prod", scope="namespace"))),)),
        ),
        (
            {"matchLabels": {"io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name": "data"}},
            *(2 * (InNamespace("data"),)),
        ),
        ({"matchLabels": {"io.cilium.k8s.policy.cluster": "default"}}, SHOP, PODS),
        ({"matchLabels": {"io.cilium.k8s.policy.cluster": "other"}}, NOBODY, NOBODY),
        ({"matchLabels": {"io.cilium.k8s.made.up": "x"}}, NOBODY, NOBODY),
        (wants("app", "NotIn", "web"), And((SHOP, Not(label("app", "web")))), And((PODS, Not(label("app", "web"))))),
    ],
)
def test_1_4_what_is_added_to_peers(selector: dict[str, Any], of_namespace: Expr, of_cluster: Expr) -> None:
    assert selectors().peer(selector, "shop") == of_namespace
    assert selectors().peer(selector, "") == of_cluster


def test_1_4_a_service_account_is_in_the_policy_namespace() -> None:
    found = selectors()
    assert found.peer({"matchLabels": {"io.cilium.k8s.policy.serviceaccount": "front"}}, "shop") == And(
        (SHOP, label("name", "front", scope="account"))
    )
    assert found.sees_accounts


def test_1_5_nothing_is_added_beside_a_reserved_key() -> None:
    selector = {"matchLabels": {"app": "web"}, **wants("reserved:host", "DoesNotExist")}
    host = label("host", scope="reserved")
    assert selectors().peer(selector, "shop") == And((label("app", "web"), Not(host)))
    assert selectors().peer({"matchLabels": {"reserved:world": ""}}, "shop") == WORLD
    assert selectors().peer({"matchLabels": {"reserved:host": "x"}}, "shop") == NOBODY


def test_1_8_node_selectors_see_labels_behind_the_same_filter() -> None:
    node = Kind("node")
    assert selectors().nodes({}) == node
    assert selectors().nodes({"matchLabels": {"role": "infra"}}) == And((node, label("role", "infra", scope="node")))
    assert selectors().nodes({"matchLabels": {"kubernetes.io/hostname": "n1"}}) == NOBODY
    assert selectors().nodes({"matchLabels": {"reserved:host": ""}}) == node


def test_3_3_entities() -> None:
    assert (entity("all"), entity("none"), entity("world")) == (EVERYTHING, NOBODY, WORLD)
    assert entity("host") == label("host", scope="reserved")
    cluster = entity("cluster")
    assert isinstance(cluster, Or)
    assert cluster == entity("cluster-mesh")
    assert PODS in cluster.parts
    assert label("kube-apiserver", scope="reserved") in cluster.parts


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ({}, True),
        ({"matchLabels": {"any:expose": "yes"}}, True),
        ({"matchLabels": {"expose": "no"}}, False),
        (wants("k8s:expose", "Exists"), True),
        (wants("expose", "DoesNotExist"), False),
        (wants("expose", "NotIn", "no"), True),
        (wants("gone", "NotIn", "no"), True),
    ],
)
def test_3_6_services_are_selected_by_their_labels(selector: dict[str, Any], found: bool) -> None:
    assert selects(selector, {"expose": "yes"}) is found


def test_equal_selectors_are_one_expression() -> None:
    found = selectors()
    assert found.subject({"matchLabels": {"app": "web"}}, "shop") is found.peer({"matchLabels": {"app": "web"}}, "shop")
    assert found.peer(wants("app", "Exists"), "shop") is found.peer(wants("app", "Exists"), "shop")


def test_service_accounts_decide() -> None:
    allowed = "{matchLabels: {io.cilium.k8s.policy.serviceaccount: %s}}"
    text = CLUSTER + cnp("{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [" + allowed + "]}]}")
    assert verdict(text % "front", "shop/web", "shop/api") == "allow"
    assert verdict(text % "other", "shop/web", "shop/api") == "deny"
