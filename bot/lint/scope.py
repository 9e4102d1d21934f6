"""Both sides in; out, the namespaces whose mistakes a change can add or mend, and the part of both sides that judging them takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.lint.matching import namespaces_of, without_ports
from bot.lint.near import labels_asked
from bot.manifests.snapshot import Snapshot
from bot.reachability.exposures import CONTROLLERS

if TYPE_CHECKING:
    from bot.lint.matching import Pods
    from bot.policies.model import Chain, Expr, Lowered, Policy

_WITHOUT_EFFECT = frozenset({"ClusterRole", "CustomResourceDefinition", "StorageClass", "PersistentVolume", "PriorityClass"})
_SYSTEM = "kube-system"
_CALLERS = frozenset({*CONTROLLERS, "prometheus"})
_EACH = 3
MOST_POLICIES = 1_000


class Scope(NamedTuple):
    """`reported`: the namespaces that findings are told of; `judged`: those whose policies and workloads are looked at for it."""

    reported: frozenset[str]
    judged: frozenset[str]


def scope(base: Snapshot, head: Snapshot, lowered: Lowered, pods: tuple[Pods, Pods]) -> Scope | None:
    """What a comparison has to look at; None: everything.

    A policy's findings are those of its namespace. They can differ where anything of that namespace does, and where a selector
    of it asks for labels in a namespace whose workloads or labels do. What is of the cluster and differs can make them differ anywhere:
    then everything is looked at, but for a repository of so many policies that nobody could read what comes of it.
    """
    changed, populated, wide = _touched(base, head)
    if wide and len(lowered.head.policies) <= MOST_POLICIES:
        return None
    if not populated.isdisjoint(_callers(base) | _callers(head)) and len(lowered.head.policies) <= MOST_POLICIES:
        return None
    wide = wide or any(not policy.key[1] for chain in (lowered.base, lowered.head) for policy in chain.policies)
    reported = set(changed)
    policies = {id(policy): policy for chain in (lowered.base, lowered.head) for policy in chain.policies}
    if populated:
        for policy in policies.values():
            if policy.key[1] not in reported and any(
                _looks_into(expr, populated, side) for expr in _peers(policy) for side in (base, head)
            ):
                reported.add(policy.key[1])
    if wide:
        return Scope(frozenset(reported), frozenset({*base.namespaces, *head.namespaces}))
    judged = {*reported, _SYSTEM, *_callers(base), *_callers(head)}
    for policy in policies.values():
        if policy.key[1] in reported:
            for expr in _peers(policy):
                for own in pods:
                    judged.update(sorted({workload.namespace for workload in own.selected(expr)})[:_EACH])
    if 2 * len(judged) > len({*base.namespaces, *head.namespaces}):
        judged = {*base.namespaces, *head.namespaces}
    return Scope(frozenset(reported), frozenset(judged))


def _touched(base: Snapshot, head: Snapshot) -> tuple[set[str], set[str], bool]:
    """(namespaces with anything that differs, those where policies see other pods or labels, whether anything of the cluster differs)."""
    wide = False
    changed: set[str] = set()
    populated: set[str] = set()
    differing = [(key, obj.kind) for key, obj in head.objects.items() if base.objects.get(key) is not obj]
    differing += [(key, obj.kind) for key, obj in base.objects.items() if key not in head.objects]
    for key, kind in differing:
        if kind == "Namespace":
            populated.add(key[2])
        elif key[1]:
            changed.add(key[1])
        elif kind not in _WITHOUT_EFFECT:
            wide = True
    sides = [{id(w.object): w for w in side.workloads} for side in (base, head)]
    fresh = [[w for at, w in one.items() if at not in other] for one, other in (sides, sides[::-1])]
    seen = [{(*w.key, w.pod): (w.labels, w.ports, w.host_network, w.addresses) for w in own} for own in fresh]
    for own, other in (seen, seen[::-1]):
        populated.update(key[1] for key, pod in own.items() if other.get(key) != pod)
    changed.update(w.namespace for own in fresh for w in own)
    populated |= base.namespaces.keys() ^ head.namespaces.keys()
    return changed | populated, populated, wide


def _callers(side: Snapshot) -> set[str]:
    """The namespaces of ingress controllers and of Prometheus, whose pods must reach those of others."""
    found = {obj.namespace for obj in side.by_kind("Prometheus")}
    for workload in side.workloads:
        labels = workload.labels
        if labels.get("app.kubernetes.io/name") in _CALLERS or labels.get("app") == "prometheus" or labels.get("k8s-app") == "prometheus":
            found.add(workload.namespace)
    return found


def is_controller(labels: Mapping[str, str]) -> bool:
    """Whether these are the labels of an ingress controller's pod."""
    return labels.get("app.kubernetes.io/name") in CONTROLLERS


def is_scraper(labels: Mapping[str, str]) -> bool:
    """Whether these are the labels of a Prometheus pod."""
    return "prometheus" in (labels.get("app.kubernetes.io/name"), labels.get("app"), labels.get("k8s-app"))


def _peers(policy: Policy) -> Iterable[Expr]:
    """The peers that ask for certain pods or namespaces; one that means all pods can be judged without looking at them."""
    found: dict[Expr, None] = {}
    for section in policy.sections:
        for rule in section.rules:
            other = without_ports(rule.destination if section.checkpoint == "egress" else rule.source)
            if namespaces_of(other) or labels_asked(other) or labels_asked(other, "namespace"):
                found[other] = None
    return found


def _looks_into(expr: Expr, namespaces: set[str], side: Snapshot) -> bool:
    from bot.lint.near import holds

    named = namespaces_of(expr)
    if named:
        return not namespaces.isdisjoint(named)
    asked = labels_asked(expr, "namespace")
    if asked is None:
        return True
    return any(
        name not in side.namespaces or all(holds(part, side.namespaces[name].labels) for part in asked) for name in namespaces
    )


def chain(whole: Chain, namespaces: frozenset[str]) -> Chain:
    """A chain without the policies of other namespaces."""
    return whole._replace(policies=tuple(p for p in whole.policies if not p.key[1] or p.key[1] in namespaces))


def part(snapshot: Snapshot, namespaces: frozenset[str]) -> Snapshot:
    """A side without what is in other namespaces."""
    out = Snapshot()
    out.workloads = [workload for workload in snapshot.workloads if workload.namespace in namespaces]
    out.objects = {key: obj for key, obj in snapshot.objects.items() if not key[1] or key[1] in namespaces}
    out.namespaces = {name: one for name, one in snapshot.namespaces.items() if name in namespaces}
    out.where, out.unread, out.made = snapshot.where, snapshot.unread, snapshot.made
    return out
