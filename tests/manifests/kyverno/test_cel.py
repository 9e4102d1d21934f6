"""GeneratingPolicies."""

from __future__ import annotations

from typing import Any

import pytest

from bot.manifests.kyverno import compare_generated, generate
from tests.manifests.kyverno.objects import made, namespace, network_policy, texts

pytest.importorskip("celpy")

SHOP = namespace("shop", env="prod")
DENY = """[{"apiVersion": dyn("networking.k8s.io/v1"), "kind": dyn("NetworkPolicy"), "metadata": dyn({"name": "deny"}),
    "spec": dyn({"podSelector": dyn({}), "policyTypes": dyn(["Ingress", "Egress"])})}]"""
APPLY = f"generator.Apply(object.metadata.name, {DENY})"
RULES = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["namespaces"]}]


def policy(
    *expressions: str, namespace: str = "", constraints: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    metadata = {"name": "p", **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": "policies.kyverno.io/v1",
        "kind": "NamespacedGeneratingPolicy" if namespace else "GeneratingPolicy",
        "metadata": metadata,
        "spec": {
            "matchConstraints": constraints or {"resourceRules": RULES},
            "generate": [{"expression": expression} for expression in expressions or [APPLY]],
            **spec,
        },
    }


def test_generates() -> None:
    (each,) = generate([policy(), SHOP]).objects
    assert each.value == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
    assert each.rule_origin.path == ("spec",)


@pytest.mark.parametrize(
    ("constraints", "names"),
    [
        ({"resourceRules": RULES}, ["dev", "shop"]),
        (
            {
                "resourceRules": [
                    {**RULES[0], "resources": ["*"], "apiVersions": ["*"], "apiGroups": ["*"], "operations": ["*"]}
                ]
            },
            ["dev", "p", "shop"],
        ),
        ({"resourceRules": [{**RULES[0], "resources": ["pods"]}]}, []),
        ({"resourceRules": [{**RULES[0], "operations": ["UPDATE"]}]}, []),
        ({"resourceRules": [{**RULES[0], "resourceNames": ["dev"]}]}, ["dev"]),
        ({"resourceRules": [{**RULES[0], "scope": "Namespaced"}]}, []),
        ({"resourceRules": [{**RULES[0], "scope": "Cluster"}]}, ["dev", "shop"]),
        ({"resourceRules": RULES, "excludeResourceRules": [{**RULES[0], "resourceNames": ["dev"]}]}, ["shop"]),
        ({"resourceRules": RULES, "objectSelector": {"matchLabels": {"env": "prod"}}}, ["shop"]),
        ({"resourceRules": RULES, "namespaceSelector": {"matchLabels": {"env": "prod"}}}, ["shop"]),
        ({"matchPolicy": "Equivalent"}, []),
    ],
)
def test_match_constraints(constraints: dict[str, Any], names: list[str]) -> None:
    found = generate([policy(constraints=constraints), SHOP, namespace("dev")])
    assert sorted(each.key[2] for each in found.objects) == names


@pytest.mark.parametrize(
    ("expressions", "count"),
    [
        (["object.metadata.name == 'shop'"], 1), (["object.metadata.labels.env == 'dev'"], 0), (["request.operation == 'CREATE'"], 1),
        (["oldObject == null"], 1), (["true", "false"], 0), (["object.metadata.nothing == 'x'", "false"], 0),
    ],
)  # fmt: skip
def test_match_conditions(expressions: list[str], count: int) -> None:
    conditions = [{"name": f"c{number}", "expression": text} for number, text in enumerate(expressions)]
    found = generate([policy(matchConditions=conditions), SHOP])
    assert (len(found.objects), texts(found)) == (count, [])


def test_variables() -> None:
    variables = [
        {"name": "ns", "expression": "object.metadata.name"},
        {"name": "two", "expression": "variables.ns + '-two'"},
    ]
    expression = f"generator.Apply(variables.two, {DENY})"
    assert made(generate([policy(expression, variables=variables), SHOP])) == ["NetworkPolicy shop-two/deny"]


def test_a_broken_variable_matters_where_it_is_named() -> None:
    variables = [{"name": "bad", "expression": "object.metadata.nothing"}]
    assert made(generate([policy(variables=variables), SHOP])) == ["NetworkPolicy shop/deny"]
    found = generate([policy(f"generator.Apply(variables.bad, {DENY})", variables=variables), SHOP])
    assert (found.objects, [incomplete for _, incomplete in texts(found)]) == ((), [False])


def test_resource_get() -> None:
    variables = [
        {"name": "source", "expression": "resource.Get('networking.k8s.io/v1', 'networkpolicies', 'lib', 'source')"}
    ]
    written = policy("generator.Apply(object.metadata.name, [variables.source])", variables=variables)
    assert made(generate([written, SHOP, network_policy("source", "lib")])) == ["NetworkPolicy shop/source"]
    assert [incomplete for _, incomplete in texts(generate([written, SHOP]))] == [True]


@pytest.mark.parametrize(
    "expression",
    [
        "generator.Apply(object.metadata.name, [http.Get('http://x').networkpolicy])", "nothing.Apply('networkpolicy')",
        "generator.Apply('networkpolicies')",
        "generator.Apply(", "resource.List('v1', 'networkpolicies', 'x')", "generator.Apply(request.userInfo.username, [])//networkpolicy",
    ],
)  # fmt: skip
def test_what_is_not_simulated(expression: str) -> None:
    found = generate([policy(expression), SHOP])
    assert found.objects == ()
    assert len(found.notes) == 1


def test_trailing_commas() -> None:
    expression = """generator.Apply(object.metadata.name, [{"apiVersion": dyn("v1"), "kind": dyn("ConfigMap"),
        "metadata": dyn({"name": "a", }), "data": dyn({"k": ",}", 'l': r'x\\,]', "m": \"\"\"a,}\"\"\",}), },])"""
    (each,) = generate([policy(expression), SHOP]).objects
    assert each.value["data"] == {"k": ",}", "l": "x\\,]", "m": "a,}"}


def test_templates_are_not_simulated() -> None:
    found = generate([policy(generate=[{"template": {"value": "kind: NetworkPolicy"}}]), SHOP])
    assert texts(found) == [("not simulated: generation templates are not simulated (for Namespace shop)", True)]


def test_other_kinds_are_notes() -> None:
    found = generate([policy("generator.Apply(object.metadata.name, resource.List('v1', 'secrets', 'x').items)"), SHOP])
    assert [incomplete for _, incomplete in texts(found)] == [False]


def test_a_namespaced_policy() -> None:
    rules = [{**RULES[0], "resources": ["configmaps"]}]
    maps = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": n, "namespace": n}} for n in ("shop", "dev")]
    written = policy(f"generator.Apply('', {DENY})", namespace="shop", constraints={"resourceRules": rules})
    assert made(generate([written, *maps])) == ["NetworkPolicy shop/deny"]
    written = policy(f"generator.Apply('dev', {DENY})", namespace="shop", constraints={"resourceRules": rules})
    assert made(generate([written, *maps])) == []


def test_settings() -> None:
    evaluation = {
        name: {"enabled": True} for name in ("synchronize", "generateExisting", "orphanDownstreamOnPolicyDelete")
    }
    (each,) = generate([policy(evaluation=evaluation), SHOP]).objects
    assert (each.rule.synchronize, each.rule.generate_existing, each.rule.orphan) == (True, True, True)


def test_a_new_policy_reaches_new_namespaces_only() -> None:
    found = compare_generated(generate([SHOP]), generate([policy(), SHOP, namespace("new")]))
    assert made(found) == ["NetworkPolicy new/deny", "NetworkPolicy shop/deny (new)"]


HOSTILE = [
    "[1,2,3,4,5,6,7,8,9,10]" + "".join(f".map(x{n}, [1,2,3,4,5,6,7,8,9,10]" for n in range(8)) + ")" * 8,
    "+".join(["'aaaaaaaa'"] * 1200),
    "(" * 500 + "1" + ")" * 500,
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.matches('(a+)+$')",
    "1/0", "[][5]", "-" * 300 + "1", "'\\ud800'", "9223372036854775807 + 1", "b'\\xff'", "type(1)", "duration('1s')", "x" * 9000,
]  # fmt: skip


@pytest.mark.parametrize("expression", HOSTILE)
def test_hostile_expressions(expression: str) -> None:
    variables = [{"name": "x", "expression": expression}, {"name": "y", "expression": "variables.x"}]
    found = generate([policy(f"generator.Apply(string(variables.y), {DENY})", variables=variables), SHOP])
    assert found.objects == ()
    assert len(found.notes) == 1


def test_doubling_variables_are_bounded() -> None:
    variables = [{"name": "v0", "expression": "'aaaaaaaaaaaaaaaa'"}]
    variables += [{"name": f"v{n}", "expression": f"variables.v{n - 1} + variables.v{n - 1}"} for n in range(1, 64)]
    found = generate([policy(f"generator.Apply(variables.v63, {DENY})", variables=variables), SHOP])
    assert [incomplete for _, incomplete in texts(found)] == [True]


def test_a_number_beyond_64_bits() -> None:
    trigger = {**SHOP, "spec": {"huge": 2**70}}
    assert len(generate([policy(), trigger]).notes) == 1
