"""A snapshot in; what Kyverno creates for it out, with Objects for origins and places for notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bot.manifests.kinds import SKIPPED
from bot.manifests.kyverno import POLICY_KINDS
from bot.manifests.kyverno.cel import may_select
from bot.manifests.kyverno.model import (
    Generated,
    GenerationNote,
    items,
    mapping,
    parse_kind,
    resource_of,
    strings,
    text_of,
)
from bot.manifests.kyverno.rules import filters
from bot.manifests.kyverno.simulation import simulate

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot


def wanted_kinds(*snapshots: Snapshot) -> Callable[[str], bool]:
    """Whether a rule of these sides may read objects of a kind, as triggers or as sources of clones.

    A snapshot reads a workload's manifest again when it is asked for it, so only those that count are asked for.
    """
    patterns: set[str] = set()
    constraints: list[dict[str, Any]] = []
    for snapshot in snapshots:
        for policy in snapshot.by_kind(*POLICY_KINDS):
            spec = mapping(policy.value.get("spec"))
            constraints.append(mapping(spec.get("matchConstraints")))
            for rule in map(mapping, items(spec.get("rules"))):
                for entry in filters(mapping(rule.get("match"))):
                    patterns.update(strings(mapping(entry.get("resources")).get("kinds")) or ["*"])
                generate = mapping(rule.get("generate"))
                for target in [generate, *map(mapping, items(generate.get("foreach")))]:
                    patterns.update(strings(mapping(target.get("cloneList")).get("kinds")))
                    kind = text_of(target.get("kind"))
                    patterns.add("*" if "{{" in kind else kind)
    selectors = [parse_kind(pattern) for pattern in sorted(patterns) if pattern]
    known: dict[str, bool] = {}

    def wanted(kind: str) -> bool:
        if kind not in known:
            known[kind] = any(each.names(kind) for each in selectors) or any(
                may_select(each, kind) for each in constraints
            )
        return known[kind]

    return wanted


def simulate_snapshot(snapshot: Snapshot, wanted: Callable[[str], bool]) -> Generated:
    """What Kyverno creates for one side, reading of its workloads only those of wanted kinds."""
    objects: dict[int, Object] = {}
    resources = []
    workloads = {workload.object: None for workload in snapshot.workloads}
    for found in (*snapshot.objects.values(), *(each for each in workloads if wanted(each.kind))):
        value = found.value
        objects[id(value)] = found
        resources.append(resource_of(value)._replace(namespace=found.namespace))
    for namespace in snapshot.namespaces.values():
        if namespace.object is None:
            implied = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name}}
            resources.append(resource_of(implied, implied=True))
    generated = simulate(resources, SKIPPED, frozenset(each.kind for each in workloads))
    made = tuple(
        each._replace(rule_origin=each.rule_origin._replace(policy=objects[id(each.rule_origin.policy)]))
        for each in generated.objects
    )
    notes = tuple(located(note._replace(policy=objects[id(note.policy)]), snapshot) for note in generated.notes)
    return generated._replace(objects=made, notes=notes)


def located(note: GenerationNote, *snapshots: Snapshot) -> GenerationNote:
    """The note with the place of its rule, in the first snapshot that has its policy."""
    for snapshot in snapshots:
        if note.policy in snapshot.where:
            file, lines = snapshot.location(note.policy, note.path)
            return note._replace(file=file, lines=lines)
    return note
