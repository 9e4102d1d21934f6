"""A World in, which changed objects moved which rows out: workloads and namespaces relabelled, added or removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.reachability.causes import Changed, Movers
from bot.reachability.endpoints import Row
from bot.reachability.slots import Persona
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot


def movers(world: World) -> Movers:
    """The objects behind every row whose slot is not the same on both sides; keys are (kind, namespace, name)."""
    universe = world.universe
    found: dict[Changed, int] = {}
    changed = universe.base_rows ^ universe.head_rows
    moved = ((1 << universe.moved_count) - 1) << universe.moved
    for bit, base, head in universe.irregular:
        if base != head:
            moved |= 1 << bit
    rest = changed | moved
    accounts = _accounts(world) if rest and world.lowered.vocabulary.base_attributes is not None else {}
    while rest:
        low = rest & -rest
        rest ^= low
        for key in _objects(world, universe.rows[low.bit_length() - 1], accounts):
            found[key] = found.get(key, 0) | low
    return Movers(tuple(sorted(found.items())))


def _objects(world: World, row: Row, accounts: Mapping[Changed, list[Changed]]) -> list[Changed]:
    if row.kind == "exposure":
        return [(row.identity[2], row.identity[1], row.identity[3])]
    if row.kind == "node":
        return [("Node", "", row.identity[-1].partition(":")[2])]
    if row.kind not in ("workload", "hypothetical"):
        return [(row.kind, "", row.identity[-1])]
    own: Changed = (row.identity[2], row.identity[1], row.identity[3]) if row.kind == "workload" else ("", "", "")
    namespace: Changed = ("Namespace", "", row.identity[1])
    if not row.base or not row.head:
        return [own] if row.kind == "workload" else [namespace]
    base, head = (_personas(world, slots) for slots in (row.base, row.head))
    keys = []
    if row.kind == "workload" and {_own(p) for p in base} != {_own(p) for p in head}:
        keys += accounts.get(own) or [own]
    if {_namespace(p) for p in base} != {_namespace(p) for p in head} and _declared(world.snapshots, row.identity[1]):
        keys.append(namespace)
    return keys or [own if row.kind == "workload" else namespace]


def _accounts(world: World) -> dict[Changed, list[Changed]]:
    """For each workload that is itself the same on both sides, the ServiceAccounts of it that are not."""
    accounts = [{(o.namespace, o.name): o for o in side.by_kind("ServiceAccount")} for side in world.snapshots]
    objects = [{w.key: w.object for w in side.workloads} for side in world.snapshots]
    out: dict[Changed, list[Changed]] = {}
    for workload in world.snapshots[1].workloads:
        at = (workload.namespace, workload.service_account)
        if objects[0].get(workload.key) is objects[1][workload.key] and accounts[0].get(at) is not accounts[1].get(at):
            keys = out.setdefault(workload.key, [])
            if ("ServiceAccount", *at) not in keys:
                keys.append(("ServiceAccount", *at))
    return out


def _personas(world: World, slots: tuple[int, ...]) -> list[Persona]:
    return [world.universe.slots[slot].personas[0] for slot in slots]


def _own(persona: Persona) -> object:
    rest = tuple(
        sorted((scope, tuple(sorted(v.items()))) for scope, v in persona.attributes.items() if scope != "namespace")
    )
    return (persona.kind, rest, persona.ports, persona.addresses)


def _namespace(persona: Persona) -> object:
    return tuple(sorted(persona.attributes.get("namespace", {}).items()))


def _declared(snapshots: tuple[Snapshot, Snapshot], name: str) -> bool:
    return any(name in s.namespaces and s.namespaces[name].object is not None for s in snapshots)
