"""Both sides in; out, the namespaces whose mistakes a change can add or mend, and the part of both sides that judging them takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.lint.matching import namespaces_of, without_ports
from bot.lint.near import labels_asked
from bot.lint.referring import by_label, named_in, other_halves, without_namespace
from bot.manifests.snapshot import Snapshot
from bot.reachability.exposures import CONTROLLERS

if TYPE_CHECKING:
    from bot.lint.matching import Pods
    from bot.manifests.snapshot import Object, Workload
    from bot.policies.model import Chain, Expr, Isolation, Lowered, Policy, Rule, Section

_WITHOUT_EFFECT = frozenset(
    {"ClusterRole", "CustomResourceDefinition", "StorageClass", "PersistentVolume", "PriorityClass"}
)
_SYSTEM = "kube-system"
_CALLERS = (*sorted(CONTROLLERS), "prometheus")
SCRAPER_KEYS = ("app.kubernetes.io/name", "app", "k8s-app")
MOST_POLICIES = 1_000
MOST_NAMESPACES = 20


class Scope(NamedTuple):
    """`reported`: the namespaces that findings are told of; `judged`: those whose policies and workloads are looked at for it.

    `fresh`: the ids of the policies of which a rule that looks at each alone can find other things than before, `halves` of those
    elsewhere that allow what another policy may not any more. `beside`: the ids of such objects that are in no namespace that is reported.
    """

    reported: frozenset[str]
    judged: frozenset[str]
    fresh: frozenset[int]
    halves: frozenset[int]
    beside: frozenset[int]


class Touched(NamedTuple):
    """Namespaces with anything that differs (`changed`), with anything but policies (`stirred`), and where policies see other
    pods or labels (`populated`); `pods`: those that policies see otherwise; `wide`: what of the cluster differs."""

    changed: set[str]
    stirred: set[str]
    populated: set[str]
    pods: list[Workload]
    wide: list[Object]


def scope(base: Snapshot, head: Snapshot, lowered: Lowered, pods: tuple[Pods, Pods]) -> Scope | None:
    """What a comparison has to look at; None: everything.

    A policy's findings are those of its namespace. They can differ where anything of that namespace does, and where a selector
    of it asks for labels in a namespace whose workloads or labels do; those that come of what is elsewhere are in `referring`. What is
    of the cluster and differs can make them differ anywhere: then everything is looked at, but for a repository of so many policies that
    nobody could read what comes of it. There some namespaces stand for all that a policy of the cluster is about.
    """
    touched = _touched(base, head, lowered)
    changed, stirred, populated = touched.changed, touched.stirred, touched.populated
    many = len(lowered.head.policies) > MOST_POLICIES
    if touched.wide and not many:
        return None
    callers = _callers(base, pods[0]) | (_callers(head, pods[1]) if stirred else set())
    if not populated.isdisjoint(callers) and not many:
        return None
    everywhere = frozenset({*base.namespaces, *head.namespaces})
    sides = [{id(policy): policy for policy in chain.policies} for chain in (lowered.base, lowered.head)]
    policies = sides[0] | sides[1]
    fresh = set(sides[0].keys() ^ sides[1].keys())
    differing = [policies[at] for at in fresh]
    reported = changed | _of_cluster(touched.wide, differing, pods, everywhere)
    if populated:
        for at, policy in policies.items():
            if at not in fresh and any(
                _looks_into(expr, populated, side) for expr in _peers(policy) for side in (base, head)
            ):
                reported.add(policy.key[1])
                fresh.add(at)
    fresh.update(at for at, policy in policies.items() if policy.key[1] in stirred)
    rest = [policy for at, policy in policies.items() if at not in fresh]
    alone = by_label(rest, touched.pods, _appearing(base, head, touched.pods)) if touched.pods else []
    if populated:
        alone += without_namespace(rest, (base, head))
    fresh.update(map(id, alone))
    still = [policy for policy in policies.values() if policy.key[1] and policy.key[1] not in reported]
    halves = other_halves(still, differing, pods, (base, head)) if still else []
    beside = frozenset(id(one.object) for one in (*alone, *halves) if one.key[1] not in reported)
    told = {*reported, *(one.key[1] for one in (*alone, *halves))}

    def found(judged: frozenset[str]) -> Scope:
        return Scope(frozenset(reported), judged, frozenset(fresh), frozenset(map(id, halves)), beside)

    if touched.wide or 2 * len(told) > len(everywhere) or any(not policy.key[1] for policy in policies.values()):
        return found(everywhere)
    judged = {*told, _SYSTEM, *callers}
    for policy in policies.values():
        if policy.key[1] in told:
            for expr in _peers(policy):
                for own in pods:
                    judged.update(workload.namespace for workload in own.selected(expr))
            if 2 * len(judged) > len(everywhere):
                return found(everywhere)
    return found(frozenset(judged))


def _of_cluster(
    wide: Sequence[Object], differing: Sequence[Policy], pods: tuple[Pods, Pods], everywhere: frozenset[str]
) -> set[str]:
    """The namespaces that objects of the cluster which differ are about: those that they name, and some of those that they select."""
    out: set[str] = set()
    for obj in wide:
        out |= named_in(obj, everywhere)
    selected: set[str] = set()
    for policy in differing:
        if not policy.key[1]:
            subjects = dict.fromkeys(expr for section in policy.sections for expr in _subjects(section))
            selected.update(workload.namespace for expr in subjects for own in pods for workload in own.selected(expr))
    return out | set(sorted(selected)[:MOST_NAMESPACES])


def _subjects(section: Section) -> list[Expr]:
    ends: list[Rule | Isolation] = [*section.isolates, *section.rules]
    return [one.source if section.checkpoint == "egress" else one.destination for one in ends]


def _appearing(base: Snapshot, head: Snapshot, pods: Sequence[Workload]) -> frozenset[str]:
    """The label keys of these pods that only one of the sides has."""
    keys = {key for pod in pods for key in pod.labels}
    for side in (base, head):
        used = {key for workload in side.workloads for key in workload.labels}
        if keys <= used:
            continue
        return frozenset(keys - used)
    return frozenset()


def _touched(base: Snapshot, head: Snapshot, lowered: Lowered) -> Touched:
    own = {id(policy.object) for chain in (lowered.base, lowered.head) for policy in chain.policies}
    wide: list[Object] = []
    changed: set[str] = set()
    stirred: set[str] = set()
    populated: set[str] = set()
    pods: list[Workload] = []
    known = base.objects.get
    differing = [(key, obj) for key, obj in head.objects.items() if known(key) is not obj]
    differing += [(key, obj) for key, obj in base.objects.items() if head.objects.get(key) is not obj]
    for key, obj in differing:
        if obj.kind == "Namespace":
            populated.add(key[2])
        elif key[1]:
            (changed if id(obj) in own else stirred).add(key[1])
        elif obj.kind not in _WITHOUT_EFFECT:
            wide.append(obj)
    if base.workloads != head.workloads:
        sides = [{id(w.object): w for w in side.workloads} for side in (base, head)]
        new = [[w for at, w in one.items() if at not in other] for one, other in (sides, sides[::-1])]
        seen = [{(*w.key, w.pod): w for w in own} for own in new]
        for one, other in (seen, seen[::-1]):
            pods += [pod for key, pod in one.items() if key not in other or _seen(other[key]) != _seen(pod)]
        populated.update(pod.namespace for pod in pods)
        stirred.update(w.namespace for one in new for w in one)
    populated |= base.namespaces.keys() ^ head.namespaces.keys()
    stirred |= populated
    return Touched(changed | stirred, stirred, populated, pods, wide)


def _seen(pod: Workload) -> object:
    return pod.labels, pod.ports, pod.host_network, pod.addresses


def _callers(side: Snapshot, pods: Pods) -> set[str]:
    """The namespaces of ingress controllers and of Prometheus, whose pods must reach those of others."""
    found = {obj.namespace for obj in side.by_kind("Prometheus")}
    for key in SCRAPER_KEYS:
        found.update(workload.namespace for workload in pods.labelled(key, _CALLERS if "/" in key else ("prometheus",)))
    return found


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
        name not in side.namespaces or all(holds(part, side.namespaces[name].labels) for part in asked)
        for name in namespaces
    )


def chain(whole: Chain, namespaces: frozenset[str]) -> Chain:
    """A chain without the policies of other namespaces."""
    if all(not p.key[1] or p.key[1] in namespaces for p in whole.policies):
        return whole
    return whole._replace(policies=tuple(p for p in whole.policies if not p.key[1] or p.key[1] in namespaces))


def part(snapshot: Snapshot, namespaces: frozenset[str]) -> Snapshot:
    """A side without what is in other namespaces."""
    if namespaces.issuperset(snapshot.namespaces):
        return snapshot
    out = Snapshot()
    out.workloads = [workload for workload in snapshot.workloads if workload.namespace in namespaces]
    out.objects = {key: obj for key, obj in snapshot.objects.items() if not key[1] or key[1] in namespaces}
    out.namespaces = {name: one for name, one in snapshot.namespaces.items() if name in namespaces}
    out.where, out.unread, out.made = snapshot.where, snapshot.unread, snapshot.made
    return out
