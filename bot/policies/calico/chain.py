"""Both sides' Drafts and surroundings in; out, the checkpoints that both share, and each side's policies in them.

Every place that a tier has on either side is a step of its own, so that a policy of a tier that is reordered moves with it.
Ranks are given over the policies of both sides together: namespaced policies of different namespaces never meet on one pod, so
what counts is how often the action alternates within a namespace, between the cluster-wide policies around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bot.policies.calico.drafts import INFINITE, Draft
from bot.policies.calico.entities import Entities
from bot.policies.calico.hosts import HostPolicies, Hosts, nodes_of
from bot.policies.calico.labels import Labels
from bot.policies.calico.ports import UNIVERSE
from bot.policies.calico.rules import Emitter
from bot.policies.calico.surroundings import Surroundings, TierSpec
from bot.policies.model import (
    EVERYTHING,
    PODS,
    Checkpoint,
    Isolation,
    Origin,
    Policy,
    Rule,
    Section,
    Tier,
)
from bot.policies.terms import UNIVERSE as PORTS_ALONE
from bot.policies.traffic import UDP, Traffic, intersect, ports, union

BUILT_IN = "built in"
_MISSING = TierSpec(None, "deny")
# felix/rules/endpoints.go: encapsulated traffic of Calico's own must not come out of a pod.
ENCAPSULATED: Traffic = union(ports(UDP, 4789, 4789), intersect(UNIVERSE, ports(4)))


class Place(NamedTuple):
    """Where a tier stands: missing ones last, then by order, then by name; and what becomes of unmatched traffic there."""

    missing: bool
    order: float
    name: str
    end: str


Ordered = tuple[Draft, Place]


class Chains:
    """Puts the policies of both sides in their places."""

    def __init__(self, labels: Labels, entities: Entities, emitter: Emitter) -> None:
        self._labels = labels
        self._entities = entities
        self._emitter = emitter

    def build(
        self, sides: Sequence[tuple[Sequence[Draft], Surroundings]]
    ) -> tuple[tuple[Checkpoint, ...], list[tuple[Policy, ...]]]:
        """The checkpoints, and the policies of each side in the order of their tiers and in them."""
        placed = [
            sorted(
                ((draft, _place(draft.tier, around.tiers)) for draft in drafts if not draft.staged),
                key=_position,
            )
            for drafts, around in sides
        ]
        union_: dict[tuple[int, Place], Ordered] = {}
        for side in placed:
            for draft, place in side:
                union_.setdefault((id(draft), place), (draft, place))
        everything = sorted(union_.values(), key=_position)
        places = sorted({place for _, place in everything})
        names = _names(places)
        tiers = tuple(Tier(names[place], place.name, place.end, commutes=True) for place in places)
        sections = self._sections(everything, names)
        hosts = HostPolicies(self._emitter, names, places)
        nodes = nodes_of(around for _, around in sides)
        both = [Hosts(around, self._entities, nodes) for _, around in sides]
        out: list[tuple[Policy, ...]] = []
        known: dict[tuple[object, ...], Policy] = {}
        for side, found in zip(placed, both, strict=True):
            policies: list[Policy] = []
            for draft, place in side:
                own = sections[(id(draft), place)]
                more = hosts.sections(draft, place, found)
                key = (id(draft), place, more)
                policy = known.get(key)
                if policy is None:
                    policy = known[key] = Policy(draft.key, draft.title, draft.object, own + more)
                policies.append(policy)
            out.append((*policies, *_built_in(found), *hosts.built_in(found)))
        first = Tier(BUILT_IN, BUILT_IN, "pass")
        egress = Checkpoint("egress", "source", (first, *tiers))
        ingress = Checkpoint("ingress", "destination", (first, *tiers))
        return hosts.checkpoints(both, egress, ingress), out

    def _sections(
        self, everything: Iterable[Ordered], names: Mapping[Place, str]
    ) -> dict[tuple[int, Place], tuple[Section, ...]]:
        """What each policy says of pods."""
        out: dict[tuple[int, Place], tuple[Section, ...]] = {}
        ranks: dict[tuple[Place, str], _Ranks] = {}
        for draft, place in everything:
            found: list[Section] = []
            if draft.ready is not None:
                for section in draft.ready.sections:
                    direction = section.checkpoint
                    rules = [_any_protocol(rule) for rule in section.rules]
                    rank = ranks.setdefault((place, direction), _Ranks())
                    found.extend(rank.sections(draft.namespace, rules, direction, names[place], section.isolates[0]))
            elif not draft.untracked and not draft.before_nat:
                subject = self._labels.pods(draft.selects, draft.namespace)
                for direction, specs in draft.rules.items():
                    egress = direction == "egress"
                    rules = [rule for spec in specs for rule in self._emitter.rules(spec, egress, subject)]
                    source, destination = (subject, EVERYTHING) if egress else (EVERYTHING, subject)
                    isolation = Isolation(source, destination, Origin(draft.object, ("spec",)))
                    rank = ranks.setdefault((place, direction), _Ranks())
                    found.extend(rank.sections(draft.namespace, rules, direction, names[place], isolation))
            out[(id(draft), place)] = tuple(found)
        return out


class _Ranks:
    """Gives the rules of one tier and direction their ranks, policy by policy in their order."""

    def __init__(self) -> None:
        self._run = 0
        self._states: dict[str, tuple[int, str]] = {}

    def sections(
        self, namespace: str, rules: list[Rule], direction: str, tier: str, isolation: Isolation
    ) -> list[Section]:
        """Runs of rules of one action, each with its rank; a policy without rules has one section all the same."""
        if not namespace:
            self._run += 1
            self._states.clear()
        count, last = self._states.get(namespace, (0, ""))
        out: list[Section] = []
        run: list[Rule] = []
        for rule in rules:
            if rule.action != last:
                if run:
                    out.append(self._section(direction, tier, count, last, run))
                    run = []
                count, last = count + 1, rule.action
            run.append(rule)
        if run:
            out.append(self._section(direction, tier, count, last, run))
        if namespace:
            self._states[namespace] = (count, last)
        else:
            self._run += 1
            self._states.clear()
        if not out:
            return [Section(direction, tier, (self._run, 0, ""), (), (isolation,))]
        return [out[0]._replace(isolates=(isolation,)), *out[1:]]

    def _section(self, direction: str, tier: str, count: int, action: str, run: list[Rule]) -> Section:
        return Section(direction, tier, (self._run, count, action), tuple(run))


def _place(name: str, tiers: Mapping[str, TierSpec]) -> Place:
    spec = tiers.get(name, _MISSING)
    return Place(name not in tiers, INFINITE if spec.order is None else spec.order, name, spec.end)


def _position(item: Ordered) -> tuple[Place, float, str]:
    draft, place = item
    return place, draft.order, draft.tie


def _names(places: Sequence[Place]) -> dict[Place, str]:
    """A tier's name; where the sides put it differently, with its order and end."""
    count: dict[str, int] = {}
    for place in places:
        count[place.name] = count.get(place.name, 0) + 1
    return {
        place: place.name if count[place.name] == 1 else f"{place.name} ({place.order:g}, {place.end})"
        for place in places
    }


def _built_in(hosts: Hosts) -> tuple[Policy, ...]:
    """What no policy changes: pods send no encapsulated traffic, and a node reaches its own pods."""
    dropped = Rule("deny", PODS, EVERYTHING, ENCAPSULATED, Origin(None, (), "no VXLAN or IPIP from pods"))
    own: list[Rule] = [
        Rule("allow", source, destination, UNIVERSE, Origin(None, (), "a host reaches its own pods"))
        for source, destination in hosts.own_pods()
    ]
    found = [
        Policy(
            (BUILT_IN, "", "encapsulation"),
            "no VXLAN or IPIP from pods (built in)",
            None,
            (_section("egress", [dropped]),),
        )
    ]
    if own:
        title = "a host reaches its own pods (built in)"
        found.append(Policy((BUILT_IN, "", "own pods"), title, None, (_section("ingress", own),)))
    return tuple(found)


def _any_protocol(rule: Rule) -> Rule:
    """A NetworkPolicy's rule without ports allows every protocol."""
    return rule._replace(traffic=UNIVERSE) if rule.traffic is PORTS_ALONE else rule


def _section(direction: str, rules: list[Rule]) -> Section:
    return Section(direction, BUILT_IN, (), tuple(rules))
