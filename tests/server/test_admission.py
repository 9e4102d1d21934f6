"""AdmissionReviews as an API server sends them: what is refused, what is let through, and what is no review at all."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.lint.admitted import unset
from bot.server.admission import LARGEST, answer
from tests.fuzz import examples

RULE = {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"protocol": "TCP", "port": 8080}]}
DNS = {"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
MEANT = {"netreach/select-all": "every pod takes part in the mesh"}


def policy(spec: dict[str, Any], kind: str = "NetworkPolicy", version: str = "networking.k8s.io/v1", **metadata: Any) -> dict[str, Any]:
    """As the API server hands it on: with what it fills in."""
    return {
        "kind": kind,
        "apiVersion": version,
        "metadata": {
            "name": "api",
            "namespace": "shop",
            "uid": "b8d4b6f4-6f0b-4f5a-9f4a-5f2f1a0c9e11",
            "generation": 1,
            "creationTimestamp": "2026-01-05T09:00:00Z",
            "managedFields": [{"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": version}],
            **metadata,
        },
        "spec": spec,
    }


def review(obj: Any, operation: str = "CREATE", old: Any = None) -> dict[str, Any]:
    kind = obj if type(obj) is dict else old
    group, _, version = str(kind["apiVersion"]).rpartition("/")
    names = {"group": group, "version": version, "kind": kind["kind"]}
    resource = {"group": group, "version": version, "resource": f"{str(kind['kind']).lower()}s"}
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": names,
            "resource": resource,
            "requestKind": names,
            "requestResource": resource,
            "name": "api",
            "namespace": "shop",
            "operation": operation,
            "userInfo": {"username": "admin", "groups": ["system:authenticated"]},
            "object": obj,
            "oldObject": old,
            "dryRun": True,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"]},
        },
    }


def sent(obj: Any, operation: str = "CREATE", old: Any = None) -> dict[str, Any]:
    status, found = answer(json.dumps(review(obj, operation, old)).encode())
    assert status == 200
    assert (found["apiVersion"], found["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: dict[str, Any] = found["response"]
    assert response["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    return response


REFUSED = [
    # A chart's value was not set: nulls are dropped on the way, what is left selects everything.
    policy({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [RULE]}),
    policy({"policyTypes": ["Ingress"], "ingress": [RULE]}),
    policy({"podSelector": {"matchLabels": {}}, "ingress": [RULE], "policyTypes": ["Ingress"]}),
    policy({"podSelector": {"matchLabels": None}, "policyTypes": ["Ingress"]}),
    policy({"podSelector": {}, "egress": [DNS, {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}], "policyTypes": ["Egress"]}),
    policy({"podSelector": {"matchLabels": {"app": "a"}}, "ingress": [{"from": None}], "policyTypes": ["Ingress"]}),
    policy({"endpointSelector": {}, "ingress": [{"fromEntities": ["world"]}]}, "CiliumNetworkPolicy", "cilium.io/v2"),
    policy({"podSelector": {}, "ingress": [RULE]}, annotations={"netreach/select-all": "  "}),
]
ALLOWED = [
    policy({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
    policy({"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]}),
    policy({"podSelector": {}, "egress": [DNS], "policyTypes": ["Egress"]}),
    policy({"podSelector": {"matchLabels": {"app": "api"}}, "ingress": [RULE], "policyTypes": ["Ingress"]}),
    policy({"podSelector": {}, "ingress": [RULE], "policyTypes": ["Ingress"]}, annotations=MEANT),
    policy({"podSelector": {"matchLabels": None}, "ingress": [RULE]}, annotations=MEANT),
    policy({"nodeSelector": {}, "ingress": [{"fromEntities": ["world"]}]}, "CiliumClusterwideNetworkPolicy", "cilium.io/v2"),
    policy({"podSelector": {}, "ingress": [RULE]}, "NetworkPolicy", "example.com/v1"),
    {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}, "spec": {"podSelector": None}},
]


@pytest.mark.parametrize("obj", REFUSED, ids=lambda obj: json.dumps(obj["spec"])[:60])
def test_refused(obj: dict[str, Any]):
    response = sent(obj)
    assert response["allowed"] is False
    assert response["status"]["code"] == 403
    assert response["status"]["message"].startswith("netreach: NP01")
    assert response["status"]["message"].endswith("If this is meant, say why in the annotation netreach/select-all")


@pytest.mark.parametrize("obj", ALLOWED, ids=lambda obj: json.dumps(obj["spec"])[:60])
def test_allowed(obj: dict[str, Any]):
    assert sent(obj) == {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": True}


def test_what_kubectl_applied_still_has_its_nulls():
    spec = {"podSelector": {"matchLabels": {"app": "api"}}, "ingress": [{"from": None}], "policyTypes": ["Ingress"]}
    applied = policy(spec)
    stored = policy(
        {**spec, "ingress": [{}]}, annotations={"kubectl.kubernetes.io/last-applied-configuration": json.dumps(applied)}
    )
    assert "spec.ingress[0].from has no value, which means everybody" in sent(stored)["status"]["message"]
    for text in ("{", "[" * 100_000, "1", "x" * 2_000_000):
        assert sent(policy(spec | {"ingress": [RULE]}, annotations={"kubectl.kubernetes.io/last-applied-configuration": text}))["allowed"]


def test_an_update_that_changes_nothing_of_it_is_let_through_with_a_warning():
    old = REFUSED[0]
    new = deepcopy(old)
    new["metadata"]["labels"] = {"team": "shop"}
    response = sent(new, "UPDATE", old)
    assert response["allowed"] is True
    assert response["warnings"] == ["netreach: NP015: spec.podSelector is empty, which selects every pod, and the policy has rules"]
    changed = deepcopy(old)
    changed["spec"]["ingress"].append({"from": [{"namespaceSelector": {}}]})
    assert not sent(changed, "UPDATE", old)["allowed"]
    # The annotation that excused it is taken away.
    assert not sent(old, "UPDATE", old | {"metadata": {**old["metadata"], "annotations": MEANT}})["allowed"]
    leaving = deepcopy(changed)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-05T09:00:01Z"
    assert sent(leaving, "UPDATE", old)["allowed"]


def test_deleting_is_never_refused():
    assert sent(None, "DELETE", REFUSED[0])["allowed"]


@pytest.mark.parametrize(
    "change",
    [
        {"apiVersion": "admission.k8s.io/v1beta1"},
        {"kind": "NetworkPolicy"},
        {"request": None},
        {"request": {"uid": "", "operation": "CREATE"}},
        {"request": {"uid": "x"}},
        {"request": {"uid": "x", "operation": "PATCH"}},
        {"request": {"uid": "x", "operation": "CREATE", "object": None}},
    ],
)
def test_no_review(change: dict[str, Any]):
    status, found = answer(json.dumps(review(REFUSED[0]) | change).encode())
    assert status == 400
    assert found["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b"1" * 10_000])
def test_no_json(body: bytes):
    assert answer(body)[0] == 400


def test_too_large():
    assert answer(b" " * (LARGEST + 1))[0] == 413


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["spec", "specs", "podSelector", "matchLabels", "ingress", "from", "ports", "metadata", "annotations", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@examples(60)
@given(st.dictionaries(st.sampled_from(["spec", "specs", "metadata", "kind"]), VALUES))
def test_nothing_breaks_it(obj: dict[str, Any]):
    unset(obj)
    assert answer(json.dumps(review(obj | {"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1"})).encode())[0] == 200


def test_messages_hold_no_control_characters():
    spec = {"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{"\x1b[31m\n": {"from": None}}]}
    message = sent(policy(spec))["status"]["message"]
    assert message.isprintable()
