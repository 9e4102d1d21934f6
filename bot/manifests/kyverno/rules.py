"""One ClusterPolicy or Policy and a side in; what its generate rules create, and what a reader must know, added to the side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bot.manifests.kinds import CLUSTER_SCOPED
from bot.manifests.kyverno.conditions import conditions_hold
from bot.manifests.kyverno.context import RuleContext, admission_data
from bot.manifests.kyverno.match import OPERATION, rule_matches, selector_matches
from bot.manifests.kyverno.model import (
    Budget,
    GeneratedObject,
    Resource,
    ResourceKey,
    Rule,
    RuleOrigin,
    Unresolved,
    Unsimulated,
    decides_reachability,
    few,
    items,
    mapping,
    match_wildcard,
    parse_kind,
    resource_of,
    strings,
    text_of,
)
from bot.manifests.kyverno.side import MATCH_COST, RULE_BUDGET, Side
from bot.manifests.kyverno.substitute import substitute

MAX_ELEMENTS = 1_000
"""The most elements of a foreach."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")
_POD_MAKERS = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"})


def run_policy(side: Side, policy: Resource) -> None:
    """Apply every generate rule of a policy to every object of the side."""
    spec = mapping(policy.value.get("spec"))
    fired: set[ResourceKey] = set()
    for index, value in enumerate(items(spec.get("rules"))):
        if not isinstance(value, dict) or value.get("generate") is None:
            continue
        generate = mapping(value["generate"])
        existing = generate.get("generateExisting")
        if not isinstance(existing, bool):
            existing = spec.get("generateExisting") is True or spec.get("generateExistingOnPolicyUpdate") is True
        name = text_of(value.get("name"))
        key = (policy.kind, policy.namespace, policy.name, name)
        operations = _operations(value)
        rule = Rule(
            key,
            value,
            generate.get("synchronize") is True,
            existing,
            generate.get("orphanDownstreamOnPolicyDelete") is True,
            on_update=any(not named or "UPDATE" in named for named in operations),
            clones_one=any(mapping(pattern).get("clone") for pattern in [generate, *items(generate.get("foreach"))]),
        )
        side.rules[key] = rule
        run = _RuleRun(side, policy, rule, RuleOrigin(policy.value, ("spec", "rules", index), name))
        run.all_triggers(fired if spec.get("applyRules") == "One" else None)


