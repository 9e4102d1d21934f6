"""A GeneratingPolicy (CEL, policies.kyverno.io) and the objects of a side in; what it creates out.

Semantics: kyverno pkg/cel/policies/gpol, and https://kyverno.io/docs/policy-types/generating-policy/. Of Kyverno's CEL
libraries, generator.Apply and resource.Get are there; an expression that needs another one is not simulated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.manifests.kinds import CLUSTER_SCOPED
from bot.manifests.kyverno.context import admission_data
from bot.manifests.kyverno.match import OPERATION, selector_matches
from bot.manifests.kyverno.model import (
    Budget,
    GeneratedObject,
    Resource,
    Rule,
    RuleOrigin,
    Unresolved,
    Unsimulated,
    few,
    items,
    mapping,
    resource_of,
    strings,
    text_of,
    walk_strings,
)
from bot.manifests.kyverno.rules import finished
from bot.manifests.kyverno.side import MATCH_COST, RULE_BUDGET, Side

if TYPE_CHECKING:
    from bot.manifests.kyverno.cel_engine import Expressions

_NETWORK = re.compile(r"networkpolic|networkset|cidrgroup", re.IGNORECASE)


def run_generating_policy(side: Side, policy: Resource) -> None:
    """Apply one GeneratingPolicy or NamespacedGeneratingPolicy to every object of the side."""
    spec = mapping(policy.value.get("spec"))
    evaluation = mapping(spec.get("evaluation"))
    key = (policy.kind, policy.namespace, policy.name, "")
    resource_rules = items(mapping(spec.get("matchConstraints")).get("resourceRules"))
    rule = Rule(
        key,
        spec,
        mapping(evaluation.get("synchronize")).get("enabled") is True,
        mapping(evaluation.get("generateExisting")).get("enabled") is True,
        mapping(evaluation.get("orphanDownstreamOnPolicyDelete")).get("enabled") is True,
        on_update=any({"UPDATE", "*"} & set(strings(mapping(entry).get("operations"))) for entry in resource_rules),
        clones_one=False,
    )
    side.rules[key] = rule
    origin = RuleOrigin(policy.value, ("spec",), policy.name)
    network = any(_NETWORK.search(text) for text in walk_strings(spec))
    for exception in side.exceptions:
        for reference in items(mapping(exception.value.get("spec")).get("policyRefs")):
            if mapping(reference).get("name") == policy.name:
                side.note(origin, f"{exception} exempts from this policy: exceptions are not simulated", network)
    constraints = mapping(spec.get("matchConstraints"))
    if unread := [kind for kind in sorted(side.unread_kinds) if may_select(constraints, kind)]:
        side.note(origin, f"the policy fires for objects that are not read: {few(unread)}", network)
    engine: Expressions | None = None
    for trigger in side.resources:
        side.spend(MATCH_COST)
        if not _constraints_match(constraints, trigger, side, policy.namespace):
            continue
        budget = Budget(RULE_BUDGET)
        try:
            if engine is None:
                engine = _engine()
            for data, namespace in _evaluate(engine, spec, trigger, side, budget):
                if policy.namespace and namespace not in ("", policy.namespace):
                    raise Unresolved(f"a policy in namespace {policy.namespace} generates only there")
                value = finished(
                    data,
                    text_of(data.get("apiVersion")),
                    text_of(data.get("kind")),
                    text_of(mapping(data.get("metadata")).get("name")),
                    namespace or policy.namespace,
                    policy.namespace,
                )
                made = GeneratedObject(value, resource_of(value).key, origin, rule, str(trigger), trigger.key)
                side.emit(made, trigger)
        except Unsimulated as problem:
            side.note(origin, f"not simulated: {problem}", network, trigger)
        except Unresolved as problem:
            side.note(origin, f"Kyverno generates nothing: {problem}", network and trigger.implied, trigger)
        finally:
            side.spend(RULE_BUDGET - max(budget.left, 0))


def _engine() -> Expressions:
    try:
        from bot.manifests.kyverno.cel_engine import Expressions
    except ImportError:
        raise Unsimulated("CEL expressions need cel-python") from None
    return Expressions()


def _evaluate(
    engine: Expressions, spec: Mapping[str, Any], trigger: Resource, side: Side, budget: Budget
) -> list[tuple[dict[str, Any], str]]:
    """What the policy generates for one trigger: (object, namespace)."""
    request = admission_data(trigger)["request"]
    if any("userInfo" in text for text in walk_strings(spec)):
        raise Unsimulated("it reads who makes the request")
    namespace = side.by_key.get(("", "Namespace", "", trigger.namespace))
    names = {
        "object": request["object"],
        "oldObject": None,
        "namespaceObject": namespace.value if namespace else None,
        "request": {field: request[field] for field in ("name", "namespace", "operation", "kind")},
    }
    made: list[tuple[dict[str, Any], str]] = []
    run = engine.run(names, lambda *key: _get(side, *key), made, budget)
    problem: Unresolved | None = None
    for condition in items(spec.get("matchConditions")):
        try:
            if run.evaluate(text_of(mapping(condition).get("expression"))) is not True:
                return []
        except Unresolved as failure:
            problem = failure
    if problem is not None:
        raise problem
    for variable in items(spec.get("variables")):
        run.define(text_of(mapping(variable).get("name")), text_of(mapping(variable).get("expression")))
    for entry in map(mapping, items(spec.get("generate"))):
        if entry.get("template") is not None:
            raise Unsimulated("generation templates are not simulated")
        run.evaluate(text_of(entry.get("expression")))
    return made


def _get(side: Side, api_version: str, plural: str, namespace: str, name: str) -> dict[str, Any]:
    group, _, version = api_version.rpartition("/")
    for resource in side.resources:
        if (
            (resource.name, resource.group, resource.version) == (name, group, version)
            and _plural(resource.kind) == plural
            and (resource.kind in CLUSTER_SCOPED or resource.namespace == namespace)
        ):
            return dict(resource.value)
    raise Unsimulated(f"{plural} {namespace}/{name} is not in what was read")


def _plural(kind: str) -> str:
    """The resource name of a kind, guessed as Kubernetes' UnsafeGuessKindToResource does."""
    name = kind.lower()
    if name == "endpoints":
        return name
    if name.endswith("s"):
        return name + "es"
    return name[:-1] + "ies" if name.endswith("y") else name + "s"


