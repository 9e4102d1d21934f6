"""What differs between two sides in; out, the policies of other namespaces of which it can make a finding, though nothing there differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bot.lint.matching import namespaces_of, without_ports
from bot.lint.near import holds, labels_asked
from bot.policies.model import Label

if TYPE_CHECKING:
    from bot.lint.matching import Pods
    from bot.manifests.snapshot import Object, Snapshot, Workload
    from bot.policies.model import Expr, Policy

_DIRECTIONS = {"ingress": "egress", "egress": "ingress"}
_DEEPEST = 12


def peers_of(policy: Policy) -> Iterator[tuple[str, str, Expr]]:
    """(direction, action, the pods at the other end) of each rule."""
    for section in policy.sections:
        if section.checkpoint in _DIRECTIONS:
            for rule in section.rules:
                other = rule.destination if section.checkpoint == "egress" else rule.source
                yield section.checkpoint, rule.action, without_ports(other)


def by_label(policies: Iterable[Policy], pods: Sequence[Workload], appearing: frozenset[str]) -> list[Policy]:
    """Those with a peer of their own namespace that one of these pods would match by its labels, were it not in another.

    `appearing`: label keys that only one of the sides has; whoever asks for one may have been waiting for it.
    """
    index: dict[tuple[str, str], list[Workload]] = {}
    for pod in pods:
        for label in pod.labels.items():
            index.setdefault(label, []).append(pod)
    known: dict[Expr, bool] = {}

    def is_met(other: Expr) -> bool:
        asked = labels_asked(other) or []
        if any(isinstance(part, Label) and part.key in appearing for part in asked):
            return True
        named = namespaces_of(other)
        if not asked or named is None or len(named) != 1:
            return False
        first = next((part for part in asked if isinstance(part, Label) and part.operator == "in"), None)
        among = pods if first is None else [pod for value in first.values for pod in index.get((first.key, value), ())]
        return any(all(holds(part, pod.labels) for part in asked) for pod in among)

    return _having(policies, known, is_met)


def without_namespace(policies: Iterable[Policy], sides: tuple[Snapshot, Snapshot]) -> list[Policy]:
    """Those with a peer that looks into no namespace on one of the sides."""
    labels: tuple[dict[tuple[str, str], set[str]], ...] = ({}, {})
    for side, own in zip(sides, labels, strict=True):
        for name, one in side.namespaces.items():
            for label in one.labels.items():
                own.setdefault(label, set()).add(name)
    spaces: dict[tuple[Expr, ...], bool] = {}

    def is_lost(other: Expr) -> bool:
        named = namespaces_of(other)
        if named is not None:
            return any(all(name not in side.namespaces for name in named) for side in sides)
        asked = tuple(labels_asked(other, "namespace") or ())
        if asked and asked not in spaces:
            spaces[asked] = any(not _look_into(asked, side, own) for side, own in zip(sides, labels, strict=True))
        return bool(asked) and spaces[asked]

    return _having(policies, {}, is_lost)


def _look_into(asked: tuple[Expr, ...], side: Snapshot, labels: Mapping[tuple[str, str], set[str]]) -> bool:
    among: Iterable[str] = side.namespaces
    first = next((part for part in asked if isinstance(part, Label) and part.operator == "in"), None)
    if first is not None:
        among = [name for value in first.values for name in labels.get((first.key, value), ())]
    return any(all(holds(part, side.namespaces[name].labels) for part in asked) for name in among)


def _having(policies: Iterable[Policy], known: dict[Expr, bool], wanted: Any) -> list[Policy]:
    out = []
    for policy in policies:
        for _, _, other in peers_of(policy):
            if other not in known:
                known[other] = wanted(other)
            if known[other]:
                out.append(policy)
                break
    return out


def other_halves(
    policies: Iterable[Policy], differing: Sequence[Policy], pods: tuple[Pods, Pods], sides: tuple[Snapshot, Snapshot]
) -> list[Policy]:
    """Those that allow something to or from pods whose own policies differ in the direction that is the other half of it."""
    ruled: dict[str, dict[str, dict[int, Workload]]] = {direction: {} for direction in _DIRECTIONS}
    for policy in differing:
        for section in policy.sections:
            if section.checkpoint in _DIRECTIONS:
                rules = [rule for rule in section.rules if rule.action == "allow"]
                ends = [rule.source if section.checkpoint == "egress" else rule.destination for rule in rules]
                ends += [one.source if section.checkpoint == "egress" else one.destination for one in section.isolates]
                for expr in dict.fromkeys(map(without_ports, ends)):
                    for side in pods:
                        for pod in side.selected(expr):
                            ruled[section.checkpoint].setdefault(pod.namespace, {})[id(pod)] = pod
    if not any(ruled.values()):
        return []
    known: dict[tuple[str, Expr], bool] = {}
    out = []
    for policy in policies:
        for direction, action, other in peers_of(policy):
            at = direction, other
            if action == "allow" and at not in known:
                known[at] = _selects(other, ruled[_DIRECTIONS[direction]], sides)
            if action == "allow" and known[at]:
                out.append(policy)
                break
    return out


def _selects(other: Expr, pods: Mapping[str, Mapping[int, Workload]], sides: tuple[Snapshot, Snapshot]) -> bool:
    asked = labels_asked(other)
    if not asked:
        return False
    named = namespaces_of(other)
    spaces = labels_asked(other, "namespace") or ()
    for namespace, own in pods.items():
        if named is not None and namespace not in named:
            continue
        labels = [side.namespaces[namespace].labels for side in sides if namespace in side.namespaces]
        if spaces and not any(all(holds(part, one) for part in spaces) for one in labels):
            continue
        if any(all(holds(part, pod.labels) for part in asked) for pod in own.values()):
            return True
    return False


def named_in(obj: Object, namespaces: Iterable[str]) -> set[str]:
    """The namespaces that an object of the cluster speaks of by their names."""
    known = set(namespaces)
    out: set[str] = set()

    def walk(value: Any, depth: int) -> None:
        if depth > _DEEPEST:
            return
        if type(value) is dict:
            name = value.get("namespace")
            if type(name) is str and name in known:
                out.add(name)
            for inner in value.values():
                walk(inner, depth + 1)
        elif type(value) is list:
            for inner in value:
                walk(inner, depth + 1)

    walk(obj.value, 0)
    return out
