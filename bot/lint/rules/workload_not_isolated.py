"""NP071: a workload that no policy isolates, where policies isolate those beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.context import DIRECTIONS
from bot.lint.finding import WARNING, Draft, Rule
from bot.reachability.endpoints import bits_at, indices

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP071",
    name="workload-not-isolated",
    severity=WARNING,
    detects="A new workload that no policy isolates in a direction in which others of its namespace are isolated, "
    "and one that is left out alone. (What was there before stands in the audit.)",
    why="Allow rules protect only what a policy selects. A workload that arrives beside protected ones looks "
    "protected too, and is open.",
    bad="""\
kind: Deployment
metadata: {name: reports, namespace: shop}
spec:
  template:
    metadata: {labels: {app: reports}}   # every policy of shop selects another label
""",
    fix="Add a default deny to the namespace, or a policy that selects the workload.",
    good="""\
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
""",
)


def check(context: Context) -> Iterator[Draft]:
    """Every such workload, with the directions in which it is open."""
    isolated = {direction: context.isolated(direction) for direction in DIRECTIONS}
    if not any(isolated.values()):
        return
    new = _new(context)
    for namespace, bits in context.pods_by_namespace.items():
        free: dict[int, list[tuple[str, int]]] = {}
        for direction in DIRECTIONS:
            inside = bits & isolated[direction]
            outside = bits & ~inside
            if not inside or not outside:
                continue
            if outside & (outside - 1) or inside.bit_count() < 2:  # several, or beside a single one: only new ones
                outside &= new
            for slot in indices(outside):
                free.setdefault(slot, []).append((direction, inside.bit_count()))
        for slot, open_in in sorted(free.items()):
            workload = context.pods[slot]
            told = " and ".join(direction for direction, _ in open_in)
            others = words.count(max(count for _, count in open_in), "workload")
            message = (
                f"no policy isolates the {told} of `{workload.name}`; in `{namespace}` policies do so for {others}"
            )
            yield Draft(RULE, WARNING, workload.object, ("metadata", "name"), message, about=told)


def _new(context: Context) -> int:
    """The pods of workloads that the base has not."""
    base, head = context.run.snapshots
    if not context.head or base.workloads == head.workloads:
        return 0
    before = {workload.key for workload in base.workloads}
    return bits_at([slot for slot, workload in context.pods.items() if workload.key not in before])
