"""A World in, the pairs whose traffic differs between its sides out: only what can have changed is evaluated, by class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bot.policies.model import EVERYTHING, Checkpoint, Policy, Section, Tier, home
from bot.reachability.cells import Cell, meet
from bot.reachability.endpoints import ADDED, REMOVED, STAYS, bits_at, indices
from bot.reachability.limits import Span, differs, spans
from bot.reachability.resolve import Pair
from bot.reachability.tables import Key, Layer, Run
from bot.reachability.world import World

SOURCE, DESTINATION = "source", "destination"
Keys = tuple[tuple[Key, ...], ...]


class Profile(NamedTuple):
    """What one changed pair had and has: masks of atoms, open and possible, and which end (if any) is new or gone.

    `l7`: for atoms where only some requests are allowed, which were and which are. `varies`: the masks before are the least
    (of pairs that gain) or the most (of pairs that lose) that any of several pairs had.
    """

    before: int
    before_maybe: int
    after: int
    after_maybe: int
    endpoint: str = ""
    l7: tuple[Span, ...] = ()
    varies: bool = False


class Strip(NamedTuple):
    """Changed pairs found together: a class of fixed rows (with one slot of each side for it) against rows at the other end."""

    axis: str
    fixed: int
    other: int
    profile: Profile
    base_slot: int | None
    head_slot: int | None


class Region(NamedTuple):
    """Slots between which a changed policy may change something."""

    policy: Policy
    sources: int
    destinations: int


def strips(world: World, regions: Sequence[Region], everything: bool = False, by_class: bool = True) -> Iterator[Strip]:
    """Every changed pair, once. `regions`: those of the changed policies; `everything`: evaluate all rows, changed or not.

    `by_class`: one strip for all pairs of a class and a profile, rather than several that many classes have in common
    (as the identical objects).
    """
    universe = world.universe
    rows, columns = _moved(world)
    if everything or _tiers_differ(world):
        rows, columns = (1 << universe.width) - 1, 0
    else:
        for region in regions:
            sources = universe.fold(region.sources, False) | universe.fold(region.sources, True)
            destinations = universe.fold(region.destinations, False) | universe.fold(region.destinations, True)
            if sources.bit_count() <= destinations.bit_count():
                rows |= sources
            else:
                columns |= destinations
    world.prepare()
    rows &= universe.sources
    columns &= universe.destinations
    # Where nearly all are looked at from one end, the few that are left cost less than the other end.
    if columns.bit_count() > (universe.sources & ~rows).bit_count():
        rows, columns = universe.sources, 0
    yield from _evaluate(world, rows, SOURCE, 0, by_class)
    yield from _evaluate(world, columns, DESTINATION, rows, by_class)


def _moved(world: World) -> tuple[int, int]:
    """Rows that are not the same slot on both sides, to be evaluated from both ends."""
    universe = world.universe
    moved = ((1 << universe.moved_count) - 1) << universe.moved
    moved |= universe.base_rows ^ universe.head_rows
    for bit, base, head in universe.irregular:
        if base != head:
            moved |= 1 << bit
    return moved, moved


def _tiers_differ(world: World) -> bool:
    return world.checkpoints[0] != world.checkpoints[1]


# --- Regions: where a changed policy may matter ---


def regions_of(world: World) -> list[Region]:
    """The regions of the changed policies."""
    before = {policy.key: policy for policy in world.only_base}
    after = {policy.key: policy for policy in world.only_head}
    tiers = {(c.name, tier.name): (c, tier) for side in world.checkpoints for c in side for tier in c.tiers}
    totals = _IsolationTotals(world)
    out: list[Region] = []
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        policy = new or old
        assert policy is not None
        pairs: set[tuple[int, int]] = set()
        sections = {(s.checkpoint, s.tier) for p in (old, new) if p is not None for s in p.sections}
        for place in sorted(sections):
            if place not in tiers:
                continue
            checkpoint, tier = tiers[place]
            a = [s for p in (old,) if p is not None for s in p.sections if (s.checkpoint, s.tier) == place]
            b = [s for p in (new,) if p is not None for s in p.sections if (s.checkpoint, s.tier) == place]
            pairs |= _rule_regions(world, tier, a, b)
            pairs |= totals.flips(checkpoint, tier, a, b)
        out.extend(Region(policy, sources, destinations) for sources, destinations in sorted(pairs))
    return out


def _rule_regions(world: World, tier: Tier, old: list[Section], new: list[Section]) -> set[tuple[int, int]]:
    resolve, mask = world.resolver.resolve, world.atoms.mask

    def resolved(sections: list[Section]) -> list[tuple[object, ...]]:
        return [
            (
                resolve(rule.source),
                resolve(rule.destination),
                section.rank,
                rule.action,
                mask(rule.traffic),
                rule.l7,
                rule.exact,
            )
            for section in sections
            for rule in section.rules
        ]

    before, after = resolved(old), resolved(new)
    if before == after:
        return set()
    changed = set(before) ^ set(after) if tier.commutes else {*before, *after}
    return {(rule[0][1], rule[1][1]) for rule in changed}  # type: ignore[index]


class _IsolationTotals:
    """Who is isolated on each side by all policies together: a changed policy matters there only where that flips."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._totals: dict[tuple[str, str, str | None, bool], Pair] = {}

    def flips(self, checkpoint: Checkpoint, tier: Tier, old: list[Section], new: list[Section]) -> set[tuple[int, int]]:
        """The slots whose isolation differs between the sides, among those that the policy isolates on either."""
        world = self.world
        resolve = world.resolver.resolve
        out: set[tuple[int, int]] = set()
        isolations = {(i.source, i.destination) for s in old + new for i in s.isolates}
        subject_is_source = checkpoint.subject != DESTINATION
        for source, destination in isolations:
            subject, other = (source, destination) if subject_is_source else (destination, source)
            bits = resolve(subject)[1]
            if other == EVERYTHING:
                axis = SOURCE if subject_is_source else DESTINATION
                before, after = (self._total(checkpoint, tier, axis, home(subject), head) for head in (False, True))
                bits &= (before[0] ^ after[0]) | (before[1] ^ after[1])
            if bits:
                pair = (bits, resolve(other)[1])
                out.add(pair if subject_is_source else (pair[1], pair[0]))
        return out

    def _total(self, checkpoint: Checkpoint, tier: Tier, axis: str, where: str | None, head: bool) -> Pair:
        """Slots (of one namespace, if given) that are surely, and that are possibly, isolated on one side."""
        at = (checkpoint.name, tier.name, where, head)
        if at not in self._totals:
            self._totals[at] = self._work_out(checkpoint, tier, axis, where, head)
        return self._totals[at]

    def _work_out(self, checkpoint: Checkpoint, tier: Tier, axis: str, where: str | None, head: bool) -> Pair:
        world = self.world
        must = may = 0
        for layer in world.stack(checkpoint, axis, head):
            for table in layer.tables:
                if table.tier.name != tier.name:
                    continue
                for place in [None, *(sorted(table.isolated_homes) if where is None else [where])]:
                    for fixed, other in table.isolations(world.resolver, place):
                        if other[0] == world.resolver.everything:
                            must |= fixed[0]
                        may |= fixed[1]
        return must, may