def may_select(constraints: Mapping[str, Any], kind: str) -> bool:
    """Whether matchConstraints name the kind."""
    named = {
        name for rule in items(constraints.get("resourceRules")) for name in strings(mapping(rule).get("resources"))
    }
    return bool({"*", "*/*", _plural(kind)} & named)


def _constraints_match(constraints: Mapping[str, Any], trigger: Resource, side: Side, policy_namespace: str) -> bool:
    """matchConstraints, as Kubernetes' admission MatchResources reads it."""
    if policy_namespace and policy_namespace != trigger.namespace:
        return False
    rules, excluded = (items(constraints.get(field)) for field in ("resourceRules", "excludeResourceRules"))
    if not any(_resource_rule(mapping(rule), trigger) for rule in rules):
        return False
    if any(_resource_rule(mapping(rule), trigger) for rule in excluded):
        return False
    selector = constraints.get("objectSelector")
    if selector and not selector_matches(selector, trigger.labels, wildcards=False):
        return False
    selector = constraints.get("namespaceSelector")
    if not selector or (not trigger.namespace and trigger.kind != "Namespace"):
        return True
    # A Namespace is selected by its own labels, any other cluster-scoped object always.
    labels = trigger.labels if trigger.kind == "Namespace" else side.labels_of_namespace(trigger)
    return selector_matches(selector, labels, wildcards=False)


def _resource_rule(rule: Mapping[str, Any], trigger: Resource) -> bool:
    def listed(field: str, value: str) -> bool:
        return bool({"*", value} & set(strings(rule.get(field))))

    names = strings(rule.get("resourceNames"))
    scope = rule.get("scope")
    return (
        listed("apiGroups", trigger.group)
        and listed("apiVersions", trigger.version)
        and listed("operations", OPERATION)
        and (listed("resources", _plural(trigger.kind)) or "*/*" in strings(rule.get("resources")))
        and (not names or trigger.name in names)
        and (scope in (None, "*") or (scope == "Namespaced") == bool(trigger.namespace))
    )
