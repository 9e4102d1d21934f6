"""Rules applied to objects: what is generated, from what, and what a reader is told."""

from __future__ import annotations

from typing import Any

import pytest

from bot.manifests.kyverno import generate
from tests.manifests.kyverno.objects import (
    DENY,
    OWN_NAME,
    config_map,
    made,
    namespace,
    network_policy,
    policy,
    rule,
    target,
    texts,
)

SHOP = namespace("shop", env="prod")
FOR_MAPS = {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}


def test_nothing_without_a_policy() -> None:
    found = generate([SHOP, config_map("a")])
    assert (found.objects, found.notes, found.rules) == ((), (), {})


def test_other_policies_and_other_rules_make_nothing() -> None:
    other = {
        "apiVersion": "example.com/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "x"},
        "spec": {"rules": [rule()]},
    }
    found = generate([other, policy({"name": "v", "match": rule()["match"], "validate": {}}), SHOP])
    assert (found.objects, found.notes) == ((), ())


def test_an_origin_is_the_rule() -> None:
    written = policy({"name": "validate"}, rule(name="deny"))
    (each,) = generate([SHOP, written]).objects
    assert each.rule_origin.policy is written
    assert (each.rule_origin.path, each.rule_origin.name) == (("spec", "rules", 1), "deny")
    assert (each.trigger, each.trigger_key) == ("Namespace shop", ("", "Namespace", "", "shop"))


def test_labels_of_the_data_stay() -> None:
    data = {
        **DENY,
        "metadata": {
            "name": "other",
            "namespace": "other",
            "labels": {"team": "{{request.object.metadata.labels.env}}"},
        },
    }
    (each,) = generate([policy(rule(generate=target(data=data))), SHOP]).objects
    metadata = each.value["metadata"]
    assert (metadata["name"], metadata["namespace"], metadata["labels"]["team"]) == ("deny", "shop", "prod")
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "kyverno"


def test_namespaces_that_no_file_declares_are_triggers() -> None:
    found = generate([policy()], implied_namespaces=["shop", "kube-system"])
    assert made(found) == ["NetworkPolicy kube-system/deny", "NetworkPolicy shop/deny"]
    assert [incomplete for _, incomplete in texts(found)] == [False]


def test_a_missing_label_of_a_namespace_that_no_file_declares_is_no_answer() -> None:
    reading = rule(
        preconditions=[{"key": "{{request.object.metadata.labels.env}}", "operator": "Equals", "value": "prod"}]
    )
    assert [incomplete for _, incomplete in texts(generate([policy(reading)], implied_namespaces=["shop"]))] == [True]
    found = generate([policy(reading), namespace("shop")])
    assert made(found) == []
    assert [incomplete for _, incomplete in texts(found)] == [False]
    assert made(generate([policy(reading), SHOP])) == ["NetworkPolicy shop/deny"]


def test_a_whole_variable_keeps_its_type() -> None:
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "replicas": 2},
    }
    data = {"spec": {"podSelector": "{{request.object.spec.selector}}", "count": "{{request.object.spec.replicas}}"}}
    generated = target(name="{{request.object.metadata.name}}", namespace="{{request.namespace}}", data=data)
    match = {"any": [{"resources": {"kinds": ["apps/v1/Deployment"]}}]}
    (each,) = generate([policy(rule(match=match, generate=generated)), workload]).objects
    assert each.key == ("networking.k8s.io", "NetworkPolicy", "shop", "web")
    assert each.value["spec"] == {"podSelector": {"matchLabels": {"app": "web"}}, "count": 2}


def test_objects_without_a_namespace_are_in_the_default_one() -> None:
    written = config_map("a")
    del written["metadata"]["namespace"]
    generated = target(namespace="{{request.object.metadata.namespace}}")
    assert made(generate([policy(rule(match=FOR_MAPS, generate=generated)), written], "team")) == [
        "NetworkPolicy team/deny"
    ]


def test_request_values() -> None:
    names = "{{request.operation}} {{request.name}} {{request.namespace}} {{request.kind.kind}} {{request.object.metadata.uid | length(@)}}"
    found = generate([policy(rule(generate=target(data={"spec": {"text": names}}))), SHOP])
    assert found.objects[0].value["spec"]["text"] == "CREATE shop shop Namespace 36"


