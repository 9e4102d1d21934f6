"""A Chain over a Universe in, one row or column of the reachability matrix out, evaluated once for each class of slots.

The axis says which end is fixed: `source` gives, for one source slot, the destinations it reaches; `destination` the
sources that reach one. Every checkpoint is walked in the same way from both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import Checkpoint, Expr, Policy, Section, Tier, home
from bot.policies.traffic import Atoms
from bot.reachability.endpoints import Universe
from bot.reachability.resolve import Pair, Resolver
from bot.reachability.used import Used

if TYPE_CHECKING:
    from bot.policies.l7 import L7

Rank = tuple["float | str", ...]
SOURCE, DESTINATION = "source", "destination"


class Cell(NamedTuple):
    """Atoms (a mask) and, for all of them alike, the slots at the other end that are open and those that possibly are.

    `limits`: slots at the other end that are allowed only such L7 requests, each with the rules of one side.
    """

    mask: int
    open: int
    maybe: int
    limits: tuple[tuple[L7, int], ...] = ()


class Item(NamedTuple):
    """A rule seen from one axis: the fixed side, the other side, its atoms."""

    fixed: Expr
    other: Expr
    mask: int
    action: str
    l7: L7 | None = None
    exact: bool = False


class Block:
    """Rules that stand together: of one policy in an ordered tier, of one rank and home in a tier that commutes."""

    __slots__ = ("items", "key", "rank")

    def __init__(self, rank: Rank, key: tuple[str, str, str]) -> None:
        self.rank = rank
        self.key = key
        self.items: list[Item] = []


class Table:
    """The rules and isolations of some policies in one tier of one checkpoint, seen from one axis, found by namespace."""

    def __init__(
        self, checkpoint: str, tier: Tier, axis: str, policies: Iterable[Policy], atoms: Atoms, wide_used: Used
    ) -> None:
        self.tier = tier
        self.homes: dict[str, list[Block]] = {}
        self.wide: list[Block] = []
        self.isolated_homes: dict[str, list[tuple[Expr, Expr]]] = {}
        self.isolated_wide: dict[Expr, list[Expr]] = {}
        fixed_is_source = axis == SOURCE
        name = tier.name
        merged: dict[tuple[str | None, Rank], Block] = {}
        for policy in policies:
            for section in policy.sections:
                if section.checkpoint != checkpoint or section.tier != name:
                    continue
                self._add_rules(section, policy.key, fixed_is_source, merged, atoms, wide_used)
                for isolation in section.isolates:
                    fixed, other = isolation.source, isolation.destination
                    if not fixed_is_source:
                        fixed, other = other, fixed
                    where = home(fixed)
                    if where is not None:
                        self.isolated_homes.setdefault(where, []).append((fixed, other))
                    else:
                        self.isolated_wide.setdefault(fixed, []).append(other)
                        wide_used.expr(fixed)
        self._groups: dict[int, list[_Group]] = {}
        self._isolations: dict[str | None, list[tuple[Pair, Pair]]] = {}

    def _add_rules(
        self,
        section: Section,
        key: tuple[str, str, str],
        fixed_is_source: bool,
        merged: dict[tuple[str | None, Rank], Block],
        atoms: Atoms,
        wide_used: Used,
    ) -> None:
        rank, commutes = section.rank, self.tier.commutes
        own: Block | None = None
        homes: set[str | None] = set()
        for rule in section.rules:
            fixed, other = (rule.source, rule.destination) if fixed_is_source else (rule.destination, rule.source)
            item = Item(fixed, other, atoms.mask(rule.traffic), rule.action, rule.l7, rule.exact)
            where = home(fixed)
            if where is None:
                wide_used.expr(fixed)
            if commutes:
                block = merged.get((where, rank))
                if block is None:
                    block = merged[(where, rank)] = Block(rank, key)
                    (self.wide if where is None else self.homes.setdefault(where, [])).append(block)
                block.items.append(item)
            else:
                if own is None:
                    own = Block(rank, key)
                own.items.append(item)
                homes.add(where)
        if own is not None:
            where = homes.pop() if len(homes) == 1 else None
            if where is None:
                for item in own.items:
                    wide_used.expr(item.fixed)
                self.wide.append(own)
            else:
                self.homes.setdefault(where, []).append(own)

    def groups(self, block: Block, resolver: Resolver) -> list[_Group]:
        """The items of a block with their sides resolved; in a tier that commutes, those with one fixed side, mask and L7 are united."""
        found = self._groups.get(id(block))
        if found is None:
            found = self._groups[id(block)] = (
                _united(block.items, resolver) if self.tier.commutes else [_Group(i, resolver) for i in block.items]
            )
        return found

    def isolations(self, resolver: Resolver, where: str | None) -> list[tuple[Pair, Pair]]:
        """(fixed, other) pairs of the isolations of one home (None: the wide ones), resolved and united."""
        found = self._isolations.get(where)
        if found is None:
            united: dict[Expr, list[Expr]] = {}
            if where is None:
                united = self.isolated_wide
            else:
                for fixed, other in self.isolated_homes.get(where, ()):
                    united.setdefault(fixed, []).append(other)
            found = self._isolations[where] = []
            for fixed, others in united.items():
                must = may = 0
                for other in others:
                    sure, possible = resolver.resolve(other)
                    must |= sure
                    may |= possible
                found.append((resolver.resolve(fixed), (must, may)))
        return found


class _Group:
    """One or more items with the same fixed side and atoms: the union of their other sides."""

    __slots__ = ("action", "exact", "fixed", "l7", "mask", "may", "must")

    def __init__(self, item: Item, resolver: Resolver) -> None:
        self.fixed = resolver.resolve(item.fixed)
        self.must, self.may = resolver.resolve(item.other)
        self.mask, self.action, self.l7, self.exact = item.mask, item.action, item.l7, item.exact


def _united(items: list[Item], resolver: Resolver) -> list[_Group]:
    out: dict[tuple[object, ...], _Group] = {}
    for item in items:
        key = (item.fixed, item.mask, item.action, item.l7, item.exact)
        group = out.get(key)
        if group is None:
            out[key] = _Group(item, resolver)
        else:
            must, may = resolver.resolve(item.other)
            group.must |= must
            group.may |= may
    return list(out.values())


class Evaluator:
    """Rows and columns of several sets of policies over one universe. A *stack* is a list of policy sets evaluated together."""

    def __init__(self, universe: Universe, resolver: Resolver, atoms: Atoms) -> None:
        self.universe = universe
        self.resolver = resolver
        self.atoms = atoms
        self.wide_used = Used()
        self._signatures: dict[int, tuple[object, ...]] = {}
        self._wide_matches: dict[tuple[int, tuple[object, ...]], tuple[tuple[int, ...], ...]] = {}
        self._rows: dict[tuple[object, ...], list[Cell]] = {}

    def tables(self, checkpoint: Checkpoint, axis: str, policies: Sequence[Policy]) -> list[Table]:
        """One table for each tier of a checkpoint."""
        return [Table(checkpoint.name, tier, axis, policies, self.atoms, self.wide_used) for tier in checkpoint.tiers]

    def key(self, stack: Sequence[Sequence[Table]], slot: int) -> tuple[object, ...]:
        """Slots with equal keys have equal rows: the rules and isolations of every table that the slot matches."""
        out: list[object] = []
        where = self.universe.slots[slot].namespace
        for tables in stack:
            for table in tables:
                blocks = table.homes.get(where)
                if blocks:
                    own = [
                        (i, sure & 1)
                        for i, group in enumerate(g for block in blocks for g in table.groups(block, self.resolver))
                        for sure, possible in ((group.fixed[0] >> slot, group.fixed[1] >> slot),)
                        if possible & 1
                    ]
                    if own:
                        out.append((id(table), where, tuple(own)))
                isolated = table.isolated_homes.get(where)
                if isolated:
                    found = self._isolated(table, where, slot)
                    if found:
                        out.append((id(table), where, found))
                if table.wide or table.isolated_wide:
                    out.append(self._wide(table, slot))
        return tuple(out)

    def _isolated(self, table: Table, where: str | None, slot: int) -> tuple[tuple[int, int], ...]:
        return tuple(
            (i, fixed[0] >> slot & 1)
            for i, (fixed, _) in enumerate(table.isolations(self.resolver, where))
            if fixed[1] >> slot & 1
        )

    def _wide(self, table: Table, slot: int) -> tuple[tuple[int, ...], ...]:
        """What of the table's wide rules a slot matches, found once for each signature."""
        at = (id(table), self.signature(slot))
        found = self._wide_matches.get(at)
        if found is None:
            rules = tuple(
                2 * i + (group.fixed[0] >> slot & 1)
                for i, group in enumerate(g for block in table.wide for g in table.groups(block, self.resolver))
                if group.fixed[1] >> slot & 1
            )
            isolations = tuple(2 * i + sure for i, sure in self._isolated(table, None, slot))
            found = self._wide_matches[at] = (rules, isolations)
        return found

    def signature(self, slot: int) -> tuple[object, ...]:
        """What wide expressions can see of a slot."""
        found = self._signatures.get(slot)
        if found is None:
            seen = self.universe.slots[slot]
            if seen.kind != "pod":
                found = (slot,)
            else:
                persona, used = seen.personas[0], self.wide_used
                labels = tuple(
                    [
                        value.get(key) if value is not None else None
                        for scope, keys in used.keys.items()
                        for value in (persona.attributes.get(scope),)
                        for key in keys
                    ]
                )
                ports = persona.ports if used.ports else ()
                found = (
                    labels,
                    ports,
                    persona.addresses if used.addresses else None,
                    persona.namespace if persona.namespace in used.namespaces else None,
                )
            self._signatures[slot] = found
        return found

    def row(self, stack: Sequence[Sequence[Table]], slot: int, key: tuple[object, ...] | None = None) -> list[Cell]:
        """The cells of one slot at one checkpoint: a partition of all atoms, with what is open at the other end."""
        at = (tuple(id(tables) for tables in stack), key if key is not None else self.key(stack, slot))
        found = self._rows.get(at)
        if found is None:
            found = self._rows[at] = self._walk(stack, slot)
        return found

    def _walk(self, stack: Sequence[Sequence[Table]], slot: int) -> list[Cell]:
        everything = self.resolver.everything
        cells = [_State(self.atoms.everything, everything)]
        where = self.universe.slots[slot].namespace
        for step in range(len(stack[0])):
            tier_tables = [tables[step] for tables in stack]
            tier = tier_tables[0].tier
            ranks: dict[Rank, dict[tuple[str, ...], list[_Group]]] = {}
            for table in tier_tables:
                for block in (*table.homes.get(where, ()), *table.wide):
                    matched = [g for g in table.groups(block, self.resolver) if g.fixed[1] >> slot & 1]
                    if matched:
                        ranks.setdefault(block.rank, {}).setdefault(() if tier.commutes else block.key, []).extend(
                            matched
                        )
            for rank in sorted(ranks):
                policies = list(ranks[rank].values())
                if tier.commutes:
                    cells = _together(cells, policies[0], slot)
                elif len(policies) == 1:
                    cells = _in_order(cells, policies[0], slot)
                else:
                    cells = _tied(cells, policies, slot)
            must = may = 0
            for table in tier_tables:
                for place in (where, None):
                    if place in table.isolated_homes or (place is None and table.isolated_wide):
                        for fixed, other in table.isolations(self.resolver, place):
                            if fixed[1] >> slot & 1:
                                may |= other[1]
                                if fixed[0] >> slot & 1:
                                    must |= other[0]
            for cell in cells:
                cell.close(tier.end, must, may)
        return _merged([cell.cell() for cell in cells])


