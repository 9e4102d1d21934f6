"""NP071: a workload that no policy isolates, where policies isolate those beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.context import DIRECTIONS, slots_by_namespace
from bot.lint.finding import WARNING, Draft, Rule

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
    base, head = context.run.snapshots
    before = {workload.key for workload in base.workloads}
    isolated = {direction: context.isolated(direction) for direction in DIRECTIONS}
    if not any(isolated.values()):
        return
    for namespace, members in slots_by_namespace(context).items():
        pods = [(slot, workload) for slot, workload in members if not workload.host_network]
        bits = sum(1 << slot for slot in {slot for slot, _ in pods})
        for slot, workload in pods:
            is_new = context.head and base is not head and workload.key not in before
            open_in = []
            for direction in DIRECTIONS:
                inside = bits & isolated[direction]
                if inside >> slot & 1 or not inside:
                    continue
                alone = bits & ~inside == 1 << slot and inside.bit_count() > 1
                if is_new or alone:
                    open_in.append((direction, inside.bit_count()))
            if open_in:
                told = " and ".join(direction for direction, _ in open_in)
                others = words.count(max(count for _, count in open_in), "workload")
                message = (
                    f"no policy isolates the {told} of `{workload.name}`; in `{namespace}` policies do so for {others}"
                )
                yield Draft(RULE, WARNING, workload.object, ("metadata", "name"), message, about=told)
