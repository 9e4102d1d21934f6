"""One policy of one side in, the pods that it selects and the paths that it opens and closes out: evaluated with and without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.errors import UsageError
from bot.policies.model import Chain, Isolation, Lowered, Policy, Rule
from bot.reachability.analysis import compare
from bot.reachability.change import Change, EndpointFacts
from bot.reachability.endpoints import indices
from bot.reachability.facts import Names
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot


class Selected(NamedTuple):
    """What a policy selects at one checkpoint: ids of workloads, their namespaces, and whether it isolates them."""

    checkpoint: str
    pods: tuple[str, ...]
    namespaces: tuple[str, ...]
    isolates: bool


class Effect(NamedTuple):
    """A policy with where it stands. `changes`: rows of what differs with it from without it (opened: it opens them)."""

    title: str
    file: str
    lines: tuple[int, int]
    selected: tuple[Selected, ...]
    changes: tuple[Change, ...]
    endpoints: dict[str, EndpointFacts]


def effect(name: str, snapshot: Snapshot, lowered: Lowered) -> Effect:
    """`name`: NAMESPACE/NAME, the NAME of a cluster-wide one, or either after `KIND/` or `KIND `. Raises UsageError."""
    policy = _find(name, lowered.head.policies)
    rest = Chain(lowered.head.checkpoints, tuple(one for one in lowered.head.policies if one is not policy))
    found = compare(snapshot, snapshot, lowered._replace(base=rest))
    assert policy.object is not None
    file, lines = snapshot.location(policy.object)
    return Effect(policy.title, file, lines, _selected(policy, snapshot, lowered), found.changes, found.endpoints)


def _find(name: str, policies: tuple[Policy, ...]) -> Policy:
    called = {
        policy.key: {policy.title, policy.title.replace(" ", "/", 1), policy.title.partition(" ")[2]}
        for policy in policies
        if policy.object is not None
    }
    found = [policy for policy in policies if name in called.get(policy.key, ())]
    if len(found) > 1:
        raise UsageError(f"--policy {name}: say which one: {', '.join(policy.title for policy in found)}")
    if not found:
        from difflib import get_close_matches

        near = get_close_matches(name, sorted({text for names in called.values() for text in names}), 2, 0.6)
        raise UsageError(f"--policy {name}: no such policy" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    return found[0]


def _selected(policy: Policy, snapshot: Snapshot, lowered: Lowered) -> tuple[Selected, ...]:
    world = World(snapshot, snapshot, lowered)
    universe, resolve = world.universe, world.resolver.resolve
    names = Names(universe, snapshot, snapshot)
    out = []
    for checkpoint in world.checkpoints[1]:
        bits = 0
        isolates = False
        for section in policy.sections:
            if section.checkpoint == checkpoint.name:
                isolates = isolates or bool(section.isolates)
                both: list[Rule | Isolation] = [*section.rules, *section.isolates]
                for one in both:
                    bits |= resolve(one.destination if checkpoint.subject == "destination" else one.source)[1]
        rows = [universe.rows[bit] for bit in indices(universe.fold(bits, True) & universe.inside)]
        if rows or isolates:
            spaces = sorted({row.identity[1] for row in rows if row.kind == "workload"})
            pods = sorted(names.id_of(row) for row in rows)
            out.append(Selected(checkpoint.name, tuple(pods), tuple(spaces), isolates))
    return tuple(out)
