"""Both Snapshots in, both sides' Chains and the Vocabulary they are to be read with out: every policy API meets here."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from bot.policies import cni as profiles
from bot.policies.admin import ADMIN, BASELINE, AdminPolicies
from bot.policies.intervals import Intervals
from bot.policies.kubernetes import TIER, NetworkPolicies
from bot.policies.model import Chain, Checkpoint, Lowered, Policy, Problem, Tier, Vocabulary
from bot.policies.named_ports import PortNames
from bot.policies.nodes import Nodes, read_nodes
from bot.policies.own_node import OwnNodes
from bot.policies.pod_cidrs import pod_addresses
from bot.policies.selectors import Flaw
from bot.policies.terms import UNIVERSE, Terms

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot
    from bot.policies.calico.dialect import Calico
    from bot.policies.cilium.dialect import Cilium

_TIERS = (
    Tier(ADMIN, "admin tier", "pass"),
    Tier(TIER, "NetworkPolicy", "deny", commutes=True),
    Tier(BASELINE, "baseline tier", "pass"),
)
CHECKPOINTS = (Checkpoint("egress", "source", _TIERS), Checkpoint("ingress", "destination", _TIERS))
Key = tuple[str, str, str]
_Lower = Callable[["Object", Key, "list[Flaw]"], "Policy | None"]
_Outcome = tuple["Policy | None", tuple[Problem, ...]]


def lower(
    base: Snapshot,
    head: Snapshot,
    cni: str | None = None,
    pod_cidrs: Intervals | None | Literal["learn"] = "learn",
    apiserver: str | None = None,
) -> Lowered:
    """Lower every policy of both sides for one CNI.

    `cni`: its name, or None to find out from the objects. `pod_cidrs`: where pods get their addresses from, None for outside
    every CIDR, "learn" to find out. `apiserver`: whether the kube-apiserver is `external` or on a `node` (the default), where a
    CNI cares. Raises UsageError for a CNI that is not known.
    """
    # The thousands of values made here all stay: letting the collector look at them time and again doubles the work.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _lower_sides(base, head, cni, pod_cidrs, apiserver)
    finally:
        if collecting:
            gc.enable()


def _lower_sides(
    base: Snapshot,
    head: Snapshot,
    cni: str | None,
    pod_cidrs: Intervals | None | Literal["learn"],
    apiserver: str | None,
) -> Lowered:
    chosen = profiles.choose(base, head, cni)
    before = set(map(id, base.workloads))
    workloads = base.workloads + [workload for workload in head.workloads if id(workload) not in before]
    names = PortNames(workloads)
    terms, lowering, sides = _lower_both(base, head, chosen, names)
    named = terms.ports_in_rules()
    if any(first <= number <= last for number in names.free.values() for first, last in named):
        names = PortNames(workloads, named)
        terms, lowering, sides = _lower_both(base, head, chosen, names)
    vocabulary = Vocabulary(
        cni=chosen.profile.name,
        universe=UNIVERSE,
        pod_addresses=pod_addresses(base, head) if pod_cidrs == "learn" else pod_cidrs,
        cidr_meets_pods=chosen.cidr_meets_pods,
        port_numbers=names.all_numbers(),
        free_ports=names.free,
        assumptions=tuple(terms.assumptions.values()),
    )
    if lowering.own_nodes is not None:
        vocabulary = vocabulary._replace(
            assumptions=(*vocabulary.assumptions, *lowering.own_nodes.assumptions()), ask=lowering.own_nodes.ask
        )
    if lowering.cilium is not None:
        vocabulary = lowering.cilium.vocabulary(vocabulary, apiserver)
    if lowering.calico is not None:
        vocabulary = lowering.calico.vocabulary(vocabulary)
    (base_chain, base_problems), (head_chain, head_problems) = sides
    notes = chosen.notes(profiles.families(base, head), lowering.cilium is None)
    if lowering.cilium is not None:
        notes += lowering.cilium.notes()
    staged = lowering.calico.staged() if lowering.calico is not None else None
    return Lowered(base_chain, head_chain, vocabulary, base_problems, head_problems, notes, staged)


def _lower_both(
    base: Snapshot, head: Snapshot, chosen: profiles.Choice, names: PortNames
) -> tuple[Terms, _Lowering, list[tuple[Chain, tuple[Problem, ...]]]]:
    terms = Terms(names)
    lowering = _Lowering(terms, chosen)
    if chosen.enforces("Cilium"):
        from bot.policies.cilium.dialect import Cilium

        lowering.cilium = Cilium(terms, base, head)
    if chosen.enforces("Calico"):
        from bot.policies.calico.dialect import Calico

        lowering.calico = Calico(terms, base, head, chosen.version)
    if lowering.cilium is None and lowering.calico is None and chosen.enforces("NetworkPolicy"):
        own_nodes = OwnNodes(base, head)
        if own_nodes.used:
            lowering.own_nodes = own_nodes
            lowering.built_in = own_nodes.policies()
    sides = [lowering.side(base, read_nodes(base)), lowering.side(head, read_nodes(head))]
    if lowering.calico is not None:
        sides = lowering.calico.joined(sides)
    return terms, lowering, sides


class _Lowering:
    """Lowers each distinct object once; what it is resolved through (Nodes, Services) is part of what makes it distinct."""

    def __init__(self, terms: Terms, chosen: profiles.Choice) -> None:
        self._chosen = chosen
        self.cilium: Cilium | None = None
        self.calico: Calico | None = None
        self.own_nodes: OwnNodes | None = None
        self.built_in: tuple[Policy, ...] = ()
        self._networks = NetworkPolicies(terms)
        self._admin = AdminPolicies(terms)
        self._outcomes: dict[int, _Outcome] = {}
        self._by_side: dict[int, _Outcome] = {}
        self._handlers: dict[tuple[str, str], _Lower | str | None] = {}

    def side(self, snapshot: Snapshot, nodes: Nodes) -> tuple[Chain, tuple[Problem, ...]]:
        """The Chain of one side, and what is wrong with its policies."""
        policies: list[Policy] = []
        problems: list[Problem] = []
        handlers, outcomes = self._handlers, self._outcomes
        if nodes != self._admin.nodes:
            self._admin.nodes = nodes
            self._by_side.clear()
        dialect = self.cilium or self.calico
        if dialect is not None and dialect.enter(snapshot):
            self._by_side.clear()
        for key, obj in snapshot.objects.items():
            kind = (obj.kind, obj.api_version)
            if kind not in handlers:
                handlers[kind] = self._handler(*kind)
            handler = handlers[kind]
            if handler is None:
                continue
            done = outcomes.get(id(obj)) or self._by_side.get(id(obj))
            if done is None:
                done = self._lower(obj, key, handler)
            policy, found = done
            if policy is not None:
                policies.append(policy)
            if found:
                problems.extend(found)
        if self.cilium is not None:
            return Chain(self.cilium.checkpoints, (*policies, *self.cilium.built_in)), tuple(problems)
        return Chain(CHECKPOINTS, (*policies, *self.built_in)), tuple(problems)

    def _handler(self, kind: str, api_version: str) -> _Lower | str | None:
        """What lowers objects of a kind, or why they have no effect or cannot be analysed; None for what is no policy."""
        family = profiles.family(kind, api_version)
        if family is None:
            return _refuse_unknown if profiles.is_unknown_policy(kind, api_version) else None
        ignored = self._chosen.ignores(family)
        if ignored is not None:
            return ignored
        plain = self._networks.lower if family == "NetworkPolicy" else self._admin.lower
        dialect = self.cilium or self.calico
        return plain if dialect is None else dialect.handler(family, plain)

    def _lower(self, obj: Object, key: Key, handler: _Lower | str) -> _Outcome:
        if isinstance(handler, str):
            refused = self._chosen.unanalysed(profiles.family(obj.kind, obj.api_version))
            outcome: _Outcome = (None, (Problem(obj, (), handler, refused),))
        else:
            flaws: list[Flaw] = []
            policy = handler(obj, key, flaws)
            outcome = (policy, tuple([Problem(obj, f.path, f.reason, f.refused) for f in flaws]) if flaws else ())
        dialect = self.cilium or self.calico
        if self._admin.looked_at_nodes or (dialect is not None and dialect.looked_around()):
            self._admin.looked_at_nodes = False
            self._by_side[id(obj)] = outcome
        else:
            self._outcomes[id(obj)] = outcome
        return outcome


def _refuse_unknown(obj: Object, key: Key, flaws: list[Flaw]) -> Policy | None:
    """A policy of a kind that no version known here has: nobody can say what it does."""
    flaws.append(Flaw(("kind",), f"{obj.api_version} {obj.kind} is no policy kind that is known here", True))
    return None