class _State:
    """A cell on its way through the tiers: what may still be undecided, allowed, denied, passed on."""

    __slots__ = ("allow", "deny", "exact", "limits", "mask", "passed", "plain", "undecided")

    def __init__(self, mask: int, undecided: int) -> None:
        self.mask = mask
        self.undecided = undecided
        self.allow = self.deny = self.passed = 0
        self.plain = self.exact = 0
        self.limits: dict[L7, int] | None = None

    def split(self, mask: int) -> _State:
        """A copy for some of the atoms; this one keeps the rest."""
        other = _State(mask, self.undecided)
        other.allow, other.deny, other.passed, other.plain, other.exact = (
            self.allow,
            self.deny,
            self.passed,
            self.plain,
            self.exact,
        )
        other.limits = None if self.limits is None else dict(self.limits)
        self.mask &= ~mask
        return other

    def apply(self, action: str, may: int, l7: L7 | None = None, exact: bool = False) -> None:
        """What a rule possibly does to the undecided; the caller takes away what it surely decides."""
        touched = self.undecided & may
        if action == "allow":
            self.allow |= touched
            if l7 is None:
                self.plain |= touched
                if exact:
                    self.exact |= touched
            else:
                if self.limits is None:
                    self.limits = {}
                self.limits[l7] = self.limits.get(l7, 0) | touched
        elif action == "deny":
            self.deny |= touched
        else:
            self.passed |= touched

    def close(self, end: str, must: int, may: int) -> None:
        """The end of a tier for the undecided that are isolated in it. L7 rules limit only what is isolated."""
        if self.limits is not None:
            self.limits = {l7: bits & may for l7, bits in self.limits.items()}
        if end == "deny":
            self.deny |= self.undecided & may
            self.undecided &= ~must
        elif end == "allow":
            self.allow |= self.undecided & may
            self.plain |= self.undecided & may
            self.undecided &= ~must
        self.undecided |= self.passed
        self.passed = 0

    def cell(self) -> Cell:
        allow = self.allow | self.undecided
        plain = self.plain | self.undecided
        limits: list[tuple[L7, int]] = []
        if self.limits is not None:
            for l7, bits in self.limits.items():
                bits &= ~(self.exact | self.undecided if l7.kind == "dns" else plain)
                if bits:
                    limits.append((l7, bits))
        if len(limits) > 1:
            limits = _apart(limits)
        return Cell(self.mask, allow & ~self.deny, allow & self.deny, tuple(limits))


