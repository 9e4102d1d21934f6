"""One side in; who has to reach a pod from outside of its policies' sight, and whether those policies let them, out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from bot.lint.context import operated_scrapers
from bot.lint.matching import namespaces_of
from bot.lint.scope import SCRAPER_KEYS
from bot.reachability.exposures import CONTROLLERS

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.lint.finding import Path
    from bot.manifests.snapshot import Object, Workload
    from bot.policies.model import Origin, Policy

_INSIDE = ("workload", "hypothetical", "exposure")
_OWN_NODE = ("entity:host", "entity:health", "host:")


class Isolator(NamedTuple):
    """A policy that isolates a pod in a direction, and where it says so."""

    policy: Policy
    object: Object
    path: Path


def outside(context: Context) -> int:
    """The slots of nodes, of addresses and of entities that are no pods; not of a pod's own node, which nearly always reaches it."""

    def make() -> int:
        out = 0
        for row in context.run.world.universe.rows.values():
            if row.kind not in _INSIDE and not row.identity[-1].startswith(_OWN_NODE):
                for slot in row.head if context.head else row.base:
                    out |= 1 << slot
        return out

    return context.once("outside", make)  # type: ignore[no-any-return]


def controllers(context: Context) -> int:
    """The slots of the ingress controllers that are in Git."""

    def make() -> int:
        return _numbers(context, context.labelled("app.kubernetes.io/name", sorted(CONTROLLERS)))

    return context.once("controllers", make)  # type: ignore[no-any-return]


def scrapers(context: Context) -> int:
    """The slots of Prometheus pods, in Git or made by an operator."""

    def make() -> int:
        slots = _numbers(
            context, [workload for key in SCRAPER_KEYS for workload in context.labelled(key, ("prometheus",))]
        )
        for pod in operated_scrapers(context.snapshot):
            for slot in context.standing_in(pod):
                slots |= 1 << slot
        return slots

    return context.once("scrapers", make)  # type: ignore[no-any-return]


def _numbers(context: Context, workloads: list[Workload]) -> int:
    """The slots of some workloads."""
    if not workloads:
        return 0
    keys = {workload.key for workload in workloads}
    every = context.by_slot if any(workload.host_network for workload in workloads) else context.pods
    return sum(1 << slot for slot, workload in every.items() if workload.key in keys)


def isolator(context: Context, direction: str, slot: int) -> Isolator | None:
    """The policy to name where a pod's isolation is in the way: of its own namespace where there is one, the narrowest."""
    by_home = _isolators(context, direction)
    found = [
        (not policy.object.namespace, bits.bit_count(), policy.key, policy, origin)
        for policy, bits, origin in (*by_home.get(context.pods[slot].namespace, ()), *by_home.get(None, ()))
        if bits >> slot & 1 and policy.object is not None
    ]
    if not found:
        return None
    *_, policy, origin = min(found, key=lambda one: one[:3])
    assert policy.object is not None
    return Isolator(policy, policy.object, origin.path)


def _isolators(context: Context, direction: str) -> dict[str | None, list[tuple[Policy, int, Origin]]]:
    """Every isolation of a direction by the namespace of its policy, where a policy of it can be about no others."""

    def make() -> dict[str | None, list[tuple[Policy, int, Origin]]]:
        out: dict[str | None, list[tuple[Policy, int, Origin]]] = {}
        for one in context.isolating(direction):
            out.setdefault(one[0].key[1] or None, []).append(one)
        return out

    return context.once(f"isolators of {direction}", make)  # type: ignore[no-any-return]


def admits(context: Context, slot: int, sources: int, points: Iterable[int]) -> bool:
    """Whether the pod's own ingress lets any of these in on any of these points (protocol << 16 | port)."""
    return any(context.reached("ingress", slot, point) & sources for point in points)


def admits_elsewhere(context: Context, slot: int) -> bool:
    """Whether any rule for the pod is for peers that may be in another namespace, or outside of the cluster."""
    own = context.by_slot[slot].namespace
    return any(
        peer.direction == "ingress"
        and peer.rules[0].action == "allow"
        and namespaces_of(peer.other) != (own,)
        and context.bits(peer.subject) >> slot & 1
        for peer in context.peers
    )


def slots_of(context: Context, namespace: str, selector: dict[str, str]) -> Iterator[tuple[int, Workload]]:
    """The pods of a namespace that a Service's selector selects, those of the host network left out."""
    from bot.lint.context import slots_by_namespace

    for slot, workload in slots_by_namespace(context).get(namespace, ()):
        if (
            not workload.host_network
            and selector
            and all(workload.labels.get(key) == value for key, value in selector.items())
        ):
            yield slot, workload


def numbers(workload: Workload, port: int | str, protocol: int) -> list[int]:
    """The numbers of a port of a pod, by number or name."""
    if isinstance(port, int):
        return [port]
    return [own.number for own in workload.ports if (own.name, own.protocol) == (port, protocol)]
