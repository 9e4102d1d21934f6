"""Strips of changed pairs in, the same pairs with the smallest set of changed objects that explains each out.

For the changed objects that touch a strip: those that flip the verdict alone, applied to the base; for the rest, objects are
dropped in a fixed order while the head's verdict holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from bot.policies.model import Checkpoint, Policy
from bot.reachability.cells import Cell, meet
from bot.reachability.diff import DESTINATION, SOURCE, Profile, Region, Strip, strips
from bot.reachability.endpoints import indices
from bot.reachability.limits import limited, limited_to
from bot.reachability.tables import Layer
from bot.reachability.world import World

MOST = 32
WORK = 4_000
WIDE = 256
FEW = 64
Changed = tuple[str, str, str]


class Explained(NamedTuple):
    """Pairs (sources × destinations, bitsets of rows) with one profile and one set of causes.

    `causes`: keys of changed policies, or of changed endpoints and namespaces (`move`), sorted; `axis` and slots as in Strip.
    """

    sources: int
    destinations: int
    profile: Profile
    causes: tuple[Changed, ...]
    too_many: int = 0


class Movers(NamedTuple):
    """Rows by the changed objects that moved them (a relabelled workload or namespace, an added or removed endpoint)."""

    by_object: tuple[tuple[Changed, int], ...]

    def touching(self, rows: int) -> list[tuple[Changed, int]]:
        """The objects that moved any of these rows."""
        return [(key, own & rows) for key, own in self.by_object if own & rows]


class Causes:
    """Explains strips of one world; results of partial evaluations are kept by class.

    `behind`: what some changed policies are resolved through, where they are themselves the same on both sides.
    """

    def __init__(
        self,
        world: World,
        regions: Sequence[Region],
        movers: Movers,
        behind: Callable[[tuple[Changed, ...]], tuple[Changed, ...]] = lambda keys: keys,
    ) -> None:
        self.world = world
        self.movers = movers
        self._behind = behind
        self._regions = regions
        self.regions = [_Folded(world, region) for region in regions]
        self._home: dict[str, dict[int, list[_Folded]]] = {}
        self._wide: dict[str, list[_Folded]] = {
            SOURCE: [region for region in self.regions if region.sources.bit_count() > FEW],
            DESTINATION: [region for region in self.regions if region.destinations.bit_count() > FEW],
        }
        self._by_key = {
            False: {policy.key: policy for policy in world.only_base},
            True: {policy.key: policy for policy in world.only_head},
        }
        self._partial: dict[tuple[object, ...], list[Cell]] = {}
        self._layers: dict[tuple[object, ...], Layer] = {}

    def explain(self, everything: bool = False) -> list[Explained]:
        """All changed pairs, split by cause. `everything`: see `diff.strips`.

        Where choosing among several causes is too much work, all are named.
        """
        changed = {region.key for region in self.regions}
        if len(changed) == 1 and not self.movers.by_object:
            keys, count = tuple(changed), 0
        elif max(map(len, self._wide.values())) > WIDE:
            keys, count = self._few(changed, len(self.movers.by_object))
        else:
            return _united(self._explained(list(strips(self.world, self._regions, everything))))
        alike = bool(count) or not self.movers.by_object
        found = strips(self.world, self._regions, everything, by_class=not alike)
        return _united(
            _explained(strip, strip.fixed, strip.other, () if count else self._with_moves(strip, keys), count)
            for strip in (_merged(found) if alike else found)
        )

    def _explained(self, strips: Sequence[Strip]) -> list[Explained]:
        touched = [(strip, self._touching(strip)) for strip in strips]
        work = sum(2 * len(found) for _, found in touched if len(found) > 1)
        out: list[Explained] = []
        for strip, found in touched:
            if work > WORK and len(found) > 1 and not strip.profile.endpoint:
                keys, count = self._few(found)
                moves = self.movers.touching(strip.fixed)
                out.extend(self._split_fixed(strip, strip.other, keys, moves, count))
            else:
                out.extend(self._explain(strip, found))
        return out

    def _few(self, found: Iterable[Changed], others: int = 0) -> tuple[tuple[Changed, ...], int]:
        """All of them where they can be named, themselves or what they are resolved through; else how many there are."""
        keys = tuple(sorted(found))
        if len(keys) + others > MOST:
            behind = self._behind(keys)
            if len(behind) + others > MOST:
                return (), len(keys) + others
            keys = behind
        return keys, 0

    def _with_moves(self, strip: Strip, keys: tuple[Changed, ...]) -> tuple[Changed, ...]:
        moves = (*self.movers.touching(strip.fixed), *self.movers.touching(strip.other))
        return tuple(sorted({*keys, *(key for key, _ in moves)}))

    def _touching(self, strip: Strip) -> dict[Changed, int]:
        """The changed policies that can matter to a strip, with the rows at the other end where each does."""
        one = (strip.fixed & -strip.fixed).bit_length() - 1
        touching: dict[Changed, int] = {}
        for region in (*self._near_rows(strip.axis).get(one, ()), *self._wide[strip.axis]):
            if strip.axis == SOURCE:
                own, other = region.sources, region.destinations
            else:
                own, other = region.destinations, region.sources
            if own >> one & 1 and other & strip.other:
                touching[region.key] = touching.get(region.key, 0) | (other & strip.other)
        return touching

    def _near_rows(self, axis: str) -> dict[int, list[_Folded]]:
        """The regions that are about few rows, by each of them."""
        found = self._home.get(axis)
        if found is None:
            found = self._home[axis] = {}
            for region in self.regions:
                bits = region.sources if axis == SOURCE else region.destinations
                if bits.bit_count() <= FEW:
                    for bit in indices(bits):
                        found.setdefault(bit, []).append(region)
        return found

    def _explain(self, strip: Strip, touching: dict[Changed, int]) -> list[Explained]:
        if len(touching) == 1 and not self.movers.by_object and strip.other in touching.values():
            return [_explained(strip, strip.fixed, strip.other, tuple(touching))]
        fixed_moves = self.movers.touching(strip.fixed)
        other_moves = self.movers.touching(strip.other)
        if strip.profile.endpoint:
            return self._by_endpoint(strip, fixed_moves, other_moves)
        if len(touching) + len(other_moves) > MOST:
            keys, count = self._few(touching, len(other_moves) + len(fixed_moves))
            keys = keys if count else (*keys, *(key for key, _ in other_moves))
            return self._split_fixed(strip, strip.other, keys, fixed_moves, count)
        out: list[Explained] = []
        for bits, keys in _by_membership(strip.other, [*touching.items(), *other_moves]):
            moved = {key for key, _ in other_moves}
            out.extend(
                self._settle(
                    strip, bits, [k for k in keys if k not in moved], [k for k in keys if k in moved], fixed_moves
                )
            )
        return out

    def _by_endpoint(
        self, strip: Strip, fixed: list[tuple[Changed, int]], other: list[tuple[Changed, int]]
    ) -> list[Explained]:
        """An end is new or gone: that is the cause."""
        universe = self.world.universe
        lasting = universe.base_rows & universe.head_rows
        out = []
        for rows, own in _by_membership(strip.fixed, [(k, b) for k, b in fixed if b & ~lasting]):
            for bits, theirs in _by_membership(strip.other, [(k, b & ~lasting) for k, b in other if b & ~lasting]):
                out.append(_explained(strip, rows, bits, tuple(sorted({*own, *theirs}))))
        return out

    def _split_fixed(
        self, strip: Strip, bits: int, keys: tuple[Changed, ...], moves: list[tuple[Changed, int]], too_many: int = 0
    ) -> list[Explained]:
        """The fixed rows of a class may have been moved by different objects: one result for each."""
        return [
            _explained(strip, rows, bits, tuple(sorted({*keys, *own})), too_many)
            for rows, own in _by_membership(strip.fixed, moves)
        ]

    def _settle(
        self,
        strip: Strip,
        bits: int,
        policies: list[Changed],
        other_moves: list[Changed],
        fixed_moves: list[tuple[Changed, int]],
    ) -> list[Explained]:
        """Choose among the policies, the move of the fixed end and the move of the other end."""
        choices = len(policies) + bool(fixed_moves) + bool(other_moves)
        if choices <= 1:
            return self._split_fixed(strip, bits, (*policies, *other_moves), fixed_moves)
        FIXED, OTHER = ("", "", "fixed"), ("", "", "other")
        parts = sorted(policies) + ([FIXED] if fixed_moves else []) + ([OTHER] if other_moves else [])
        out: list[Explained] = []

        def emit(found: int, used: Sequence[Changed]) -> None:
            keys = [k for k in used if k not in (FIXED, OTHER)] + (other_moves if OTHER in used else [])
            out.extend(self._split_fixed(strip, found, tuple(keys), fixed_moves if FIXED in used else []))

        def agrees(used: Sequence[Changed], among: int) -> int:
            policies_used = frozenset(k for k in used if k not in (FIXED, OTHER))
            return among & self._as_head(strip, policies_used, FIXED in used, OTHER in used)

        rest = bits
        for part in parts:
            alone = agrees([part], rest)
            if alone:
                emit(alone, [part])
                rest &= ~alone
        self._drop(parts, 0, rest, agrees, emit)
        return out

    def _drop(
        self,
        used: list[Changed],
        at: int,
        bits: int,
        agrees: Callable[[Sequence[Changed], int], int],
        emit: Callable[[int, Sequence[Changed]], None],
    ) -> None:
        if not bits:
            return
        if at == len(used):
            emit(bits, used)
            return
        without = used[:at] + used[at + 1 :]
        holds = agrees(without, bits) if without else 0
        self._drop(without, at, holds, agrees, emit)
        self._drop(used, at + 1, bits & ~holds, agrees, emit)

    def _as_head(self, strip: Strip, policies: frozenset[Changed], fixed_head: bool, other_head: bool) -> int:
        """The rows at the other end that have the head's verdict when only these changes are applied to the base."""
        slot = strip.head_slot if fixed_head else strip.base_slot
        assert slot is not None
        cells = self._cells(strip.axis, slot, policies)
        folded = self.world.folded([cells], other_head)
        agreed = -1
        for cell in folded:
            for want, value in ((strip.profile.after, cell.open), (strip.profile.after_maybe, cell.maybe)):
                inside, outside = cell.mask & want, cell.mask & ~want
                if inside:
                    agreed &= value
                if outside:
                    agreed &= ~value
            for atoms, _, after in strip.profile.l7:
                if cell.mask & atoms and after is not None:
                    agreed &= limited_to(cell.limits, after)
                elif cell.mask & atoms:
                    agreed &= ~limited(cell.limits)
        return agreed

    def _cells(self, axis: str, slot: int, policies: frozenset[Changed]) -> list[Cell]:
        """One slot's cells under the base's policies with some swapped for the head's."""
        at = (axis, slot, policies)
        found = self._partial.get(at)
        if found is not None:
            return found
        world = self.world
        near = self._near(axis, slot)
        out: list[Cell] | None = None
        for checkpoint in world.checkpoints[1]:
            stack = [world.stack(checkpoint, axis, False)[0]]
            own = [
                policy
                for key in sorted(near | policies)
                for policy in (self._by_key[key in policies].get(key),)
                if policy is not None
            ]
            if own:
                stack.append(self._own_layer(checkpoint, axis, own))
            key = world.evaluator.key(stack, slot)
            cells = world.evaluator.row(stack, slot, key)
            out = cells if out is None else meet(out, cells)
        found = out if out is not None else [Cell(world.atoms.everything, world.resolver.everything, 0)]
        self._partial[at] = found
        return found

    def _own_layer(self, checkpoint: Checkpoint, axis: str, own: list[Policy]) -> Layer:
        at = (checkpoint.name, axis, tuple(id(policy) for policy in own))
        found = self._layers.get(at)
        if found is None:
            found = self._layers[at] = self.world.evaluator.layer(checkpoint, axis, own)
        return found

    def _near(self, axis: str, slot: int) -> frozenset[Changed]:
        """Changed policies, of either side, that a slot can meet from this axis."""
        world = self.world
        resolve = world.resolver.resolve
        found: set[Changed] = set()
        for policy in world.only_base + world.only_head:
            for section in policy.sections:
                sides = [(r.source, r.destination) for r in section.rules] + [
                    (i.source, i.destination) for i in section.isolates
                ]
                if any(resolve(pair[axis == DESTINATION])[1] >> slot & 1 for pair in sides):
                    found.add(policy.key)
        return frozenset(found)


