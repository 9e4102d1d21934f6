"""Variables in documents: types, nesting, escapes, keys, bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.manifests.kyverno.context import RuleContext, admission_data
from bot.manifests.kyverno.model import Budget, Unresolved, Unsimulated, resource_of
from bot.manifests.kyverno.substitute import substitute
from tests.manifests.kyverno.objects import namespace

DATA = {
    "name": "shop",
    "which": "name",
    "number": 3,
    "whole": 2.0,
    "none": None,
    "map": {"b": 1, "a": ["<x>"]},
    "again": "{{ name }}",
    "forever": "{{ forever }}",
    "growing": "{{ growing }} {{ growing }} xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
}


def run(document: Any) -> Any:
    budget = Budget(200_000)
    return substitute(document, RuleContext(DATA, [], budget).resolve, budget)


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ("plain", "plain"), (5, 5), (None, None), ("{{name}}", "shop"), ("{{ name }}", "shop"), ("a-{{ name }}-b", "a-shop-b"),
        ("{{ number }}", 3), ("{{ map }}", {"b": 1, "a": ["<x>"]}), ("{{ none }}", None), ("n={{ number }}", "n=3"),
        ("w={{ whole }}", "w=2"), ("m={{ map }}", 'm={"a":["\\u003cx\\u003e"],"b":1}'), ("x{{ none }}", "xnull"),
        ("{{name}}{{number}}", "shop3"), ("{{name}} {{name}}", "shop shop"), ("{{ {{which}} }}", "shop"), ("{{ again }}", "{{ name }}"),
        ("-{{ again }}", "-shop"), ("\\{{ name }}", "{{ name }}"), ("a \\{{ name }} {{ name }}", "a {{ name }} shop"),
        ("-{{- again }}", "-{{ name }}"), ("{{- again }}", "{{ name }}"), ("{{ name", "{{ name"), ("{ name }", "{ name }"),
        ("}}{{", "}}{{"),
        ("{{ {a: name} }}", {"a": "shop"}), ("\\$(a)", "$(a)"), ({"{{ name }}": ["{{ number }}"]}, {"shop": [3]}),
        ({"{{ none }}": 1, 2: "x"}, {"{{ none }}": 1, 2: "x"}), (["{{ name }}", {"k": "{{ none }}"}], ["shop", {"k": None}]),
    ],
)  # fmt: skip
def test_substitution(document: Any, value: Any) -> None:
    assert run(document) == value


@pytest.mark.parametrize(
    "document",
    ["{{ nothing }}", "a {{ nothing }}", {"{{ map }}": 1}, {"{{ nothing }}": 1}, "{{ }}", "{{}}", "x{{- number }}"],
)
def test_errors(document: Any) -> None:
    with pytest.raises(Unresolved):
        run(document)


def deep(levels: int) -> Any:
    document: Any = "{{ name }}"
    for _ in range(levels):
        document = [document]
    return document


@pytest.mark.parametrize(
    "document",
    ["-{{ forever }}", "-{{ growing }}", "{{ name }}" + "x" * 70_000, "{{ @ }}", "$(./../a)", "a $(b)", deep(100)],
)
def test_bounds(document: Any) -> None:
    with pytest.raises(Unsimulated):
        run(document)


def test_parts_without_variables_cost_no_copy() -> None:
    text = "static"
    assert run({"a": text})["a"] is text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
PIECES = st.lists(
    st.sampled_from(
        ["{{", "}}", "{", "}", "\\", "$(", ")", "-", " ", "name", "map", "growing", "forever", ".", "[0]", "*", "||",
        "'x'", "`1`", "`", "|", "@",
         "to_string(", "split(", ",", "request.object.metadata", "&a", "==", '"'],
    ),
    max_size=14,
).map("".join)  # fmt: skip
TEMPLATES = st.recursive(
    PIECES,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(PIECES, children, max_size=3),
    max_leaves=6,
)


@given(TEMPLATES, st.dictionaries(st.sampled_from(["name", "map", "element"]), JSON, max_size=3))
def test_substitution_fails_in_two_ways_only(document: Any, data: dict[str, Any]) -> None:
    budget = Budget(20_000)
    whole = {**DATA, **data, **admission_data(resource_of(namespace("shop")))}
    try:
        substitute(document, RuleContext(whole, [], budget).resolve, budget)
    except (Unresolved, Unsimulated) as problem:
        assert str(problem)


@given(PIECES)
def test_a_variable_in_context_fails_in_two_ways_only(text: str) -> None:
    budget = Budget(20_000)
    entries = [
        {"name": "v", "variable": {"jmesPath": text, "default": text}},
        {"name": "w", "variable": {"value": text}},
    ]
    try:
        RuleContext(DATA, entries, budget).resolve("v || w")
    except (Unresolved, Unsimulated) as problem:
        assert str(problem)
