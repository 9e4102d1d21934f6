"""NP091: a peer whose pods all run on the host network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import WARNING, Draft, Rule
from bot.lint.near import holds, labels_asked

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP091",
    name="hostnetwork-peer",
    severity=WARNING,
    detects="A peer whose selector matches nothing but pods with `hostNetwork: true`.",
    why="The traffic of such pods is their node's: no pod selector matches it, so that the rule opens nothing.",
    bad="""\
ingress:
  - from:
      - podSelector: {matchLabels: {app: node-agent}}   # a DaemonSet with hostNetwork: true
""",
    fix="Name the nodes' addresses by `ipBlock` (Cilium: the entities `host` and `remote-node`).",
    good="""\
ingress:
  - from:
      - ipBlock: {cidr: 10.0.0.0/24}   # the nodes
""",
)


def check(context: Context) -> Iterator[Draft]:
    """Every such peer."""
    if not any(workload.host_network for workload in context.snapshot.workloads):
        return
    for peer in context.peers:
        asked = labels_asked(peer.other)
        if not asked or context.selected(peer.other):
            continue
        found = [
            workload
            for name in context.namespaces(peer.other)
            for workload in context.in_namespace(name)
            if workload.host_network and all(holds(part, workload.labels) for part in asked)
        ]
        if found:
            cilium = peer.object.kind.startswith("Cilium")
            what = "from" if peer.direction == "ingress" else "to"
            fix = f"`{what}Entities: [host, remote-node]`" if cilium else ""
            message = (
                f"{words.workloads(found)}: all that this matches is on the host network, where no selector sees it"
            )
            yield Draft(RULE, WARNING, peer.object, peer.path, message, fix)
