"""Policies of one checkpoint in, their rules and isolations by namespace and what each slot matches of them out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import Expr, Policy, Section, Tier, home
from bot.policies.traffic import Atoms
from bot.reachability.endpoints import indices
from bot.reachability.resolve import Pair, Resolver
from bot.reachability.used import Used

if TYPE_CHECKING:
    from bot.policies.l7 import L7

Rank = tuple["float | str", ...]
SOURCE, DESTINATION = "source", "destination"


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
        self._rules: dict[str | None, list[Standing]] = {}
        self._at_home: dict[str, dict[int, Matched]] = {}
        self._isolations: dict[str | None, list[tuple[Pair, Pair]]] = {}
        self._matched: dict[tuple[str | None, tuple[int, ...]], list[tuple[Rank, Together]]] = {}

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

    def empty(self) -> bool:
        """Whether it has neither rules nor isolations."""
        return not (self.homes or self.wide or self.isolated_homes or self.isolated_wide)

    def rules(self, resolver: Resolver, where: str | None) -> list[Standing]:
        """The rules of one home (None: the wide ones), resolved; in a tier that commutes those alike on one side are united."""
        found = self._rules.get(where)
        if found is None:
            blocks = self.wide if where is None else self.homes.get(where, [])
            found = self._rules[where] = [
                Standing(block.rank, block.key, group)
                for block in blocks
                for group in _groups(block.items, resolver, where, self.tier.commutes)
            ]
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

    def together(self, resolver: Resolver, where: str | None, codes: tuple[int, ...]) -> list[tuple[Rank, Together]]:
        """These of the rules of one home (see `at_home`), united: in a tier that commutes, those of one rank have no order.

        What is about the home alone is apart from the rest.
        """
        found = self._matched.get((where, codes))
        if found is None:
            by_rank: dict[tuple[Rank, bool], Together] = {}
            known = self.rules(resolver, where)
            for code in codes:
                standing = known[code >> 1]
                group = standing.group
                united = by_rank.get((standing.rank, group.near))
                if united is None:
                    united = by_rank[standing.rank, group.near] = Together(group.action, group.near)
                united.add(group, code & 1)
            found = self._matched[where, codes] = [(rank, united) for (rank, _), united in by_rank.items()]
        return found

    def at_home(self, resolver: Resolver, where: str) -> dict[int, Matched]:
        """What of its namespace's own rules and isolations each slot matches; slots that match nothing are left out."""
        found = self._at_home.get(where)
        if found is None and where not in self.homes and where not in self.isolated_homes:
            found = self._at_home[where] = {}
        if found is None:
            rules = _matches([standing.group.fixed for standing in self.rules(resolver, where)])
            isolations = _matches([fixed for fixed, _ in self.isolations(resolver, where)])
            found = self._at_home[where] = {
                slot: (tuple(rules.get(slot, ())), tuple(isolations.get(slot, ()))) for slot in {**rules, **isolations}
            }
        return found


class Together:
    """Rules of one rank in a tier that commutes (all of one action): for each mask what they surely and possibly match.

    `special`: those that allow only some requests, or are exact. `near`: they are about one namespace, from both ends.
    """

    __slots__ = ("action", "near", "plain", "special")

    def __init__(self, action: str, near: bool = False) -> None:
        self.action = action
        self.near = near
        self.plain: dict[int, tuple[int, int]] = {}
        self.special: list[Hit] = []

    def add(self, group: Group, sure: int) -> None:
        """One more rule, whose fixed side surely (or else possibly) matches."""
        if group.l7 is not None or group.exact:
            self.special.append((group, sure))
        else:
            self._match(group.mask, group.must if sure else 0, group.may)

    def _match(self, mask: int, must: int, may: int) -> None:
        known = self.plain.get(mask)
        self.plain[mask] = (must, may) if known is None else (known[0] | must, known[1] | may)

    def with_others(self, others: Sequence[Together]) -> Together:
        """All of them as one."""
        if not others:
            return self
        united = Together(self.action)
        united.plain = dict(self.plain)
        united.special = [*self.special, *(hit for other in others for hit in other.special)]
        for other in others:
            for mask, (must, may) in other.plain.items():
                united._match(mask, must, may)
        return united

    def within(self, run: Run) -> Together:
        """The same for the slots of one run alone, as bits from its start; masks that match none of them left out."""
        start, everything = run[0], (1 << run[1]) - 1
        out = Together(self.action)
        for mask, (must, may) in self.plain.items():
            here = may >> start & everything
            if here:
                out.plain[mask] = (must >> start & everything, here)
        for group, sure in self.special:
            inside = group.within(run)
            if inside.may:
                out.special.append((inside, sure))
        return out

    def content(self) -> tuple[object, ...]:
        """Equal for what is of equal effect."""
        special = tuple([(*group.content(), sure) for group, sure in self.special])
        return self.action, frozenset(self.plain.items()), special


