"""Both sides in; out, what lets a pod's own node reach it whatever NetworkPolicies say, and nodes as ends of questions.

Source: k8s.io/api/networking/v1 `types.go`, comment of `Ingress` ("or if the traffic source is the pod's local node").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bot.policies import addresses
from bot.policies.kubernetes import TIER
from bot.policies.model import (
    PLACEMENT,
    PODS,
    Assumption,
    Expr,
    ExtraEndpoint,
    Is,
    Kind,
    Label,
    Maybe,
    Not,
    Origin,
    Policy,
    Rule,
    Section,
    conjunction,
    disjunction,
)
from bot.policies.nodes import read_nodes
from bot.policies.terms import UNIVERSE

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot, Workload

MOST_NODES = 64
UNPLACED = Assumption(
    "placement",
    "which node a pod runs on is not in Git; processes of that node, pods on its host network among them, reach it whatever"
    " NetworkPolicies say",
    "",
)
_TITLE = "a node reaches its own pods (built in)"
_HOSTS = disjunction((Kind("host"), Kind("node")))
_PLACED = Label(PLACEMENT, "node", "exists")


class OwnNodes:
    """The nodes of one run. `used`: whether it says anything of the workloads there are."""

    def __init__(self, base: Snapshot, head: Snapshot) -> None:
        sides = (base,) if head is base else (base, head)
        workloads = [workload for side in sides for workload in side.workloads]
        self._nodes = {node.name: node for side in sides for node in read_nodes(side)}
        self._by_address = {
            first: node.name for node in self._nodes.values() for first, last in node.addresses if first == last
        }
        self._hosts = [workload for workload in workloads if workload.host_network]
        self._places = sorted({w.node for w in workloads if w.node and not w.host_network})
        self.used = bool(self._hosts or self._nodes)

    def policies(self) -> tuple[Policy, ...]:
        """What is built in. Where there are very many nodes, whether one is a pod's own is left open."""
        if not self.used:
            return ()
        pairs: list[tuple[Expr, Expr]] = []
        if len(self._places) <= MOST_NODES:
            for name in self._places:
                on_it = Label(PLACEMENT, "node", "in", (name,))
                pairs.append((conjunction((_HOSTS, on_it)), conjunction((PODS, on_it))))
            pairs.append((Maybe(_HOSTS, UNPLACED.id), conjunction((PODS, Not(_PLACED)))))
            pairs.append((Maybe(conjunction((Kind("host"), Not(_PLACED))), UNPLACED.id), PODS))
        else:
            pairs.append((Maybe(_HOSTS, UNPLACED.id), PODS))
        everywhere = on_every_node(self._hosts)
        if everywhere:
            pairs.append((conjunction((Kind("host"), Not(_PLACED), Is(everywhere))), PODS))
        origin = Origin(None, (), "a node reaches its own pods")
        rules = tuple(Rule("allow", source, destination, UNIVERSE, origin) for source, destination in pairs)
        section = Section("ingress", TIER, (), rules)
        return (Policy(("built in", "", "own node"), _TITLE, None, (section,)),)

    def assumptions(self) -> tuple[Assumption, ...]:
        """What is not known of the workloads there are."""
        return (UNPLACED,) if self._hosts else ()

    def ask(self, text: str, other_node: str) -> tuple[ExtraEndpoint, ...] | None:
        """The node that an end of a question means, by its name or by an address of it."""
        scheme, _, rest = text.partition(":")
        name: str | None = None
        if scheme in ("node", "host"):
            name = rest
        elif scheme == "ip" and self._by_address:
            name = self._by_address.get(addresses.parse_address(rest))
        node = self._nodes.get(name or "")
        if node is None:
            return None
        return (ExtraEndpoint("node", f"node:{node.name}", {PLACEMENT: {"node": node.name}}, node.addresses),)


def on_every_node(workloads: Iterable[Workload]) -> tuple[tuple[str, ...], ...]:
    """The identities of DaemonSets that ask for no nodes in particular: they have a pod on the node of every other pod."""
    return tuple(
        sorted({("workload", w.namespace, w.kind, w.name) for w in workloads if w.host_network and _everywhere(w)})
    )


def _everywhere(workload: Workload) -> bool:
    if workload.kind != "DaemonSet" or workload.object.kind != "DaemonSet":
        return False
    value: object = workload.object.value
    for step in ("spec", "template", "spec"):
        value = value.get(step) if isinstance(value, dict) else None
    return isinstance(value, dict) and not any(value.get(field) for field in ("nodeSelector", "affinity", "nodeName"))