def _apart(limits: list[tuple[L7, int]]) -> list[tuple[L7, int]]:
    """Each slot in one entry: what any of the rules that cover it allow there."""
    from bot.policies.l7 import union

    parts: dict[L7, int] = {}
    for l7, bits in limits:
        found: dict[L7, int] = {}
        for other, own in parts.items():
            both = own & bits
            if both:
                either = union(other, l7)
                found[either] = found.get(either, 0) | both
                bits &= ~both
            if own & ~both:
                found[other] = found.get(other, 0) | own & ~both
        if bits:
            found[l7] = found.get(l7, 0) | bits
        parts = found
    return list(parts.items())


def _cut(cells: list[_State], mask: int) -> list[_State]:
    """The cells with their atoms split so that each is inside or outside of `mask`; the order stays."""
    out = []
    for cell in cells:
        inside = cell.mask & mask
        if inside and inside != cell.mask:
            out.append(cell.split(inside))
        out.append(cell)
    return out


def _together(cells: list[_State], groups: list[_Group], slot: int) -> list[_State]:
    """All rules of one rank at once (they are of one action): the union of what they match."""
    plain: dict[int, list[int]] = {}
    special: list[_Group] = []
    action = groups[0].action
    for group in groups:
        if group.l7 is not None or group.exact:
            special.append(group)
            continue
        must = group.must if group.fixed[0] >> slot & 1 else 0
        sum_ = plain.get(group.mask)
        if sum_ is None:
            plain[group.mask] = [must, group.may]
        else:
            sum_[0] |= must
            sum_[1] |= group.may
    for mask in [*plain, *(group.mask for group in special)]:
        cells = _cut(cells, mask)
    for cell in cells:
        decided = 0
        for mask, (must, may) in plain.items():
            if cell.mask & mask:
                cell.apply(action, may)
                decided |= must
        for group in special:
            if cell.mask & group.mask:
                cell.apply(action, group.may, group.l7, group.exact)
                if group.fixed[0] >> slot & 1:
                    decided |= group.must
        cell.undecided &= ~decided
    return cells