# --- context ---


def context(*entries: dict[str, Any]) -> dict[str, Any]:
    return rule(context=list(entries), generate=target(name="{{ v }}"))


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ([{"name": "v", "variable": {"value": "a-{{request.object.metadata.name}}"}}], "a-shop"),
        ([{"name": "v", "variable": {"jmesPath": "request.object.metadata.labels.env"}}], "prod"),
        ([{"name": "v", "variable": {"jmesPath": "request.object.metadata.labels.none", "default": "d"}}], "d"),
        ([{"name": "v", "variable": {"value": {"a": ["x", "y"]}, "jmesPath": "a[1]"}}], "y"),
        ([{"name": "v", "variable": {"value": {"a": 1}, "jmesPath": "b", "default": "d"}}], "d"),
        ([{"name": "v", "variable": {"default": "d"}}], "d"),
        ([{"name": "u", "variable": {"value": "u"}}, {"name": "v", "variable": {"jmesPath": "u"}}], "u"),
        ([{"name": "v", "variable": {"value": "a"}}, {"name": "v", "variable": {"value": "{{ v }}b"}}], "ab"),
        ([{"name": "other", "configMap": {"name": "x"}}, {"name": "v", "variable": {"value": "a"}}], "a"),
    ],
)
def test_context_variables(entries: list[dict[str, Any]], name: str) -> None:
    found = generate([policy(context(*entries)), SHOP])
    assert made(found) == [f"NetworkPolicy shop/{name}"], texts(found)
    assert found.notes == ()


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [{"name": "v", "variable": {"jmesPath": "request.object.metadata.labels.none"}}],
        [{"name": "v", "variable": {"value": {"a": 1}, "jmesPath": "b"}}],
        [{"name": "v", "variable": {}}],
        [{"name": "v"}],
        [{"name": "v", "variable": {"jmesPath": "v"}}],
        [{"name": "v", "variable": {"jmesPath": 3}}],
        [{"name": "v", "variable": {"value": 3}}],
        [{"name": "v", "variable": {"value": "Not A Name"}}],
        [{"name": "v", "variable": {"jmesPath": "w"}}, {"name": "w", "variable": {"value": "a"}}],
    ],
)
def test_where_kyverno_fails_nothing_is_made_and_said(entries: list[dict[str, Any]]) -> None:
    found = generate([policy(context(*entries)), SHOP])
    assert made(found) == []
    ((text, incomplete),) = texts(found)
    assert text.startswith("Kyverno generates nothing: ") and text.endswith(" (for Namespace shop)")
    assert not incomplete


@pytest.mark.parametrize("source", ["configMap", "apiCall", "imageRegistry", "globalReference"])
def test_context_from_elsewhere_is_not_simulated(source: str) -> None:
    entry = {"name": "v", source: {"name": "x"}}
    found = generate([policy(context(entry)), SHOP])
    assert made(found) == []
    assert texts(found) == [(f"not simulated: the variable v comes from {source} (for Namespace shop)", True)]
    secret = target(apiVersion="v1", kind="Secret", name="{{ v }}")
    assert [
        incomplete for _, incomplete in texts(generate([policy(rule(context=[entry], generate=secret)), SHOP]))
    ] == [False]


# --- clones ---


def test_clone() -> None:
    source = network_policy("source", "lib", team="a")
    source["metadata"]["ownerReferences"] = [{"uid": "x"}]
    generated = target(data=None, name="copy", clone={"name": "source", "namespace": "lib"})
    (each,) = generate([policy(rule(generate=generated)), SHOP, source]).objects
    assert each.key == ("networking.k8s.io", "NetworkPolicy", "shop", "copy")
    assert each.source == ("networking.k8s.io", "NetworkPolicy", "lib", "source")
    assert each.value["spec"] == source["spec"]
    assert each.value["metadata"]["labels"]["team"] == "a"
    assert "ownerReferences" not in each.value["metadata"]


def test_clone_without_a_source() -> None:
    generated = target(data=None, clone={"name": "source", "namespace": "lib"})
    found = generate([policy(rule(generate=generated)), SHOP])
    assert texts(found) == [
        ("not simulated: the clone source NetworkPolicy lib/source is not in what was read (for Namespace shop)", True)
    ]