class _RuleRun:
    """One generate rule over every trigger of the side."""

    def __init__(self, side: Side, policy: Resource, rule: Rule, origin: RuleOrigin) -> None:
        self._side, self._policy, self._rule, self._origin = side, policy, rule, origin
        generate = mapping(rule.value["generate"])
        foreach = [mapping(entry) for entry in items(generate.get("foreach"))]
        self._patterns = foreach or [generate]
        self._foreach = bool(foreach)
        self._network = any(map(_targets_network, self._patterns))

    def _note(self, text: str, incomplete: bool, trigger: Resource | None = None) -> None:
        self._side.note(self._origin, text, incomplete, trigger)

    def all_triggers(self, fired: set[ResourceKey] | None) -> None:
        """Apply the rule; with `fired` (applyRules: One), only to triggers that no earlier rule fired for."""
        rule = self._rule.value
        if rule.get("celPreconditions"):
            self._note("celPreconditions are not simulated: the rule is left out", self._network)
            return
        self._static_notes()
        for trigger in self._candidates():
            self._side.spend(MATCH_COST)
            if fired is not None and trigger.key in fired:
                continue
            matched = rule_matches(rule, trigger, self._side.labels_of_namespace(trigger), self._policy.namespace)
            if matched is None:
                text = "whether the rule applies depends on who makes the request (roles, clusterRoles, subjects)"
                self._note(text, self._network, trigger)
            elif matched and self._fire(trigger) and fired is not None:
                fired.add(trigger.key)

    def _static_notes(self) -> None:
        rule, side = self._rule.value, self._side
        entries = filters(mapping(rule.get("match")))
        operations = _operations(rule)
        if operations and all(named and OPERATION not in named for named in operations):
            self._note("the rule does not fire when an object is created: nothing is generated", False)
        kinds = [kind for entry in entries for kind in strings(mapping(entry.get("resources")).get("kinds"))]
        if any(parse_kind(kind).kind == "Pod" for kind in kinds) and _POD_MAKERS & side.kinds:
            self._note("the rule fires for Pods: those that controllers create are not simulated", self._network)
        if unread := [kind for kind in sorted(side.unread_kinds) if any(parse_kind(k).names(kind) for k in kinds)]:
            self._note(f"the rule fires for objects that are not read: {few(unread)}", self._network)
        policy_name = f"{self._policy.namespace}/{self._policy.name}" if self._policy.namespace else self._policy.name
        for exception in side.exceptions:
            for entry in items(mapping(exception.value.get("spec")).get("exceptions")):
                named = strings(mapping(entry).get("ruleNames"))
                if mapping(entry).get("policyName") == policy_name and any(
                    match_wildcard(pattern, self._origin.name) for pattern in named
                ):
                    self._note(f"{exception} exempts from this rule: exceptions are not simulated", self._network)

    def _candidates(self) -> Iterable[Resource]:
        entries = filters(mapping(self._rule.value.get("match")))
        kinds: set[str] = set()
        for entry in entries:
            named = strings(mapping(entry.get("resources")).get("kinds"))
            if not named:
                return self._side.resources
            kinds.update(parse_kind(kind).kind for kind in named)
        if any(character in kind for kind in kinds for character in "*?"):
            return self._side.resources
        if len(kinds) == 1:
            return self._side.by_kind.get(kinds.pop(), ())
        return [resource for resource in self._side.resources if resource.kind in kinds]

    def _fire(self, trigger: Resource) -> bool:
        """Apply the rule to a trigger it matches; whether its preconditions hold."""
        budget = Budget(RULE_BUDGET)
        rule = self._rule.value
        try:
            context = RuleContext(admission_data(trigger), items(rule.get("context")), budget)
            if not conditions_hold(rule.get("preconditions"), context.resolve, budget):
                return False
            if not self._foreach:
                self._target(self._patterns[0], context, trigger, budget)
                return True
        except (Unresolved, Unsimulated) as problem:
            self._problem(problem, trigger)
            return True
        finally:
            self._side.spend(RULE_BUDGET - max(budget.left, 0))
        for pattern in self._patterns:
            self._each(pattern, context, trigger, budget)
        return True

    def _each(self, pattern: Mapping[str, Any], context: RuleContext, trigger: Resource, budget: Budget) -> None:
        before = budget.left
        try:
            found = context.resolve(text_of(pattern.get("list")))
            elements = found if isinstance(found, list) else [found]
            if len(elements) > MAX_ELEMENTS:
                raise Unsimulated(f"a foreach has more than {MAX_ELEMENTS} elements")
        except (Unresolved, Unsimulated) as problem:
            self._problem(problem, trigger)
            return
        for index, element in enumerate(elements):
            if element is None:
                continue
            inner = context.with_element(element, index, items(pattern.get("context")))
            try:
                if conditions_hold(pattern.get("preconditions"), inner.resolve, budget):
                    self._target(pattern, inner, trigger, budget)
            except (Unresolved, Unsimulated) as problem:
                self._problem(problem, trigger)
                if budget.left < 0:
                    break
        self._side.spend(before - max(budget.left, 0))

    def _problem(self, problem: Unresolved | Unsimulated, trigger: Resource) -> None:
        if isinstance(problem, Unsimulated):
            self._note(f"not simulated: {problem}", self._network, trigger)
        else:
            # For a namespace that no file declares, the missing key may be one of its unknown labels.
            self._note(f"Kyverno generates nothing: {problem}", self._network and trigger.implied, trigger)

    def _target(self, pattern: Mapping[str, Any], context: RuleContext, trigger: Resource, budget: Budget) -> None:
        fields = {field: pattern[field] for field in _TARGET_FIELDS if pattern.get(field) is not None}
        target = substitute(fields, context.resolve, budget)
        api_version, kind, name, namespace = (
            _text_field(target, field) for field in ("apiVersion", "kind", "name", "namespace")
        )
        clone, clone_list = mapping(target.get("clone")), mapping(target.get("cloneList"))
        if _text_field(clone, "name"):
            group = api_version.rpartition("/")[0]
            source_key = (group, kind, "" if kind in CLUSTER_SCOPED else _text_field(clone, "namespace"), clone["name"])
            source = self._side.by_key.get(source_key)
            if (source_key[2], source_key[3]) == (namespace, name):
                return
            if source is None:
                raise Unsimulated(f"the clone source {kind} {source_key[2]}/{source_key[3]} is not in what was read")
            self._emit(_copy(source), api_version, kind, name, namespace, trigger, source.key)
        elif clone_list.get("kinds"):
            self._clone_list(clone_list, namespace, trigger)
        elif target.get("data") is not None:
            data = target["data"]
            if not isinstance(data, dict):
                raise Unresolved("data is no mapping")
            self._emit(data, api_version, kind, name, namespace, trigger, None)
        else:
            raise Unresolved("the rule has neither data nor a clone source")

    def _clone_list(self, clone_list: Mapping[str, Any], namespace: str, trigger: Resource) -> None:
        source_namespace = _text_field(clone_list, "namespace")
        selector = clone_list.get("selector")
        for text in strings(clone_list.get("kinds")):
            kind = parse_kind(text)
            found = [
                source
                for source in self._side.by_kind.get(kind.kind, ())
                if kind.matches(source)
                and source.namespace == source_namespace
                and (selector is None or selector_matches(selector, source.labels, wildcards=False))
            ]
            if not found:
                self._note(f"no {text} to clone is in namespace {source_namespace} of the repository", self._network)
            for source in found:
                if source.namespace != namespace:
                    api_version = text_of(source.value.get("apiVersion"))
                    self._emit(_copy(source), api_version, source.kind, source.name, namespace, trigger, source.key)

    def _emit(
        self,
        data: Mapping[str, Any],
        api_version: str,
        kind: str,
        name: str,
        namespace: str,
        trigger: Resource,
        source: ResourceKey | None,
    ) -> None:
        labels = {
            **mapping(mapping(data.get("metadata")).get("labels")),
            "app.kubernetes.io/managed-by": "kyverno",
            "generate.kyverno.io/policy-name": self._policy.name,
            "generate.kyverno.io/policy-namespace": self._policy.namespace,
            "generate.kyverno.io/rule-name": self._origin.name,
            "generate.kyverno.io/trigger-group": trigger.group,
            "generate.kyverno.io/trigger-version": trigger.version,
            "generate.kyverno.io/trigger-kind": trigger.kind,
            # As `kyverno apply` writes it: a cluster-scoped trigger counts as one of namespace default.
            "generate.kyverno.io/trigger-namespace": trigger.namespace or "default",
            "generate.kyverno.io/trigger-uid": "",
        }
        value = finished(data, api_version, kind, name, namespace, self._policy.namespace)
        value["metadata"]["labels"] = labels
        made = GeneratedObject(
            value, resource_of(value).key, self._origin, self._rule, str(trigger), trigger.key, source
        )
        self._side.emit(made, trigger)


