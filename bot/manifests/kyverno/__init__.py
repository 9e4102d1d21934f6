"""What Kyverno's generate policies create: a snapshot in, the generated objects with their origin and notes out.

ClusterPolicy and Policy `generate` rules, and GeneratingPolicy (CEL). The values are in model.py, the semantics, and what is
not simulated, in docs/kyverno.md. Importing this module costs nothing; ask `has_policies` before anything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bot.manifests.kyverno.model import Generated
    from bot.manifests.snapshot import Snapshot

POLICY_KINDS = ("ClusterPolicy", "Policy", "GeneratingPolicy", "NamespacedGeneratingPolicy")


def has_policies(snapshot: Snapshot) -> bool:
    """Whether a side has policies that may generate; where no side has, there is nothing to simulate."""
    return any(
        policy.api_version.partition("/")[0].endswith("kyverno.io") for policy in snapshot.by_kind(*POLICY_KINDS)
    )


def apply(snapshot: Snapshot) -> Generated:
    """What Kyverno creates for one side; origins hold the snapshot's policy Objects, notes their file and lines."""
    from bot.manifests.kyverno.snapshots import simulate_snapshot, wanted_kinds

    return simulate_snapshot(snapshot, wanted_kinds(snapshot))


def apply_change(base: Snapshot, head: Snapshot) -> tuple[Generated, Generated]:
    """What Kyverno has created on base, and what the cluster holds of it after the change (see compare_generated)."""
    from bot.manifests.kyverno.snapshots import located, simulate_snapshot, wanted_kinds

    wanted = wanted_kinds(base, head)
    before = simulate_snapshot(base, wanted)
    after = compare_generated(before, simulate_snapshot(head, wanted))
    notes = tuple(note if note.file else located(note, head, base) for note in after.notes)
    return before, after._replace(notes=notes)


def generate(
    objects: Iterable[Mapping[str, Any]], default_namespace: str = "default", implied_namespaces: Iterable[str] = ()
) -> Generated:
    """What Kyverno creates in a cluster that holds `objects` (plain Kubernetes objects, Kyverno's policies among them).

    `implied_namespaces` are namespaces that exist although no object declares them. An origin's `policy` is the policy
    object itself, as given.
    """
    from bot.manifests.kyverno.model import resource_of
    from bot.manifests.kyverno.simulation import simulate

    resources = [resource_of(value, default_namespace) for value in objects]
    for name in implied_namespaces:
        implied = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        resources.append(resource_of(implied, implied=True))
    return simulate(resources)


def compare_generated(base: Generated, head: Generated) -> Generated:
    """Head as a cluster that is built from base will hold it: see lifecycle.py."""
    from bot.manifests.kyverno import lifecycle

    return lifecycle.compare_generated(base, head)
