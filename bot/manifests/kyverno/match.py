"""A rule's match and exclude blocks and a resource in; whether the rule fires for it out.

Follows MatchesResourceDescription (kyverno pkg/engine/utils/match.go). The answer is None where it depends on who makes
the request: roles, clusterRoles and subjects are facts of a cluster's users, not of a repository.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bot.manifests.kyverno.model import (
    Resource,
    items,
    mapping,
    match_wildcard,
    parse_kind,
    string_map,
    strings,
    text_of,
)

OPERATION = "CREATE"
"""The simulated request: the object is created."""

_USER_FIELDS = ("roles", "clusterRoles", "subjects")
_SELECTORS = ("selector", "namespaceSelector")  # an empty selector is not an absent one: it selects everything


def rule_matches(
    rule: Mapping[str, Any], resource: Resource, namespace_labels: Mapping[str, str], policy_namespace: str
) -> bool | None:
    """Whether a rule of a policy in `policy_namespace` ('' for a ClusterPolicy) fires when `resource` is created."""
    if policy_namespace and policy_namespace != resource.namespace:
        return False
    matched = block_matches(mapping(rule.get("match")), resource, namespace_labels)
    if matched is False:
        return False
    excluded = _excluded(mapping(rule.get("exclude")), resource, namespace_labels)
    if excluded:
        return False
    return None if matched is None or excluded is None else True


def block_matches(block: Mapping[str, Any], resource: Resource, namespace_labels: Mapping[str, str]) -> bool | None:
    """Whether a match block (`any`, `all`, or the old form with `resources` alone) selects the resource."""
    any_of, all_of = items(block.get("any")), items(block.get("all"))
    if any_of:
        return _any_true(_filter_matches(mapping(entry), resource, namespace_labels) for entry in any_of)
    if all_of:
        return _all_true(_filter_matches(mapping(entry), resource, namespace_labels) for entry in all_of)
    return _filter_matches(block, resource, namespace_labels)


def _excluded(block: Mapping[str, Any], resource: Resource, namespace_labels: Mapping[str, str]) -> bool | None:
    # An empty filter matches nothing on this side as well, so an absent exclude block excludes nothing.
    return block_matches(block, resource, namespace_labels) if block else False


def _any_true(answers: Iterable[bool | None]) -> bool | None:
    result: bool | None = False
    for answer in answers:
        if answer:
            return True
        if answer is None:
            result = None
    return result


def _all_true(answers: Iterable[bool | None]) -> bool | None:
    result: bool | None = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            result = None
    return result


def _filter_matches(entry: Mapping[str, Any], resource: Resource, namespace_labels: Mapping[str, str]) -> bool | None:
    description = mapping(entry.get("resources"))
    by_user = any(entry.get(field) for field in _USER_FIELDS)
    if not any(value or (value is not None and field in _SELECTORS) for field, value in description.items()):
        return None if by_user else False
    if not _description_matches(description, resource, namespace_labels):
        return False
    return None if by_user else True


def _description_matches(
    description: Mapping[str, Any], resource: Resource, namespace_labels: Mapping[str, str]
) -> bool:
    operations = strings(description.get("operations"))
    if operations and OPERATION not in operations:
        return False
    kinds = strings(description.get("kinds"))
    if kinds and not any(parse_kind(kind).matches(resource) for kind in kinds):
        return False
    name = text_of(description.get("name"))
    if name and not match_wildcard(name, resource.name):
        return False
    names = strings(description.get("names"))
    if names and not any(match_wildcard(pattern, resource.name) for pattern in names):
        return False
    namespaces = strings(description.get("namespaces"))
    if namespaces:
        # The namespace of a Namespace is its own name.
        own = resource.name if resource.kind == "Namespace" else resource.namespace
        if not any(match_wildcard(pattern, own) for pattern in namespaces):
            return False
    annotations = string_map(description.get("annotations"))
    if not all(
        any(match_wildcard(key, k) and match_wildcard(value, v) for k, v in resource.annotations.items())
        for key, value in annotations.items()
    ):
        return False
    selector = description.get("selector")
    if selector is not None and not selector_matches(selector, resource.labels):
        return False
    namespace_selector = description.get("namespaceSelector")
    if namespace_selector is not None:
        if resource.kind == "Namespace":
            return False
        return selector_matches(namespace_selector, namespace_labels)
    return True


def selector_matches(selector: Any, labels: Mapping[str, str], wildcards: bool = True) -> bool:
    """A LabelSelector against labels; with `wildcards`, matchLabels may hold `*` and `?` in keys and values. An invalid
    selector matches nothing."""
    if not isinstance(selector, dict):
        return False
    for key, value in mapping(selector.get("matchLabels")).items():
        if not isinstance(value, str):
            return False
        if wildcards and any(character in key + value for character in "*?"):
            if not any(match_wildcard(key, k) and match_wildcard(value, v) for k, v in labels.items()):
                return False
        elif labels.get(key) != value:
            return False
    return all(_requirement(mapping(entry), labels) for entry in items(selector.get("matchExpressions")))


def _requirement(entry: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, values = text_of(entry.get("key")), entry.get("operator"), strings(entry.get("values"))
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return bool(values) and labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    return operator == "DoesNotExist" and key not in labels