# --- Evaluation of what may have changed ---


class _Class(NamedTuple):
    """Fixed rows that both sides' rules take alike: the keys of their slots by side, whether they are inside, their bits.

    `run`: the slots of the only namespace that they are in, where their rows can be told in parts (`Evaluator.parts`).
    """

    base: Keys
    head: Keys
    inside: bool
    rows: int
    run: Run | None = None


def _evaluate(world: World, fixed: int, axis: str, done: int, by_class: bool) -> Iterator[Strip]:
    """All changed pairs of the fixed rows, except with rows of `done` (bits of sources, for columns) at the other end."""
    universe = world.universe
    ends = (universe.destinations if axis == SOURCE else universe.sources) & ~done
    parts = _Parts(world, axis, ends)
    for found in _classes(world, fixed, axis):
        row = universe.rows[(found.rows & -found.rows).bit_length() - 1]
        first = (row.base[0] if row.base else None, row.head[0] if row.head else None)
        if found.run is not None:
            changed = parts.changed(found, found.run)
            if by_class:
                united: dict[Profile, int] = {}
                for bits, profile in changed:
                    united[profile] = united.get(profile, 0) | bits
                changed = [(bits, profile) for profile, bits in united.items()]
        else:
            allowed = ends if found.inside else ends & universe.inside
            before, after = (
                world.row_cells(row, axis, head, keys) for head, keys in ((False, found.base), (True, found.head))
            )
            own = ADDED if not row.base else REMOVED if not row.head else STAYS
            states = [(rows, _ends(own, other, axis)) for rows, other in universe.states]
            changed = profiles(world.atoms.everything, before, after, allowed, states)
        for bits, profile in changed:
            yield Strip(axis, found.rows, bits, profile, *first)


