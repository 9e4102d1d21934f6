"""Host endpoints of a side and policies that select them in; out, what the checkpoints on hosts say of the paths through them.

Semantics: felix/dataplane/linux/endpoint_mgr.go, felix/rules `static.go`, `dispatch.go`, `endpoints.go`. A packet meets, in this
order: at the host of its source, as it comes in from a pod (`*` host endpoints alone); the pod's egress; at that host, as it goes
out; at the host of its destination, as it comes in; the pod's ingress; at that host, on its way to a pod (`*` ones alone).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies import intervals
from bot.policies.calico.drafts import DIRECTIONS, Draft
from bot.policies.calico.entities import Entities
from bot.policies.calico.ports import UNIVERSE
from bot.policies.calico.rules import Emitter, Spec, read
from bot.policies.calico.selectors import matches
from bot.policies.calico.surroundings import ALLOW_ALL, Host, Surroundings
from bot.policies.model import (
    EVERYTHING,
    PLACEMENT,
    PODS,
    Checkpoint,
    Expr,
    ExtraEndpoint,
    Is,
    Isolation,
    Kind,
    Label,
    Maybe,
    Not,
    Origin,
    Policy,
    Rule,
    Section,
    Tier,
    conjunction,
    disjunction,
)
from bot.policies.traffic import NOTHING, TCP, UDP, Traffic, ports, union

if TYPE_CHECKING:
    from bot.policies.calico.chain import Place

FAILSAFE, PROFILES = "failsafe ports", "profiles"
UNPLACED = "placement"
FROM_POD, OUT, IN, TO_POD = "host, from a pod", "host egress", "host ingress", "host, to a pod"
_TCP = (179, 2379, 2380, 5473, 6443, 6666, 6667)
FAILSAFE_IN: Traffic = union(*(ports(TCP, port, port) for port in (22, *_TCP)), ports(UDP, 68, 68))
FAILSAFE_OUT: Traffic = union(*(ports(TCP, port, port) for port in _TCP), ports(UDP, 53, 53), ports(UDP, 67, 67))


class Station(NamedTuple):
    """A node as paths see it: its own processes, its pods, and whatever is neither."""

    host: Expr
    pods: Expr
    outside: Expr


class Guard(NamedTuple):
    """A host endpoint that guards a node: its `main` interface, to other machines, or (a `*`) the `inner` ones of its pods."""

    host: Host
    station: Station
    main: bool
    inner: bool


def nodes_of(sides: Iterable[Surroundings]) -> tuple[str, ...]:
    """The nodes that any of these sides knows of. They are there on all of them: no manifest makes a node."""
    names: set[str] = set()
    for around in sides:
        names.update(node.name for node in around.nodes)
        names.update(host.node for host in around.hosts)
        names.update(around.host_network)
    return tuple(sorted(names - {""}))


class Hosts:
    """The nodes and host endpoints of one side. `nodes`: those of both."""

    def __init__(self, around: Surroundings, entities: Entities, nodes: Iterable[str]) -> None:
        self.around = around
        self._entities = entities
        entities.enter(around)
        self.stations = {name: _station(name) for name in nodes}
        self.guards = tuple(guard for name in self.stations for guard in self._guards(name))
        self._profiles = {
            name: self._profile(name) for name in dict.fromkeys(n for g in self.guards for n in g.host.profiles)
        }

    def _guards(self, name: str) -> list[Guard]:
        """The host endpoints of a node: of several for one interface the one of the lowest name; `*` is for those without."""
        own = sorted((host for host in self.around.hosts if host.node == name), key=lambda host: host.name)
        known = self.addresses(name)
        specific = [
            host
            for host in own
            if host.interface != "*" and (not known or not host.addresses or intervals.intersect(host.addresses, known))
        ]
        wild = [host for host in own if host.interface == "*"]
        station = self.stations[name]
        found = [Guard(host, station, True, False) for host in specific[:1]]
        return found + [Guard(host, station, not found, True) for host in wild[:1]]

    def _profile(self, name: str) -> dict[str, tuple[Spec, ...]]:
        obj = self.around.profiles.get(name)
        spec = obj.value.get("spec") if obj is not None else None
        out: dict[str, tuple[Spec, ...]] = {}
        if not isinstance(spec, dict):
            return out
        for direction in DIRECTIONS:
            listed = spec.get(direction)
            found = [
                read(self._entities, rule, "", Origin(obj, ("spec", direction, i)))
                for i, rule in enumerate(listed if isinstance(listed, list) else ())
                if isinstance(rule, dict)
            ]
            out[direction] = tuple(one for one in found if one is not None)
        return out

    def profile_rules(self, name: str, direction: str) -> tuple[Spec, ...]:
        """The rules of a Profile, as read."""
        return self._profiles.get(name, {}).get(direction, ())

    def addresses(self, name: str) -> intervals.Intervals:
        """The addresses of a node, by its Node object."""
        return intervals.normal(pair for node in self.around.nodes if node.name == name for pair in node.addresses)

    def own_pods(self) -> Iterator[tuple[Expr, Expr]]:
        """(a node's processes, its pods), for each node; and for the pods of a host network that no node is known of."""
        for station in self.stations.values():
            yield station.host, station.pods
        if self.around.host_network:
            yield Maybe(conjunction((Kind("host"), Not(_PLACED))), UNPLACED), PODS
        if self.around.everywhere:
            yield conjunction((Kind("host"), Not(_PLACED), Is(self.around.everywhere))), PODS

    def extras(self) -> dict[str, intervals.Intervals]:
        """The nodes, with the addresses that are known of them."""
        return {
            name: self.addresses(name)
            or intervals.normal(pair for h in self.around.hosts if h.node == name for pair in h.addresses)
            for name in self.stations
        }


_PLACED = Label(PLACEMENT, "node", "exists")


def node_id(name: str) -> str:
    """The id of a node among endpoints."""
    return f"node:{name}"


def _station(name: str) -> Station:
    there = Label(PLACEMENT, "node", "in", (name,))
    host = disjunction(
        (
            Is((("node", node_id(name)),)),
            conjunction((Kind("host"), there)),
            Maybe(conjunction((Kind("host"), Not(_PLACED))), UNPLACED),
        )
    )
    own = conjunction((PODS, disjunction((there, Maybe(Not(_PLACED), UNPLACED)))))
    return Station(host, own, Not(disjunction((host, own))))


class _Way(NamedTuple):
    """Paths that meet one hook of a guard: at a checkpoint, in a direction, from and to whom; `forwarded`: not to or from the host."""

    checkpoint: str
    egress: bool
    near: Expr
    far: Expr
    forwarded: bool


def _ways(guard: Guard, hook: str) -> list[_Way]:
    """`hook`: `normal`, `forward`, `before NAT` or `untracked`."""
    host, pods, outside = guard.station
    if hook == "normal":
        return [_Way(IN, False, host, outside, False), _Way(OUT, True, host, outside, False)] if guard.main else []
    if hook == "forward":
        found = [_Way(IN, False, pods, outside, True), _Way(OUT, True, pods, outside, True)]
        found = found if guard.main else []
        if guard.inner:
            found.append(_Way(FROM_POD, False, Not(host), pods, True))
            found.append(_Way(TO_POD, True, Not(host), pods, True))
        return found
    found = [_Way(IN, False, host, outside, False), _Way(IN, False, pods, outside, True)] if guard.main else []
    if hook == "untracked":
        return [] if guard.inner else [*found, _Way(OUT, True, host, outside, False)]
    if guard.inner:
        found.append(_Way(FROM_POD, False, EVERYTHING, pods, True))
    return found


class HostPolicies:
    """What policies say at the checkpoints on hosts."""

    def __init__(self, emitter: Emitter, names: Mapping[Place, str], places: Sequence[Place]) -> None:
        self._emitter = emitter
        self._names = names
        self._places = places

    def checkpoints(self, sides: Sequence[Hosts], egress: Checkpoint, ingress: Checkpoint) -> tuple[Checkpoint, ...]:
        """All checkpoints in the order of a packet; those on hosts only where either side has a host endpoint."""
        guards = [guard for side in sides for guard in side.guards]
        if not guards:
            return egress, ingress
        tiers = (
            Tier(FAILSAFE, FAILSAFE, "pass"),
            *(Tier(_step("untracked", self._names[p]), p.name, "pass") for p in self._places),
            *(Tier(_step("before NAT", self._names[p]), p.name, "pass") for p in self._places),
            *(Tier(self._names[p], p.name, p.end) for p in self._places),
            Tier(PROFILES, PROFILES, "deny"),
        )
        out, inward = Checkpoint(OUT, "neither", tiers), Checkpoint(IN, "neither", tiers)
        if not any(guard.inner for guard in guards):
            return egress, out, inward, ingress
        return (
            Checkpoint(FROM_POD, "neither", tiers),
            egress,
            out,
            inward,
            ingress,
            Checkpoint(TO_POD, "neither", tiers),
        )

    def sections(self, draft: Draft, place: Place, side: Hosts) -> tuple[Section, ...]:
        """What one policy says of the host endpoints of one side that it selects."""
        if draft.namespace or draft.ready is not None or not side.guards:
            return ()
        name = self._names[place]
        out: dict[tuple[str, str], tuple[list[Rule], list[Isolation]]] = {}
        for guard in side.guards:
            if not matches(draft.selects, guard.host.labels):
                continue
            for step, way in self._steps(draft, name, guard):
                specs = draft.rules.get("egress" if way.egress else "ingress")
                if specs is None:
                    continue
                rules, isolations = out.setdefault((way.checkpoint, step), ([], []))
                rules.extend(self._rules(specs, way, step != name))
                if step == name:
                    ends = (way.near, way.far) if way.egress else (way.far, way.near)
                    isolations.append(Isolation(*ends, Origin(draft.object, ("spec",))))
        rank = (draft.order, draft.tie)
        return tuple(
            Section(checkpoint, step, rank, tuple(rules), tuple(isolations))
            for (checkpoint, step), (rules, isolations) in out.items()
        )

    def _steps(self, draft: Draft, name: str, guard: Guard) -> Iterator[tuple[str, _Way]]:
        if draft.untracked or draft.before_nat:
            hook = "untracked" if draft.untracked else "before NAT"
            for way in _ways(guard, hook):
                yield _step(hook, name), way
            return
        for hook in ("normal", "forward") if draft.forward else ("normal",):
            for way in _ways(guard, hook):
                yield name, way

    def _rules(self, specs: Iterable[Spec], way: _Way, early: bool) -> Iterator[Rule]:
        """Forwarded traffic to failsafe ports is spared in the tables before routing, and meets the rest of its checkpoints."""
        but = FAILSAFE_IN if early and way.forwarded else NOTHING
        for spec in specs:
            yield from self._emitter.rules(spec, way.egress, way.near, way.far, but)

    def built_in(self, side: Hosts) -> tuple[Policy, ...]:
        """Failsafe ports before everything, and the profiles of host endpoints after it; without one nothing is allowed."""
        out: list[Policy] = []
        sections: list[Section] = []
        main = [guard for guard in side.guards if guard.main]
        for checkpoint, egress, traffic in ((IN, False, FAILSAFE_IN), (OUT, True, FAILSAFE_OUT)):
            rules = []
            for guard in main:
                host, outside = guard.station.host, guard.station.outside
                ends = (host, outside) if egress else (outside, host)
                rules.append(Rule("allow", *ends, traffic, Origin(None, (), "failsafe ports")))
            if rules:
                sections.append(Section(checkpoint, FAILSAFE, (), tuple(rules)))
        if sections:
            out.append(
                Policy(("built in", "", "failsafe"), "failsafe ports of hosts (built in)", None, tuple(sections))
            )
        for guard in main:
            out.append(self._profiles(guard, side))
        return tuple(out)

    def _profiles(self, guard: Guard, side: Hosts) -> Policy:
        host, _, outside = guard.station
        sections = []
        for checkpoint, egress in ((OUT, True), (IN, False)):
            ends = (host, outside) if egress else (outside, host)
            rules: list[Rule] = []
            for name in guard.host.profiles:
                if name == ALLOW_ALL:
                    rules.append(Rule("allow", *ends, UNIVERSE, Origin(guard.host.object, ("spec", "profiles"))))
                for spec in side.profile_rules(name, "egress" if egress else "ingress"):
                    rules.extend(self._emitter.rules(spec, egress, host, outside))
            isolation = Isolation(*ends, Origin(guard.host.object, ("spec",)))
            sections.append(Section(checkpoint, PROFILES, (guard.host.name,), tuple(rules), (isolation,)))
        title = f"HostEndpoint {guard.host.name}"
        return Policy(guard.host.object.key, title, guard.host.object, tuple(sections))


def _step(hook: str, tier: str) -> str:
    return f"{hook}: {tier}"


def extra_endpoints(
    base: Mapping[str, intervals.Intervals], head: Mapping[str, intervals.Intervals]
) -> tuple[ExtraEndpoint, ...]:
    """The nodes as endpoints, with the addresses that the head knows, or else the base."""
    return tuple(
        ExtraEndpoint(
            "node", node_id(name), {PLACEMENT: {"node": name}}, head.get(name) or base.get(name) or (), True, True
        )
        for name in sorted({*base, *head})
    )