class _Folded:
    """A region over rows."""

    __slots__ = ("destinations", "key", "sources")

    def __init__(self, world: World, region: Region) -> None:
        fold = world.universe.fold
        self.key: Changed = region.policy.key
        self.sources = fold(region.sources, False) | fold(region.sources, True)
        self.destinations = fold(region.destinations, False) | fold(region.destinations, True)


def _explained(strip: Strip, rows: int, bits: int, keys: tuple[Changed, ...], too_many: int = 0) -> Explained:
    sources, destinations = (rows, bits) if strip.axis == SOURCE else (bits, rows)
    return Explained(sources, destinations, strip.profile, keys, too_many)


def _merged(strips: Iterable[Strip]) -> list[Strip]:
    """Strips of the identical other ends and profile as one, where nobody asks for a class's own slots."""
    fixed: dict[tuple[str, int, int], int] = {}
    first: list[Strip] = []  # holds on to what is told apart by its place in memory
    for strip in strips:
        at = (strip.axis, id(strip.other), id(strip.profile))
        known = fixed.get(at)
        if known is None:
            first.append(strip)
            fixed[at] = strip.fixed
        else:
            fixed[at] = known | strip.fixed
    return [strip._replace(fixed=rows) for strip, rows in zip(first, fixed.values(), strict=True)]


def _united(pieces: Iterable[Explained]) -> list[Explained]:
    """The same pairs in fewer pieces: those alike but for one end are one."""
    by_destinations: dict[tuple[object, ...], int] = {}
    for sources, *alike in pieces:
        at = tuple(alike)
        by_destinations[at] = by_destinations.get(at, 0) | sources
    by_sources: dict[tuple[object, ...], int] = {}
    for (destinations, *alike), sources in by_destinations.items():
        at = (sources, *alike)
        by_sources[at] = by_sources.get(at, 0) | destinations  # type: ignore[operator]
    return [Explained(sources, destinations, *rest) for (sources, *rest), destinations in by_sources.items()]  # type: ignore[arg-type]


def _by_membership(bits: int, sets: Sequence[tuple[Changed, int]]) -> list[tuple[int, tuple[Changed, ...]]]:
    """The bits split by which of the sets hold them."""
    parts: list[tuple[int, tuple[Changed, ...]]] = [(bits, ())]
    for key, members in sets:
        fresh: list[tuple[int, tuple[Changed, ...]]] = []
        for part, keys in parts:
            if part & members:
                fresh.append((part & members, (*keys, key)))
            if part & ~members:
                fresh.append((part & ~members, keys))
        parts = fresh
    return parts