class _Parts:
    """Changed pairs of rows that are told in parts: what is far of a namespace and what is in it, each found once."""

    def __init__(self, world: World, axis: str, ends: int) -> None:
        self.world = world
        self.ends = ends
        self.stacks = _stacks(world, axis)
        self.states = [(rows, _ends(STAYS, other, axis)) for rows, other in world.universe.states]
        self._cells: dict[tuple[tuple[int, ...], bool], list[Cell]] = {}
        self._far: dict[object, list[tuple[int, Profile]]] = {}
        self._near: dict[object, list[tuple[int, Profile]]] = {}
        self._placed: dict[tuple[int, int, bool], int] = {}

    def changed(self, found: _Class, run: Run) -> list[tuple[int, Profile]]:
        """The rows at the other end whose traffic with these differs, by what they had and have."""
        parts = self.world.evaluator.parts
        sides = [
            [parts(stack, key, run) for stack, key in zip(stacks, keys[0], strict=True)]
            for stacks, keys in zip(self.stacks, (found.base, found.head), strict=True)
        ]
        far, near = (tuple([tuple([one[at] for one in side]) for side in sides]) for at in (0, 1))
        out = []
        placed = self._placed
        for bits, profile in self._changed_far(far):
            at = (id(bits), run[0], True)
            outside = placed.get(at)
            if outside is None:
                window = ((1 << run[1]) - 1) << run[0]
                outside = placed[at] = bits & ~window if bits & window else bits
            if outside:
                out.append((outside, profile))
        for bits, profile in self._changed_near(near, self.ends >> run[0] & (1 << run[1]) - 1):
            at = (id(bits), run[0], False)
            inside = placed.get(at)
            if inside is None:
                inside = placed[at] = bits << run[0]
            out.append((inside, profile))
        return out

    def _changed_far(self, sides: tuple[tuple[int, ...], ...]) -> list[tuple[int, Profile]]:
        found = self._far.get(sides)
        if found is None:
            before, after = (self._over_rows(side, head) for side, head in zip(sides, (False, True), strict=True))
            everything = self.world.atoms.everything
            found = self._far[sides] = profiles(everything, before, after, self.ends, self.states)
        return found

    def _changed_near(self, sides: tuple[tuple[int, ...], ...], ends: int) -> list[tuple[int, Profile]]:
        at = (sides, ends)
        found = self._near.get(at)
        if found is None:
            before, after = (self._all_checkpoints(side) for side in sides)
            everything = self.world.atoms.everything
            found = self._near[at] = profiles(everything, before, after, ends, [(ends, "")])
        return found

    def _over_rows(self, numbers: tuple[int, ...], head: bool) -> list[Cell]:
        at = (numbers, head)
        if at not in self._cells:
            self._cells[at] = self.world.folded([self._all_checkpoints(numbers)], head)
        return self._cells[at]

    def _all_checkpoints(self, numbers: tuple[int, ...]) -> list[Cell]:
        cells = [self.world.evaluator.cells(number) for number in numbers]
        out = cells[0]
        for other in cells[1:]:
            out = meet(out, other)
        return out


def _stacks(world: World, axis: str) -> list[list[list[Layer]]]:
    """The layers of each checkpoint, of the base and of the head."""
    return [[world.stack(checkpoint, axis, head) for checkpoint in world.checkpoints[head]] for head in (False, True)]


