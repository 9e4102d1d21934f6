"""Label selectors: semantics 1.6 and 1.7 of the Kubernetes documents, and what the API server refuses."""

from __future__ import annotations

from typing import Any

import pytest

from bot.policies.model import EVERYTHING, And, InNamespace, Label, Not, Or
from bot.policies.selectors import Flaw, Selectors


def read(value: Any, scope: str = "pod") -> tuple[Any, list[Flaw]]:
    flaws: list[Flaw] = []
    return Selectors().read(value, scope, ("s",), flaws), flaws


@pytest.mark.parametrize("value", [None, {}, {"matchLabels": {}}, {"matchExpressions": []}, {"matchLabels": None}])
def test_an_empty_selector_matches_everything(value):
    assert read(value) == (EVERYTHING, [])


def test_labels_and_expressions_must_all_match():
    value = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["web", "api"]},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }
    expected = And(
        (
            Label("pod", "a", "in", ("1",)),
            Label("pod", "b", "in", ("2",)),
            Label("pod", "tier", "in", ("api", "web")),
            Not(Label("pod", "old", "exists")),
        )
    )
    assert read(value) == (expected, [])


def test_not_in_matches_objects_without_the_key():
    value = {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}
    assert read(value) == (Not(Label("pod", "env", "in", ("prod",))), [])


def test_exists_and_an_empty_value():
    assert read({"matchExpressions": [{"key": "env", "operator": "Exists"}]}) == (Label("pod", "env", "exists"), [])
    assert read({"matchLabels": {"env": ""}}) == (Label("pod", "env", "in", ("",)), [])


def test_a_namespace_by_its_name():
    name = "kubernetes.io/metadata.name"
    assert read({"matchLabels": {name: "shop"}}, "namespace")[0] == InNamespace("shop")
    several = {"matchExpressions": [{"key": name, "operator": "In", "values": ["b", "a"]}]}
    assert read(several, "namespace")[0] == Or((InNamespace("a"), InNamespace("b")))
    others = {"matchExpressions": [{"key": name, "operator": "NotIn", "values": ["a"]}]}
    assert read(others, "namespace")[0] == Not(Label("namespace", name, "in", ("a",)))
    assert read({"matchLabels": {name: "shop"}}, "pod")[0] == Label("pod", name, "in", ("shop",))


def test_equal_selectors_are_the_identical_expression():
    selectors = Selectors()
    first = selectors.read({"matchLabels": {"a": "1", "b": "2"}}, "pod", (), [])
    second = selectors.read({"matchLabels": {"b": "2", "a": "1"}}, "pod", (), [])
    third = selectors.read({"matchLabels": {"a": "1", "b": "2"}, "matchExpressions": []}, "pod", (), [])
    assert first is second is third


@pytest.mark.parametrize(
    ("value", "where", "reason"),
    [
        ("web", ("s",), "must be a label selector"),
        ({"matchlabels": {}}, ("s", "matchlabels"), "unknown field"),
        ({"matchLabels": ["a"]}, ("s", "matchLabels"), "must be a mapping, and is a list"),
        ({"matchLabels": {"a": 1}}, ("s", "matchLabels", "a"), "the number 1"),
        ({"matchLabels": {"a": True}}, ("s", "matchLabels", "a"), "the boolean true"),
        ({"matchLabels": {"a": ["x"]}}, ("s", "matchLabels", "a"), "a list"),
        ({"matchLabels": {"a": "-x"}}, ("s", "matchLabels", "a"), "no label value"),
        ({"matchLabels": {"a": "x" * 64}}, ("s", "matchLabels", "a"), "no label value"),
        ({"matchLabels": {"a": "x\n"}}, ("s", "matchLabels", "a"), "no label value"),
        ({"matchLabels": {"": "x"}}, ("s", "matchLabels", ""), "no label key"),
        ({"matchLabels": {"Up.per/a": "x"}}, ("s", "matchLabels", "Up.per/a"), "no label key"),
        ({"matchLabels": {"/a": "x"}}, ("s", "matchLabels", "/a"), "no label key"),
        ({"matchExpressions": {"key": "a"}}, ("s", "matchExpressions"), "must be a list"),
        ({"matchExpressions": [{"operator": "Exists"}]}, ("s", "matchExpressions", 0), "a label key is required"),
        ({"matchExpressions": [{"key": "a", "operator": "in", "values": ["x"]}]}, ("s", "matchExpressions", 0, "operator"), "must be In"),
        ({"matchExpressions": [{"key": "a"}]}, ("s", "matchExpressions", 0), "must be In"),
        ({"matchExpressions": [None]}, ("s", "matchExpressions", 0), "a label key is required"),
        ({"matchExpressions": [{"key": "a", "operator": "In"}]}, ("s", "matchExpressions", 0), "values must be given"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": []}]}, ("s", "matchExpressions", 0, "values"), "must be given"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}, ("s", "matchExpressions", 0, "values"), "must not"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": [1]}]}, ("s", "matchExpressions", 0, "values", 0), "the number 1"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists", "value": "x"}]}, ("s", "matchExpressions", 0, "value"), "unknown field"),
    ],
)
def test_what_the_api_server_refuses(value, where, reason):
    flaws = read(value)[1]
    assert (flaws[0].path, flaws[0].refused) == (where, True)
    assert reason in flaws[0].reason


def test_a_null_label_is_the_empty_value():
    expr, flaws = read({"matchLabels": {"a": None}})
    assert expr == Label("pod", "a", "in", ("",))
    assert flaws == [Flaw(("s", "matchLabels", "a"), "null is read as the empty value", refused=False)]


def test_a_flawed_selector_is_flawed_each_time():
    selectors = Selectors()
    for _ in range(2):
        flaws: list[Flaw] = []
        selectors.read({"matchLabels": {"a": "-x"}}, "pod", (), flaws)
        assert len(flaws) == 1
