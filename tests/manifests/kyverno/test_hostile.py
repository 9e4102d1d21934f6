"""Policies that want to run for ever, fill the memory, or break the reader."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.manifests.kyverno import compare_generated, generate
from bot.manifests.kyverno.model import resource_of
from bot.manifests.kyverno.simulation import simulate
from tests.manifests.kyverno.objects import config_map, namespace, policy, rule, target, texts

SHOP = namespace("shop")


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < 20


def deep(levels: int) -> Any:
    document: Any = "x"
    for _ in range(levels):
        document = {"a": document}
    return document


EXPRESSIONS = {
    "doubling lists": "[`1`, `1`] " + "| [@, @][] " * 300,
    "sharing": "[`1`, `1`] " + "| [@, @] " * 300 + "| to_string(@)",
    "comparing": "{a: [`1`] " + "| [@, @] " * 60 + ", b: [`1`] " + "| [@, @] " * 60 + "} | a == b",
    "parentheses": "(" * 2000 + "a" + ")" * 2000,
    "pipes": "a" + "|a" * 2000,
    "replacing": "replace_all(join('', map(&'aaaa', `["
    + "1," * 400
    + "1]`)), 'a', join('', map(&'bbbb', `["
    + "1," * 400
    + "1]`)))",
    "digits": "to_number('" + "9" * 3000 + "')",
    "slices": "`[1]`[0:999999999999999999999:0]",
    "long": "a" * 5000,
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_expressions(expression: str) -> None:
    entry = {"name": "v", "variable": {"jmesPath": expression}}
    found = generate([policy(rule(context=[entry], generate=target(data={"spec": {"v": "{{ v }}"}}))), SHOP])
    assert len(found.objects) + len(found.notes) == 1


def test_doubling_variables() -> None:
    entries = [{"name": "v0", "variable": {"value": "x" * 64}}]
    entries += [{"name": f"v{n}", "variable": {"jmesPath": f"join('', [v{n - 1}, v{n - 1}])"}} for n in range(1, 64)]
    found = generate([policy(rule(context=entries, generate=target(name="{{ v63 }}"))), SHOP])
    assert [incomplete for _, incomplete in texts(found)] == [True]


def test_a_variable_that_names_itself() -> None:
    trigger = namespace("shop")
    trigger["metadata"]["annotations"] = {"a": "{{ request.object.metadata.annotations.a }}!"}
    found = generate(
        [policy(rule(generate=target(data={"v": "x{{ request.object.metadata.annotations.a }}"}))), trigger]
    )
    assert [incomplete for _, incomplete in texts(found)] == [True]


def test_deep_data() -> None:
    assert len(generate([policy(rule(generate=target(data=deep(200)))), SHOP]).notes) == 1


def test_a_huge_foreach() -> None:
    match = {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}
    inner = {"list": "request.object.data.n | split(@, ',')", **target(name="p-{{ elementIndex }}", namespace="shop")}
    found = generate([policy(rule(match=match, generate={"foreach": [inner]})), config_map("m", n="," * 100_000)])
    assert (found.objects, [incomplete for _, incomplete in texts(found)]) == ((), [True])


def test_many_rules_and_many_namespaces() -> None:
    resources = [resource_of(namespace(f"n{number}")) for number in range(300)]
    resources += [
        resource_of(policy(*(rule(name=f"r{n}", generate=target(name=f"p-{n}")) for n in range(100)), name=f"p{p}"))
        for p in range(3)
    ]
    found = simulate(resources, budget=200_000)
    assert 0 < len(found.objects) < 30_000
    assert [note.text for note in found.notes if note.incomplete] == [
        "the limit for Kyverno rules is reached: this and later policies are not simulated"
    ]


def test_wildcards_do_not_explode() -> None:
    match = {"any": [{"resources": {"kinds": ["Namespace"], "names": ["*a" * 200 + "b"]}}]}
    assert generate([policy(rule(match=match)), namespace("a" * 253)]).objects == ()


WORDS = ["Namespace", "{{", "{{request}}", "*", "[]"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=8,
)
FIELDS = ["any", "all", "resources", "kinds", "names", "namespaces", "selector", "matchLabels", "matchExpressions", "annotations",
          "operations",
          "exclude", "match", "preconditions", "context", "variable", "jmesPath", "value", "key", "operator", "name", "generate", "data",
          "clone",
          "cloneList", "foreach", "list", "namespace", "kind", "apiVersion", "labels", "metadata"]  # fmt: skip
SHAPED = st.recursive(
    JSON,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), children, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["match", "exclude", "preconditions", "context", "generate", "name"]), SHAPED)
def test_any_field_may_be_anything(field: str, value: Any) -> None:
    before, after = generate([policy(), SHOP]), generate([policy(rule(**{field: value})), SHOP])
    compare_generated(before, after)


@given(
    st.sampled_from(
        ["data", "clone", "cloneList", "foreach", "name", "namespace", "kind", "apiVersion", "synchronize"]
    ),
    SHAPED,
)
def test_any_field_of_a_target_may_be_anything(field: str, value: Any) -> None:
    generate([policy(rule(generate=target(**{field: value}))), SHOP])


@given(SHAPED, SHAPED)
def test_any_object_may_be_anything(metadata: Any, spec: Any) -> None:
    generate(
        [
            policy(),
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
            {"apiVersion": "kyverno.io/v1", "kind": "Policy", "spec": spec},
        ]
    )


@given(SHAPED)
def test_any_generating_policy(spec: Any) -> None:
    generate(
        [
            {
                "apiVersion": "policies.kyverno.io/v1",
                "kind": "GeneratingPolicy",
                "metadata": {"name": "p"},
                "spec": spec,
            },
            SHOP,
        ]
    )