def _classes(world: World, fixed: int, axis: str) -> list[_Class]:
    """The fixed rows by class, in the order of their first ones."""
    universe = world.universe
    stacks = _stacks(world, axis)
    layers = list({id(layer): layer for side in stacks for stack in side for layer in stack}.values())
    place = {id(layer): at for at, layer in enumerate(layers)}
    settled = indices(fixed & universe.settled)
    numbers: Iterable[tuple[int, ...]] = (
        zip(*[world.evaluator.numbers(layer, settled) for layer in layers], strict=True)
        if layers
        else [()] * len(settled)
    )
    by_numbers: dict[tuple[int, ...], list[int]] = {}
    for bit, own in zip(settled, numbers, strict=True):
        by_numbers.setdefault(own, []).append(bit)
    runs: dict[str, Run | None] = {}
    out: list[_Class] = []
    for own, bits in by_numbers.items():
        keys = [(tuple([tuple([own[place[id(layer)]] for layer in stack]) for stack in side]),) for side in stacks]
        rows = bits_at(bits)
        run = None
        where = next((layer.where(one) for layer, one in zip(layers, own, strict=True) if layer.where(one)), None)
        if where is not None:
            if where not in runs:
                runs[where] = world.resolver.run_of(where)
            run = runs[where]
        for part, inside in ((rows & universe.inside, True), (rows & ~universe.inside, False)):
            if part:
                out.append(_Class(keys[0], keys[1], inside, part, run if inside else None))

    def keys_of(slots: tuple[int, ...], head: bool) -> Keys:
        return tuple([world.key(slot, axis, head) for slot in slots])

    others: dict[tuple[Keys, Keys, object, bool], int] = {}
    for bit in indices(fixed & ~universe.settled):
        row = universe.rows[bit]
        # What a moved row would have with only its move, or only the policies, changed is part of what causes it.
        crossed = () if row.base == row.head else (keys_of(row.base, True), keys_of(row.head, False))
        at = (keys_of(row.base, False), keys_of(row.head, True), crossed, bool(universe.inside >> bit & 1))
        others[at] = others.get(at, 0) | 1 << bit
    out += [_Class(before, after, inside, rows) for (before, after, _, inside), rows in others.items()]
    return sorted(out, key=lambda found: found.rows & -found.rows)


def profiles(
    atoms: int, before: list[Cell], after: list[Cell], allowed: int, states: list[tuple[int, str]]
) -> list[tuple[int, Profile]]:
    """The rows at the other end (of those `allowed`) whose traffic differs, by what they had and have.

    `atoms`: the mask of all; `states`: all rows, by which end is new or gone.
    """
    crossed = []
    requests: list[tuple[int, Span]] = []
    changed = 0
    for a in before:
        for b in after:
            mask = a.mask & b.mask
            if mask:
                crossed.append((mask, a.open, a.maybe, b.open, b.maybe))
                changed |= (a.open ^ b.open) | (a.maybe ^ b.maybe)
                if a.limits or b.limits:
                    found = spans(mask, a.limits, a.open | a.maybe, b.limits, b.open | b.maybe)
                    requests += found
                    both = (a.open | a.maybe) & (b.open | b.maybe)
                    for bits, span in found:
                        if bits & both & ~changed and differs(span):
                            changed |= bits & both
    changed &= allowed
    if not changed:
        return []
    width = atoms.bit_length()
    split = [(changed, 0)]
    for mask, *values in crossed:
        for value in values:
            if value:
                split = _noted(split, value, mask)
            mask <<= width
    groups: list[tuple[int, int, tuple[Span, ...]]] = [(bits, noted, ()) for bits, noted in split]
    for members, span in requests:
        groups = [
            part
            for bits, masks, noted in groups
            for part in ((bits & members, masks, (*noted, span)), (bits & ~members, masks, noted))
            if part[0]
        ]
    united: dict[tuple[int, tuple[Span, ...]], int] = {}
    for bits, packed, noted in groups:
        at = (packed, noted)
        united[at] = united.get(at, 0) | bits
    out = []
    for (packed, noted), bits in united.items():
        masks = (packed & atoms, packed >> width & atoms, packed >> 2 * width & atoms, packed >> 3 * width)
        if masks[:2] == masks[2:] and not any(differs(span) for span in noted):
            continue
        for part, endpoint in states:
            if bits & part:
                out.append((bits & part, Profile(*masks, endpoint, noted)))
    return out


def _ends(own: str, other: str, axis: str) -> str:
    """Which ends are new or gone, in words."""
    words = ("from", "to") if axis == SOURCE else ("to", "from")
    return ", ".join(sorted(f"{word} {state}" for word, state in zip(words, (own, other), strict=True) if state))


def _noted(groups: list[tuple[int, int]], value: int, mask: int) -> list[tuple[int, int]]:
    """Rows split by whether they are in `value`, the mask noted where they are."""
    out = []
    for bits, known in groups:
        own = bits & value
        if own:
            out.append((own, known | mask))
            if own != bits:
                out.append((bits ^ own, known))
        else:
            out.append((bits, known))
    return out