def _matches(fixed: list[Pair]) -> dict[int, list[int]]:
    """For each slot, twice the index of every pair that it possibly matches, plus one where it surely does."""
    out: dict[int, list[int]] = {}
    for index, (must, may) in enumerate(fixed):
        if not may:
            continue
        start = (may & -may).bit_length() - 1
        sure, possible = must >> start, may >> start
        for at in indices(possible):
            out.setdefault(start + at, []).append(2 * index + (sure >> at & 1))
    return out


class Standing(NamedTuple):
    """A resolved rule with its place: the rank, and the policy it is of."""

    rank: Rank
    key: tuple[str, str, str]
    group: Group


Matched = tuple[tuple[int, ...], tuple[int, ...]]
Key = tuple[int, ...]
Run = tuple[int, int]
"""Where slots that stand side by side start, and how many they are."""
NOTHING: Matched = ((), ())


class Group:
    """One or more items with the same fixed side and atoms: the union of their other sides."""

    __slots__ = ("action", "exact", "fixed", "l7", "mask", "may", "must", "near")

    def __init__(self, item: Item, fixed: Pair, other: Pair, near: bool) -> None:
        self.fixed = fixed
        self.must, self.may = other
        self.mask, self.action, self.l7, self.exact = item.mask, item.action, item.l7, item.exact
        self.near = near

    def within(self, run: Run) -> Group:
        """The same with the other side cut down to one run of slots, as bits from its start."""
        out = copy(self)
        start, everything = run[0], (1 << run[1]) - 1
        out.must, out.may = self.must >> start & everything, self.may >> start & everything
        return out

    def content(self) -> tuple[object, ...]:
        """Equal for what is of equal effect on the slots that match the fixed side alike."""
        return self.action, self.mask, self.must, self.may, self.l7, self.exact


Hit = tuple[Group, int]


def _groups(items: list[Item], resolver: Resolver, where: str | None, unite: bool) -> list[Group]:
    """The items of one home, resolved; with `unite`, those that differ in the other side alone are one."""
    out: dict[object, Group] = {}
    for at, item in enumerate(items):
        near = where is not None and home(item.other) == where == home(item.fixed)
        key: object = (item.fixed, item.mask, item.action, item.l7, item.exact, near) if unite else at
        group = out.get(key)
        other = resolver.resolve(item.other)
        if group is None:
            out[key] = Group(item, resolver.resolve(item.fixed), other, near)
        else:
            group.must |= other[0]
            group.may |= other[1]
    return list(out.values())


class Layer:
    """The tables of one set of policies at one checkpoint from one axis, and what each slot matches in them, as a number.

    Slots of one number match the same rules and isolations of every table that has any (`steps`). `halves`: for a number, one
    for what is matched of the rules of the slot's namespace (an index of `own`) and one for the others (of `wides`). 0: none.
    `effects`: what each half comes to, see `Evaluator.parts`.
    """

    __slots__ = (
        "at_home",
        "by_slot",
        "effects",
        "halves",
        "known",
        "numbers",
        "own",
        "steps",
        "tables",
        "wide",
        "wides",
    )

    def __init__(self, tables: list[Table]) -> None:
        self.tables = tables
        self.steps = tuple([step for step, table in enumerate(tables) if not table.empty()])
        nothing = (NOTHING,) * len(self.steps)
        self.by_slot: dict[int, int] = {}
        self.numbers: dict[tuple[int, int], int] = {(0, 0): 0}
        self.halves: list[tuple[int, int]] = [(0, 0)]
        self.at_home: dict[str, dict[int, int]] = {}
        self.known: dict[object, int] = {}
        self.own: list[tuple[str | None, tuple[Matched, ...]]] = [(None, nothing)]
        self.wide: dict[int, int] = {}
        self.wides: list[tuple[Matched, ...]] = [nothing]
        self.effects: dict[tuple[bool, int, int], tuple[int, int]] = {}

    def where(self, number: int) -> str | None:
        """The namespace whose own rules are matched."""
        return self.own[self.halves[number][0]][0]