def test_a_clone_onto_its_source_is_skipped() -> None:
    generated = target(data=None, name="source", clone={"name": "source", "namespace": "shop"})
    found = generate([policy(rule(generate=generated)), SHOP, network_policy("source", "shop")])
    assert (made(found), texts(found)) == ([], [])


def test_clone_list() -> None:
    sources = [network_policy("a", "lib", copy="yes"), network_policy("b", "lib", copy="no"), config_map("c", "lib")]
    sources[2]["metadata"]["labels"] = {"copy": "yes"}
    clone_list = {
        "kinds": ["networking.k8s.io/v1/NetworkPolicy", "v1/ConfigMap"],
        "namespace": "lib",
        "selector": {"matchLabels": {"copy": "yes"}},
    }
    found = generate(
        [policy(rule(generate={"namespace": OWN_NAME, "cloneList": clone_list})), SHOP, namespace("lib"), *sources]
    )
    assert made(found) == ["ConfigMap shop/c", "NetworkPolicy shop/a"]
    assert found.notes == ()


def test_clone_list_without_sources() -> None:
    clone_list = {"kinds": ["networking.k8s.io/v1/NetworkPolicy"], "namespace": "lib"}
    found = generate([policy(rule(generate={"namespace": OWN_NAME, "cloneList": clone_list})), SHOP])
    assert [incomplete for _, incomplete in texts(found)] == [True]
    clone_list["kinds"] = ["v1/Secret"]
    found = generate([policy(rule(generate={"namespace": OWN_NAME, "cloneList": clone_list})), SHOP])
    assert [incomplete for _, incomplete in texts(found)] == [False]


# --- foreach ---


def foreach(**fields: Any) -> dict[str, Any]:
    return {
        "list": "request.object.data.namespaces | split(@, ',')",
        **target(name="p-{{ elementIndex }}", namespace="{{ element }}"),
        **fields,
    }


def test_foreach() -> None:
    trigger = config_map("m", namespaces="a,b,c")
    inner = foreach(
        context=[{"name": "ns", "variable": {"jmesPath": "element"}}],
        preconditions={"any": [{"key": "{{ ns }}", "operator": "AnyNotIn", "value": ["b"]}]},
    )
    found = generate([policy(rule(match=FOR_MAPS, generate={"foreach": [inner, foreach(name="q")]})), trigger])
    assert made(found) == [
        "NetworkPolicy a/p-0", "NetworkPolicy a/q", "NetworkPolicy b/q", "NetworkPolicy c/p-2", "NetworkPolicy c/q",
    ]  # fmt: skip
    assert found.notes == ()


def test_one_bad_element_does_not_stop_the_others() -> None:
    found = generate(
        [policy(rule(match=FOR_MAPS, generate={"foreach": [foreach()]})), config_map("m", namespaces="a,NOT VALID,c")]
    )
    assert made(found) == ["NetworkPolicy a/p-0", "NetworkPolicy c/p-2"]
    assert len(found.notes) == 1


@pytest.mark.parametrize(("expression", "names"), [('`["a", null, "b"]`', ["a", "b"]), ("'a'", ["a"]), ("nothing", [])])
def test_foreach_lists(expression: str, names: list[str]) -> None:
    found = generate([policy(rule(match=FOR_MAPS, generate={"foreach": [foreach(list=expression)]})), config_map("m")])
    assert [each.key[2] for each in found.objects] == names


# --- what else decides ---


def test_apply_rules_one() -> None:
    rules = [rule(name="a", generate=target(name="a")), rule(name="b", generate=target(name="b"))]
    assert made(generate([policy(*rules, applyRules="One"), SHOP])) == ["NetworkPolicy shop/a"]
    rules[0]["preconditions"] = [{"key": "a", "operator": "Equals", "value": "b"}]
    assert made(generate([policy(*rules, applyRules="One"), SHOP])) == ["NetworkPolicy shop/b"]


@pytest.mark.parametrize(
    ("spec", "generated", "existing"),
    [
        ({}, {}, False), ({"generateExisting": True}, {}, True), ({"generateExistingOnPolicyUpdate": True}, {}, True),
        ({"generateExisting": True}, {"generateExisting": False}, False), ({}, {"generateExisting": True}, True),
    ],
)  # fmt: skip
def test_generate_existing(spec: dict[str, Any], generated: dict[str, Any], existing: bool) -> None:
    (each,) = generate([policy(rule(generate=target(**generated)), **spec), SHOP]).objects
    assert each.rule.generate_existing is existing