def _in_order(cells: list[_State], groups: list[_Group], slot: int) -> list[_State]:
    """First match, rule by rule."""
    for group in groups:
        cells = _cut(cells, group.mask)
        sure = group.fixed[0] >> slot & 1
        for cell in cells:
            if cell.mask & group.mask:
                cell.apply(group.action, group.may, group.l7, group.exact)
                if sure:
                    cell.undecided &= ~group.must
    return cells


def _tied(cells: list[_State], policies: list[list[_Group]], slot: int) -> list[_State]:
    """Policies of equal rank, whose order nobody defines: each may come first, so each may decide."""
    for groups in policies:
        for group in groups:
            cells = _cut(cells, group.mask)
    for cell in cells:
        start = cell.undecided
        left = start
        for groups in policies:
            cell.undecided = start
            for group in groups:
                if cell.mask & group.mask:
                    cell.apply(group.action, group.may, group.l7, group.exact)
                    if group.fixed[0] >> slot & 1:
                        cell.undecided &= ~group.must
            left &= cell.undecided
        cell.undecided = left
    return cells


def _merged(cells: list[Cell]) -> list[Cell]:
    """Cells with equal answers as one."""
    out: dict[tuple[object, ...], int] = {}
    for cell in cells:
        answer = (cell.open, cell.maybe, cell.limits)
        out[answer] = out.get(answer, 0) | cell.mask
    return [Cell(mask, *answer) for answer, mask in out.items()]  # type: ignore[arg-type]


def meet(left: list[Cell], right: list[Cell]) -> list[Cell]:
    """Both checkpoints: open where both are, possible where neither is closed."""
    out = []
    for a in left:
        for b in right:
            mask = a.mask & b.mask
            if mask:
                open_ = a.open & b.open
                maybe = (a.open | a.maybe) & (b.open | b.maybe) & ~open_
                limits = tuple(
                    (l7, bits & (open_ | maybe)) for l7, bits in a.limits + b.limits if bits & (open_ | maybe)
                )
                out.append(Cell(mask, open_, maybe, limits))
    return _merged(out)
