"""Every clause of match and exclude."""

from __future__ import annotations

from typing import Any

import pytest

from bot.manifests.kyverno import generate
from bot.manifests.kyverno.match import selector_matches
from bot.manifests.kyverno.model import match_wildcard, parse_kind
from tests.manifests.kyverno.objects import config_map, made, namespace, namespaces_of, policy, rule, target, texts

SHOP, DEV, OPS = namespace("shop", env="prod"), namespace("dev-a", env="dev"), namespace("ops")
SHOP["metadata"]["annotations"] = {"owner": "Alice"}


def resources(**fields: Any) -> dict[str, Any]:
    return {"resources": {"kinds": ["Namespace"], **fields}}


@pytest.mark.parametrize(
    ("match", "names"),
    [
        ({"any": [resources()]}, ["dev-a", "ops", "shop"]),
        (resources(), ["dev-a", "ops", "shop"]),
        (resources(name="shop"), ["shop"]),
        (resources(names=["sh?p", "o*"]), ["ops", "shop"]),
        (resources(namespaces=["dev-*"]), ["dev-a"]),
        (resources(annotations={"own*": "A*"}), ["shop"]),
        (resources(annotations={"owner": "B*"}), []),
        (resources(selector={"matchLabels": {"env": "prod"}}), ["shop"]),
        (resources(selector={"matchLabels": {"e*": "?*"}}), ["dev-a", "shop"]),
        (resources(selector={"matchLabels": {"kubernetes.io/metadata.name": "ops"}}), ["ops"]),
        (resources(selector={}), ["dev-a", "ops", "shop"]),
        (resources(selector={"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}), ["ops"]),
        (resources(selector={"matchExpressions": [{"key": "env", "operator": "Exists"}]}), ["dev-a", "shop"]),
        (resources(selector={"matchExpressions": [{"key": "env", "operator": "In", "values": ["dev"]}]}), ["dev-a"]),
        (
            resources(selector={"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["dev"]}]}),
            ["ops", "shop"],
        ),
        (resources(selector={"matchExpressions": [{"key": "env", "operator": "Like", "values": ["dev"]}]}), []),
        (resources(operations=["CREATE", "UPDATE"]), ["dev-a", "ops", "shop"]),
        (resources(namespaceSelector={"matchLabels": {"env": "prod"}}), []),
        ({"any": [resources(names=["shop"]), resources(names=["ops"])]}, ["ops", "shop"]),
        ({"all": [resources(names=["*s*"]), resources(names=["*p*"])]}, ["ops", "shop"]),
        ({"any": [{"resources": {}}]}, []),
        ({}, []),
    ],
)
def test_match(match: dict[str, Any], names: list[str]) -> None:
    assert namespaces_of(policy(rule(match=match)), SHOP, DEV, OPS) == names


@pytest.mark.parametrize(
    ("exclude", "names"),
    [
        ({"any": [{"resources": {"namespaces": ["shop", "dev-*"]}}]}, ["ops"]),
        ({"any": [{"resources": {"names": ["shop"]}}, {"resources": {"names": ["ops"]}}]}, ["dev-a"]),
        ({"all": [{"resources": {"names": ["shop"]}}, {"resources": {"names": ["ops"]}}]}, ["dev-a", "ops", "shop"]),
        ({"all": [{"resources": {"names": ["s*"]}}, {"resources": {"names": ["*p"]}}]}, ["dev-a", "ops"]),
        ({"resources": {"selector": {"matchLabels": {"env": "dev"}}}}, ["ops", "shop"]),
        ({"any": [{"resources": {}}]}, ["dev-a", "ops", "shop"]),
        ({}, ["dev-a", "ops", "shop"]),
    ],
)
def test_exclude(exclude: dict[str, Any], names: list[str]) -> None:
    assert namespaces_of(policy(rule(exclude=exclude)), SHOP, DEV, OPS) == names


def test_a_rule_for_other_operations_says_that_it_makes_nothing() -> None:
    found = generate([policy(rule(match=resources(operations=["UPDATE"]))), SHOP])
    assert made(found) == []
    assert texts(found) == [("the rule does not fire when an object is created: nothing is generated", False)]


@pytest.mark.parametrize("field", ["roles", "clusterRoles", "subjects"])
def test_users_are_unknown(field: str) -> None:
    for block in ({"match": {"any": [{**resources(), field: ["admin"]}]}}, {"exclude": {"any": [{field: ["admin"]}]}}):
        found = generate([policy(rule(**block)), SHOP])
        assert made(found) == []
        assert [incomplete for _, incomplete in texts(found)] == [True]


def test_users_do_not_matter_where_the_rest_decides() -> None:
    match = {"any": [resources(names=["shop"]), {**resources(), "subjects": ["x"]}]}
    found = generate(
        [policy(rule(match=match, exclude={"any": [{"resources": {"names": ["x"]}, "roles": ["x"]}]})), SHOP]
    )
    assert made(found) == ["NetworkPolicy shop/deny"]
    assert texts(found) == []


def test_namespace_selector_reads_the_namespace_of_the_object() -> None:
    match = {"any": [{"resources": {"kinds": ["ConfigMap"], "namespaceSelector": {"matchLabels": {"env": "prod"}}}}]}
    generated = target(namespace="{{request.namespace}}")
    objects = [config_map("a", "shop"), config_map("b", "dev-a"), config_map("c", "nowhere")]
    assert namespaces_of(policy(rule(match=match, generate=generated)), SHOP, DEV, *objects) == ["shop"]


def test_a_namespaced_policy_sees_its_own_namespace() -> None:
    match = {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}
    generated = target(namespace="default", name="{{request.object.metadata.name}}")
    found = generate(
        [policy(rule(match=match, generate=generated), kind="Policy"), config_map("a"), config_map("b", "shop")]
    )
    assert made(found) == ["NetworkPolicy default/a"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Pod", ("*", "*", "Pod", "")),
        ("v1/Pod", ("*", "v1", "Pod", "")),
        ("Pod/exec", ("*", "*", "Pod", "exec")),
        ("Pod.exec", ("*", "*", "Pod", "exec")),
        ("*/Pod", ("*", "*", "Pod", "")),
        ("*/exec", ("*", "*", "*", "exec")),
        ("*/*", ("*", "*", "*", "*")),
        ("apps/v1/Deployment", ("apps", "v1", "Deployment", "")),
        ("v1/Pod/exec", ("*", "v1", "Pod", "exec")),
        ("apps/v1/Deployment/scale", ("apps", "v1", "Deployment", "scale")),
        ("a/b/c/d/e", ("", "", "", "")),
    ],
)
def test_kinds(text: str, parts: tuple[str, ...]) -> None:
    assert parse_kind(text) == parts


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        ("", "", True), ("", "a", False), ("*", "", True), ("a*", "a", True), ("?*", "", False), ("?*", "ab", True),
        ("a?c", "abc", True), ("a?c", "ac", False), ("*-prod", "a-b-prod", True), ("*ab", "aab", True), ("a*b*c", "axbxxc", True),
        ("a*b*c", "axbxx", False), ("a**", "a", True), ("dev", "prod", False),
    ],
)  # fmt: skip
def test_wildcards(pattern: str, text: str, answer: bool) -> None:
    assert match_wildcard(pattern, text) is answer


@pytest.mark.parametrize("selector", [None, [], "env", {"matchLabels": {"env": 1}}, {"matchExpressions": [1]}])
def test_an_invalid_selector_matches_nothing(selector: Any) -> None:
    assert not selector_matches(selector, {"env": "1"})


def test_wildcards_are_for_kyverno_only() -> None:
    assert selector_matches({"matchLabels": {"env": "p*"}}, {"env": "prod"})
    assert not selector_matches({"matchLabels": {"env": "p*"}}, {"env": "prod"}, wildcards=False)
