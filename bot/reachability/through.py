"""A World and a policy that says something else though its own object is the same in; the objects that make it so out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.manifests.snapshot import Snapshot, assemble
from bot.reachability.causes import Changed
from bot.reachability.world import World, meaning

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object
    from bot.policies.model import Policy

KINDS = (
    "Tier",
    "GlobalNetworkSet",
    "NetworkSet",
    "HostEndpoint",
    "Profile",
    "CiliumCIDRGroup",
    "Service",
    "EndpointSlice",
    "Endpoints",
    "Node",
    "Namespace",
)
"""What policies and exposures are resolved through."""
MOST = 16
TRIED = 48
"""How many times at most a policy is read again to find out which of several changed objects it is made of."""


class Through:
    """Looks behind the changed policies of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sides = [{policy.key: policy for policy in side} for side in (world.only_base, world.only_head)]
        self._found: dict[Changed, tuple[Changed, ...]] = {}
        self._differing: list[tuple[Object | None, Object | None]] | None = None
        self._near: dict[Changed, Object] | None = None
        self._tried = 0

    def behind(self, keys: tuple[Changed, ...]) -> tuple[Changed, ...]:
        """The same causes, with what policies are resolved through in place of those whose own object is the same."""
        if not keys:
            return keys
        return tuple(sorted({found for key in keys for found in self._behind(key)}))

    def _behind(self, key: Changed) -> tuple[Changed, ...]:
        known = self._found.get(key)
        if known is None:
            before, after = (side.get(key) for side in self._sides)
            policy = before or after
            found: tuple[Changed, ...] = ()
            if policy is not None and policy.object is None:
                found = self._built_in()
            elif before is not None and after is not None and _same(before.object, after.object):
                found = self._resolved(before)
            known = self._found[key] = found or (key,)
        return known

    def _changed(self) -> list[tuple[Object | None, Object | None]]:
        if self._differing is None:
            self._differing = _differing(*self._world.snapshots)
        return self._differing

    def _built_in(self) -> tuple[Changed, ...]:
        """What is built in for hosts comes and goes with them."""
        found = [after or before for before, after in self._changed()]
        return tuple(sorted(_key(one) for one in found if one is not None and one.kind in ("HostEndpoint", "Node")))

    def _resolved(self, policy: Policy) -> tuple[Changed, ...]:
        """The changed objects that each alone make the policy another one; if none does, all of them."""
        found = self._changed()
        if 1 < len(found) <= MOST and self._tried + len(found) <= TRIED:
            self._tried += len(found)
            found = [one for one in found if self._matters(policy, one)] or found
        return tuple(sorted(_key(after or before) for before, after in found if after or before))

    def _around(self, base: Snapshot) -> dict[Changed, Object]:
        """What policies are resolved through on the base: all that is in no namespace, and in those that something changed in."""
        if self._near is None:
            spaces = {obj.namespace for pair in self._changed() for obj in pair if obj is not None}
            self._near = {obj.key: obj for obj in base.by_kind(*KINDS) if not obj.namespace or obj.namespace in spaces}
        return self._near

    def _matters(self, policy: Policy, change: tuple[Object | None, Object | None]) -> bool:
        base, _ = self._world.snapshots
        around = dict(self._around(base))
        assert policy.object is not None
        around[policy.object.key] = policy.object
        other = dict(around)
        before, after = change
        if after is not None:
            other[after.key] = after
        elif before is not None:
            other.pop(before.key, None)
        sides = [_of(base, objects) for objects in (around, other)]
        if policy in self._world.exposed.base:
            return _leads(policy, sides[0]) != _leads(policy, sides[1])
        from bot.policies.compile import lower

        lowered = lower(sides[0], sides[1], self._world.lowered.vocabulary.cni)
        said = [
            [meaning(found) for found in chain.policies if found.key == policy.key]
            for chain in (lowered.base, lowered.head)
        ]
        return said[0] != said[1]


def _of(base: Snapshot, objects: dict[Changed, Object]) -> Snapshot:
    return assemble(objects, [], base.where, [], [], base.made)


def _leads(policy: Policy, side: Snapshot) -> object:
    """Where the exposure that a built-in policy is of leads to."""
    from bot.manifests.exposures import exposures

    return [found.backends for found in exposures(side) if (found.kind, found.namespace, found.name) == policy.key]


def _same(before: Object | None, after: Object | None) -> bool:
    return before is not None and after is not None and (before is after or before.value == after.value)


def _differing(base: Snapshot, head: Snapshot) -> list[tuple[Object | None, Object | None]]:
    """What policies are resolved through and is not the same on both sides."""
    before, after = ({obj.key: obj for obj in side.by_kind(*KINDS)} for side in (base, head))
    return [
        (before.get(key), after.get(key))
        for key in sorted({*before, *after})
        if not _same(before.get(key), after.get(key))
    ]


def _key(obj: Object | None) -> Changed:
    assert obj is not None
    return (obj.kind, obj.namespace, obj.name)
