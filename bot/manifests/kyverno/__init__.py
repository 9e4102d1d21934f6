"""What Kyverno's generate policies create: a snapshot in, the generated objects with their origin and notes out.

ClusterPolicy and Policy `generate` rules, and GeneratingPolicy (CEL). Nothing of the simulation is imported for a side
without such a policy. Semantics, and what is not simulated: docs/kyverno.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bot.manifests.kyverno.lifecycle import GeneratedChange, compare_generated
from bot.manifests.kyverno.model import (
    Generated,
    GeneratedObject,
    GenerationNote,
    Rule,
    RuleOrigin,
    resource_of,
)

__all__ = [
    "Generated",
    "GeneratedChange",
    "GeneratedObject",
    "GenerationNote",
    "Rule",
    "RuleOrigin",
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
