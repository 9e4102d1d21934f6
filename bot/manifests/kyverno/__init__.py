"""What Kyverno's generate policies create: a snapshot in, the generated objects with their origin and notes out.

ClusterPolicy and Policy `generate` rules, and GeneratingPolicy (CEL). Nothing of the simulation is imported for a side
without such a policy. Semantics, and what is not simulated: docs/kyverno.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bot.manifests.kyverno.lifecycle import compare_generated
from bot.manifests.kyverno.model import (
    POLICY_KINDS,
    Generated,
    GeneratedObject,
    GenerationNote,
    Rule,
    RuleOrigin,
    resource_of,
)

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot

__all__ = [
    "Generated",
    "GeneratedObject",
    "GenerationNote",
    "Rule",
    "RuleOrigin",
    "apply",
    "apply_change",
    "compare_generated",
    "generate",
]


def generate(
    objects: Iterable[Mapping[str, Any]], default_namespace: str = "default", implied_namespaces: Iterable[str] = ()
) -> Generated:
    """What Kyverno creates in a cluster that holds `objects` (plain Kubernetes objects, Kyverno's policies among them).

    `implied_namespaces` are namespaces that exist although no object declares them. An origin's `policy` is the policy
    object itself, as given.
    """
    from bot.manifests.kyverno.simulation import simulate

    resources = [resource_of(value, default_namespace) for value in objects]
    for name in implied_namespaces:
        implied = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        resources.append(resource_of(implied, implied=True))
    return simulate(resources)


def apply(snapshot: Snapshot) -> Generated:
    """What Kyverno creates for one side; origins hold the snapshot's policy Objects, notes their file and lines."""
    if not _has_policies(snapshot):
        return Generated()
    from bot.manifests.kyverno.snapshots import simulate_snapshot, wanted_kinds

    return simulate_snapshot(snapshot, wanted_kinds(snapshot))


def apply_change(base: Snapshot, head: Snapshot) -> tuple[Generated, Generated]:
    """What Kyverno has created on base, and what the cluster holds of it after the change (see compare_generated)."""
    if not (_has_policies(base) or _has_policies(head)):
        return Generated(), Generated()
    from bot.manifests.kyverno.snapshots import located, simulate_snapshot, wanted_kinds

    wanted = wanted_kinds(base, head)
    before = simulate_snapshot(base, wanted)
    after = compare_generated(before, simulate_snapshot(head, wanted))
    notes = tuple(note if note.file else located(note, head, base) for note in after.notes)
    return before, after._replace(notes=notes)


def _has_policies(snapshot: Snapshot) -> bool:
    return any(
        policy.api_version.partition("/")[0].endswith("kyverno.io") for policy in snapshot.by_kind(*POLICY_KINDS)
    )
