"""NP090: a policy that selects pods of the host network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import ERROR, WARNING, Draft, Rule
from bot.lint.near import holds, labels_asked

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP090",
    name="hostnetwork-target",
    severity=ERROR,
    detects="A policy whose selector matches pods with `hostNetwork: true`: an error where it asks for labels and "
    "matches no others, a warning where it matches others too, and where it is for all pods of a namespace that has "
    "no others.",
    why="What a NetworkPolicy does to a pod of the host network is not defined, and with nearly every CNI it is "
    "nothing: the pod's traffic is its node's.",
    bad="""\
kind: DaemonSet
spec:
  template:
    metadata: {labels: {app: node-agent}}
    spec: {hostNetwork: true}
---
kind: NetworkPolicy
spec:
  podSelector: {matchLabels: {app: node-agent}}
""",
    fix="Take the pod off the host network, or use what the CNI has for nodes (Cilium's host firewall, Calico's "
    "HostEndpoint).",
)


def check(context: Context) -> Iterator[Draft]:
    """Every policy about such pods."""
    if not any(workload.host_network for workload in context.snapshot.workloads):
        return
    for policy in context.chain.policies:
        subject = None if policy.object is None or policy.staged else context.subject(policy)
        asked = None if subject is None else labels_asked(subject)
        if policy.object is None or subject is None or asked is None:
            continue
        unseen = [
            workload
            for name in context.namespaces(subject)
            for workload in context.in_namespace(name)
            if workload.host_network and all(holds(part, workload.labels) for part in asked)
        ]
        if unseen:
            seen = context.bits(subject)
            if seen and not asked:
                continue
            severity = ERROR if asked and not seen else WARNING
            whom = words.workloads(unseen)
            verb = "runs" if len({w.key for w in unseen}) == 1 else "run"
            message = f"{whom} {verb} on the host network, where this policy has no effect"
            yield Draft(RULE, severity, policy.object, context.selector_path(policy), message)