_TARGET_FIELDS = ("apiVersion", "kind", "name", "namespace", "data", "clone", "cloneList")


def finished(
    data: Mapping[str, Any], api_version: str, kind: str, name: str, namespace: str, policy_namespace: str
) -> dict[str, Any]:
    """`data` as the object the API server would accept; raises Unresolved where it would not."""
    kind = text_of(data.get("kind")) or kind
    if not api_version or not kind:
        raise Unresolved("the target has no apiVersion or kind")
    if len(name) > 253 or not _NAME.match(name):
        raise Unresolved(f"'{name[:60]}' is no valid name")
    metadata: dict[str, Any] = {**mapping(data.get("metadata")), "name": name}
    metadata.pop("namespace", None)
    if kind not in CLUSTER_SCOPED:
        if len(namespace) > 63 or not _NAME.match(namespace):
            raise Unresolved(
                f"'{namespace[:60]}' is no valid namespace" if namespace else "the target has no namespace"
            )
        metadata["namespace"] = namespace
    if policy_namespace and metadata.get("namespace") != policy_namespace:
        raise Unresolved(f"a policy in namespace {policy_namespace} generates only there")
    return {**data, "apiVersion": api_version, "kind": kind, "metadata": metadata}


def _copy(source: Resource) -> dict[str, Any]:
    """A clone source without what a copy does not take over."""
    dropped = ("uid", "selfLink", "creationTimestamp", "managedFields", "resourceVersion", "ownerReferences")
    metadata = {k: v for k, v in mapping(source.value.get("metadata")).items() if k not in dropped}
    return {**source.value, "metadata": metadata}


def filters(match: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The filters of a match block, whatever its form."""
    entries = items(match.get("any")) or items(match.get("all")) or [match]
    return [mapping(entry) for entry in entries]


def _operations(rule: Mapping[str, Any]) -> list[list[str]]:
    """The operations that each filter of a rule's match block names."""
    return [strings(mapping(entry.get("resources")).get("operations")) for entry in filters(mapping(rule.get("match")))]


def _targets_network(pattern: Mapping[str, Any]) -> bool:
    clone_list = mapping(pattern.get("cloneList"))
    if clone_list.get("kinds"):
        for text in strings(clone_list["kinds"]):
            kind = parse_kind(text)
            if decides_reachability("" if kind.group == "*" else f"{kind.group}/{kind.version}", kind.kind):
                return True
        return False
    return decides_reachability(text_of(pattern.get("apiVersion")), text_of(pattern.get("kind")))


def _text_field(target: Mapping[str, Any], field: str) -> str:
    value = target.get(field)
    if value is not None and not isinstance(value, str):
        raise Unresolved(f"{field} is no string")
    return value or ""
