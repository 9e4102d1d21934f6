"""A world of plain manifests in, the product's answers out: in one process, without files or a command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bot.manifests.snapshot import Snapshot, load
from bot.manifests.yaml import Reader
from bot.policies import intervals
from bot.policies.addresses import parse_cidr
from bot.policies.compile import lower
from bot.policies.model import Lowered
from bot.policies.traffic import PROTOCOLS, Traffic
from bot.reachability.analysis import Difference, Listed, compare, open_paths
from bot.reachability.change import EndpointFacts
from bot.sources import Files
from tests.reference.cluster import Pod, Port, read
from tests.reference.reading import End, Verdict
from tests.worlds import World, files


class Sides(NamedTuple):
    """Two snapshots lowered together, as the pipeline has them."""

    base: Snapshot
    head: Snapshot
    lowered: Lowered


def sides(base: World, head: World, pod_cidrs: Sequence[str] = (), apart: bool = False) -> Sides:
    """Load both worlds; `apart`: with a reader each, so that no object of one is an object of the other."""
    contents = [files(base), files(head)]
    same = {data: data for data in contents[0].values()}
    contents[1] = {name: same.get(data, data) for name, data in contents[1].items()}
    reader = Reader()
    before = load(Files("base", None, dict(sorted(contents[0].items())), []), reader)
    after = load(Files("head", None, dict(sorted(contents[1].items())), []), Reader() if apart else reader)
    assert not before.unread
    assert not after.unread
    pods = intervals.normal(pair for cidr in pod_cidrs for pair in parse_cidr(cidr)) if pod_cidrs else None
    lowered = lower(before, after, "kubernetes", pods)
    assert not lowered.problems_base
    assert not lowered.problems_head
    return Sides(before, after, lowered)


def listed(world: World, pod_cidrs: Sequence[str] = ()) -> tuple[Sides, Listed]:
    """Every open path of a world."""
    loaded = sides(world, world, pod_cidrs)
    return loaded, open_paths(loaded.head, loaded.lowered)


def compared(loaded: Sides, full: bool = False) -> Difference:
    """What changed, with every pair."""
    return compare(loaded.base, loaded.head, loaded.lowered, pairs=True, full=full)


def verdict_at(open_: Traffic, possible: Traffic, protocol: str, port: int) -> Verdict:
    """What a path's traffic says of one port."""
    point = PROTOCOLS[protocol] << 16 | port
    if any(box.first <= point <= box.last for box in open_):
        return Verdict.OPEN
    return Verdict.POSSIBLE if any(box.first <= point <= box.last for box in possible) else Verdict.CLOSED


class Ends:
    """Finds for an endpoint of a document the pods or addresses that the second reading knows it as."""

    def __init__(
        self, world: World, lowered: Lowered, facts: Iterable[EndpointFacts], other: Sequence[dict[str, Any]] = ()
    ) -> None:
        """`other`: the other side's world; pods of a namespace that only that one has are not there on this side."""
        self.cluster = read(world)
        absent = {m["metadata"]["name"] for m in other if m["kind"] == "Namespace"} - self.cluster.namespaces.keys()
        self.free = tuple(
            Port(name, {number: text for text, number in PROTOCOLS.items()}[protocol], number)
            for (name, protocol), number in sorted(lowered.vocabulary.free_ports.items())
        )
        namespaces = dict(self.cluster.namespaces)
        self._known = {(pod.kind, pod.namespace, pod.name): pod for pod in self.cluster.pods}
        self._found: dict[str, tuple[End, ...]] = {}
        for one in facts:
            if one.kind == "hypothetical" and one.namespace in absent:
                self._found[one.id] = ()
            elif one.kind == "hypothetical":
                labels = dict(one.namespace_labels)
                name = one.namespace or labels.get("kubernetes.io/metadata.name", f"somewhere-{len(namespaces)}")
                namespaces.setdefault(name, {**labels, "kubernetes.io/metadata.name": name})
                self._found[one.id] = (Pod("hypothetical", name, one.id, dict(one.labels), self.free),)
            elif one.kind == "workload":
                pod = self._known.get((one.object_kind, one.namespace, one.name))
                self._found[one.id] = () if pod is None else (pod,)
            elif one.kind == "addresses":
                self._found[one.id] = tuple(dict.fromkeys(edge for cidr in one.cidrs for edge in _edges(cidr)))
        self.cluster = self.cluster._replace(namespaces=namespaces)

    def of(self, identity: str) -> tuple[End, ...]:
        """What this endpoint stands for on this side; nothing where it is not there, or is an exposure."""
        return self._found.get(identity, ())


def _edges(cidr: str) -> tuple[str, str]:
    from ipaddress import ip_network

    network = ip_network(cidr)
    return str(network.network_address), str(network.broadcast_address)


def telling_ports(*worlds: World, free: Iterable[Port] = (), around: int = 1) -> list[int]:
    """Every port number that these manifests mention, `around` neighbours of each, and what `free` names. Port 0 is nobody's."""
    numbers = {1, 65535, *(port.number for port in free)}
    for world in worlds:
        numbers.update(_numbers(world))
    near = range(-around, around + 1)
    return sorted({number + step for number in numbers for step in near if 1 <= number + step <= 65535})


def _numbers(value: Any) -> Iterable[int]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, int) and key in ("port", "endPort", "containerPort", "start", "end", "number"):
                yield inner
            else:
                yield from _numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner)
