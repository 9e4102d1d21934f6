"""A change meets a cluster that runs already: who gets what, and what stays."""

from __future__ import annotations

from typing import Any

import pytest

from bot.manifests.kyverno import compare_generated, generate
from bot.manifests.kyverno.model import Generated
from tests.manifests.kyverno.objects import config_map, made, namespace, network_policy, policy, rule, target, texts

SHOP, NEW = namespace("shop"), namespace("new")
EMPTY: dict[str, Any] = {"spec": {}}
OTHER: dict[str, Any] = {"spec": {"podSelector": {}}}


def change(base: list[dict[str, Any]], head: list[dict[str, Any]]) -> Generated:
    return compare_generated(generate(base), generate(head))


def test_a_new_policy_reaches_new_namespaces_only() -> None:
    found = change([SHOP], [policy(), SHOP, NEW])
    assert made(found) == ["NetworkPolicy new/deny", "NetworkPolicy shop/deny (new)"]
    assert texts(found) == [
        ("NetworkPolicy shop/deny: only what is created later gets it, because generateExisting is false", False)
    ]


def test_generate_existing_reaches_all() -> None:
    found = change([SHOP], [policy(generateExisting=True), SHOP, NEW])
    assert made(found) == ["NetworkPolicy new/deny", "NetworkPolicy shop/deny"]
    assert found.notes == ()


def test_a_new_rule_of_an_old_policy_is_new() -> None:
    second = rule(name="second", generate=target(name="second"))
    assert made(change([policy(), SHOP], [policy(rule(), second), SHOP])) == [
        "NetworkPolicy shop/deny",
        "NetworkPolicy shop/second (new)",
    ]


def test_nothing_changes_without_a_change() -> None:
    found = change([policy(), SHOP], [policy(), SHOP, NEW])
    assert made(found) == ["NetworkPolicy new/deny", "NetworkPolicy shop/deny"]
    assert found.notes == ()


@pytest.mark.parametrize(("synchronize", "kept"), [(True, ""), (False, " (kept)")])
def test_changed_data(synchronize: bool, kept: str) -> None:
    before, after = (policy(rule(generate=target(synchronize=synchronize, data=each))) for each in (EMPTY, OTHER))
    found = change([before, SHOP], [after, SHOP, NEW])
    assert made(found) == ["NetworkPolicy new/deny", f"NetworkPolicy shop/deny{kept}"]
    specs = {each.key[2]: each.value["spec"] for each in found.objects}
    assert specs == {"new": OTHER["spec"], "shop": OTHER["spec"] if synchronize else {}}


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"synchronize": True}, []),
        ({"synchronize": False}, ["NetworkPolicy shop/deny (kept)"]),
        ({"synchronize": True, "orphanDownstreamOnPolicyDelete": True}, ["NetworkPolicy shop/deny (kept)"]),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_deleted_rule(fields: dict[str, Any], left: list[str], whole: bool) -> None:
    gone = policy(rule(generate=target(**fields)))
    found = change([gone, SHOP], [SHOP] if whole else [policy({"name": "other"}), SHOP])
    assert made(found) == left
    assert len(found.notes) == len(left)
    for each in found.objects:
        assert each.rule_origin.policy is gone


CLONE = target(data=None, name="copy", clone={"name": "source", "namespace": "lib"})
LIST = {"namespace": "shop", "cloneList": {"kinds": ["networking.k8s.io/v1/NetworkPolicy"], "namespace": "lib"}}


def test_a_clone_outlives_its_rule() -> None:
    source = network_policy("source", "lib")
    assert made(change([policy(rule(generate={**CLONE, "synchronize": True})), SHOP, source], [SHOP, source])) == [
        "NetworkPolicy shop/copy (kept)"
    ]
    assert made(change([policy(rule(generate={**LIST, "synchronize": True})), SHOP, source], [SHOP, source])) == []