@pytest.mark.parametrize(("synchronize", "count"), [(False, 0), (True, 1)])
def test_an_object_that_git_has_too(synchronize: bool, count: int) -> None:
    found = generate([policy(rule(generate=target(synchronize=synchronize))), SHOP, network_policy("deny", "shop")])
    assert len(found.objects) == count
    assert len(found.notes) == 1 and not found.notes[0].incomplete


@pytest.mark.parametrize(("synchronize", "spec"), [(False, DENY["spec"]), (True, {})])
def test_two_rules_for_one_object(synchronize: bool, spec: dict[str, Any]) -> None:
    second = rule(name="second", generate=target(data={"spec": {}}, synchronize=synchronize))
    found = generate([policy(rule(), second), SHOP])
    assert [each.value["spec"] for each in found.objects] == [spec]
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace": None}, {"namespace": "Not Valid"}, {"name": None}, {"name": ""}, {"name": "x" * 254}, {"kind": None},
        {"apiVersion": None},
        {"data": None}, {"data": ["x"]}, {"data": "text"}, {"name": ["x"]}, {"kind": "{{ 'a' }}{{ nothing }}"},
    ],
)  # fmt: skip
def test_targets_that_no_api_server_accepts(changes: dict[str, Any]) -> None:
    found = generate([policy(rule(generate=target(**changes))), SHOP])
    assert found.objects == ()
    assert len(found.notes) == 1


def test_a_policy_generates_into_its_own_namespace() -> None:
    written = policy(rule(match=FOR_MAPS, generate=target(namespace="other")), kind="Policy")
    found = generate([written, config_map("a")])
    assert found.objects == ()
    assert texts(found) == [
        (
            "Kyverno generates nothing: a policy in namespace default generates only there (for ConfigMap default/a)",
            False,
        )
    ]


def test_cluster_scoped_targets() -> None:
    generated = target(
        apiVersion="policy.networking.k8s.io/v1alpha1", kind="AdminNetworkPolicy", name=OWN_NAME, namespace=None
    )
    (each,) = generate([policy(rule(generate=generated)), SHOP]).objects
    assert each.key == ("policy.networking.k8s.io", "AdminNetworkPolicy", "", "shop")


def test_pods_of_controllers_are_said_to_be_missing() -> None:
    match = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tool", "namespace": "shop"}}
    written = policy(rule(match=match, generate=target(namespace="{{request.namespace}}")))
    assert texts(generate([written, pod])) == []
    found = generate([written, pod, deployment])
    assert made(found) == ["NetworkPolicy shop/deny"]
    assert [incomplete for _, incomplete in texts(found)] == [True]


def test_exceptions_are_said() -> None:
    exception = {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": {"name": "x", "namespace": "shop"},
        "spec": {"exceptions": [{"policyName": "p", "ruleNames": ["r*"]}, {"policyName": "q", "ruleNames": ["r"]}]},
    }
    assert len(generate([policy(), exception, SHOP]).notes) == 1
    assert len(generate([policy(name="other"), exception, SHOP]).notes) == 0


def test_notes_gather_triggers() -> None:
    written = policy(rule(generate=target(name="{{ nothing }}")))
    found = generate([written, *(namespace(f"n{number}") for number in range(5))])
    ((text, _),) = texts(found)
    assert text.endswith(" (for Namespace n0, Namespace n1, Namespace n2 and 2 more)")


@pytest.mark.parametrize(
    "expression", ["request.userInfo.username", "serviceAccountName", "request.roles", "images.containers"]
)
def test_what_only_the_cluster_knows(expression: str) -> None:
    found = generate([policy(rule(generate=target(data={"a": f"{{{{ {expression} || 'x' }}}}"}))), SHOP])
    assert [incomplete for _, incomplete in texts(found)] == [True]


def test_cel_preconditions() -> None:
    found = generate([policy(rule(celPreconditions=[{"name": "a", "expression": "true"}])), SHOP])
    assert (found.objects, [incomplete for _, incomplete in texts(found)]) == ((), [True])