@pytest.mark.parametrize("generated", [CLONE, LIST])
@pytest.mark.parametrize("synchronize", [True, False])
def test_a_deleted_source(generated: dict[str, Any], synchronize: bool) -> None:
    written = policy(rule(generate={**generated, "synchronize": synchronize}))
    found = change([written, SHOP, network_policy("source", "lib")], [written, SHOP])
    assert len(found.objects) == (0 if synchronize else 1)


@pytest.mark.parametrize("synchronize", [True, False])
def test_a_changed_source(synchronize: bool) -> None:
    written = policy(rule(generate={**CLONE, "synchronize": synchronize}))
    changed = {**network_policy("source", "lib"), "spec": {"podSelector": {}}}
    (each,) = change([written, SHOP, network_policy("source", "lib")], [written, SHOP, changed]).objects
    assert (each.value["spec"] == changed["spec"]) is synchronize


def test_a_namespace_takes_its_objects_with_it() -> None:
    assert made(change([policy(rule(generate=target(synchronize=False))), SHOP], [policy(), NEW])) == [
        "NetworkPolicy new/deny"
    ]


@pytest.mark.parametrize("synchronize", [True, False])
def test_a_deleted_trigger(synchronize: bool) -> None:
    match = {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}
    written = policy(rule(match=match, generate=target(namespace="shop", synchronize=synchronize)))
    assert len(change([written, SHOP, config_map("a")], [written, SHOP]).objects) == (0 if synchronize else 1)


@pytest.mark.parametrize("synchronize", [True, False])
def test_a_trigger_that_no_longer_matches(synchronize: bool) -> None:
    match = {"any": [{"resources": {"kinds": ["Namespace"], "selector": {"matchLabels": {"deny": "yes"}}}}]}
    written = policy(rule(match=match, generate=target(synchronize=synchronize)))
    found = change([written, namespace("shop", deny="yes")], [written, SHOP])
    assert made(found) == ([] if synchronize else ["NetworkPolicy shop/deny (kept)"])


@pytest.mark.parametrize(("operations", "new"), [([], ""), (["CREATE", "UPDATE"], ""), (["CREATE"], " (new)")])
def test_a_trigger_that_now_matches(operations: list[str], new: str) -> None:
    resources = {"kinds": ["Namespace"], "selector": {"matchLabels": {"deny": "yes"}}, "operations": operations}
    written = policy(rule(match={"any": [{"resources": resources}]}))
    assert made(change([written, SHOP], [written, namespace("shop", deny="yes")])) == [f"NetworkPolicy shop/deny{new}"]


def test_a_rule_that_matches_more() -> None:
    narrow, wide = (
        rule(match={"any": [{"resources": {"kinds": ["Namespace"], "names": names}}]}) for names in (["shop"], ["*"])
    )
    assert made(change([policy(narrow), SHOP, NEW], [policy(wide), SHOP, NEW])) == [
        "NetworkPolicy new/deny (new)",
        "NetworkPolicy shop/deny",
    ]


@pytest.mark.parametrize("synchronize", [True, False])
def test_a_rule_that_matches_less_or_names_differently_deletes_nothing(synchronize: bool) -> None:
    before = policy(rule(generate=target(synchronize=synchronize)))
    after = policy(rule(generate=target(synchronize=synchronize, name="renamed")))
    assert made(change([before, SHOP], [after, SHOP])) == [
        "NetworkPolicy shop/deny (kept)",
        "NetworkPolicy shop/renamed (new)",
    ]


def test_what_stays_gives_way_to_what_git_says() -> None:
    found = change([policy(rule(generate=target(synchronize=False))), SHOP], [SHOP, network_policy("deny", "shop")])
    assert found.objects == ()


def test_a_renamed_policy_leaves_what_is_there() -> None:
    before, after = (policy(rule(generate=target(synchronize=False)), name=name) for name in ("old", "new"))
    (each,) = change([before, SHOP], [after, SHOP]).objects
    assert each.kept and not each.only_new
    before, after = (policy(rule(generate=target(synchronize=True)), name=name) for name in ("old", "new"))
    (each,) = change([before, SHOP], [after, SHOP]).objects
    assert each.only_new and not each.kept
