"""A Chain over a Universe in, one row or column of the reachability matrix out, evaluated once for each class of slots.

The axis says which end is fixed: `source` gives, for one source slot, the destinations it reaches; `destination` the
sources that reach one. Every checkpoint is walked in the same way from both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import Checkpoint, Expr, Policy, Section, Tier, home
from bot.policies.traffic import Atoms
from bot.reachability.endpoints import Universe, indices
from bot.reachability.limits import meet_limits
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
                Standing(block.rank, block.key, group) for block in blocks for group in self._groups(block, resolver)
            ]
        return found

    def _groups(self, block: Block, resolver: Resolver) -> list[_Group]:
        return (
            _united(block.items, resolver) if self.tier.commutes else [_Group(item, resolver) for item in block.items]
        )

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
        """These of the rules of one home (see `at_home`), united by rank: in a tier that commutes their order is nothing."""
        found = self._matched.get((where, codes))
        if found is None:
            by_rank: dict[Rank, Together] = {}
            known = self.rules(resolver, where)
            for code in codes:
                standing = known[code >> 1]
                united = by_rank.get(standing.rank)
                if united is None:
                    united = by_rank[standing.rank] = Together(standing.group.action)
                united.add(standing.group, code & 1)
            found = self._matched[where, codes] = list(by_rank.items())
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

    `special`: those that allow only some requests, or are exact.
    """

    __slots__ = ("action", "plain", "special")

    def __init__(self, action: str) -> None:
        self.action = action
        self.plain: dict[int, tuple[int, int]] = {}
        self.special: list[Hit] = []

    def add(self, group: _Group, sure: int) -> None:
        """One more rule, whose fixed side surely (or else possibly) matches."""
        if group.l7 is not None or group.exact:
            self.special.append((group, sure))
            return
        must = group.must if sure else 0
        known = self.plain.get(group.mask)
        self.plain[group.mask] = (must, group.may) if known is None else (known[0] | must, known[1] | group.may)

    def with_others(self, others: Sequence[Together]) -> Together:
        """All of them as one."""
        if not others:
            return self
        united = Together(self.action)
        plain = united.plain = dict(self.plain)
        united.special = [*self.special, *(hit for other in others for hit in other.special)]
        for other in others:
            for mask, (must, may) in other.plain.items():
                known = plain.get(mask)
                plain[mask] = (must, may) if known is None else (known[0] | must, known[1] | may)
        return united


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
    group: _Group


Matched = tuple[tuple[int, ...], tuple[int, ...]]
Part = tuple["str | None", tuple[Matched, ...], tuple[Matched, ...]]
Key = tuple[int, ...]
_NOTHING: Matched = ((), ())


class _Group:
    """One or more items with the same fixed side and atoms: the union of their other sides."""

    __slots__ = ("action", "exact", "fixed", "l7", "mask", "may", "must")

    def __init__(self, item: Item, resolver: Resolver) -> None:
        self.fixed = resolver.resolve(item.fixed)
        self.must, self.may = resolver.resolve(item.other)
        self.mask, self.action, self.l7, self.exact = item.mask, item.action, item.l7, item.exact


Hit = tuple[_Group, int]


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


class Layer:
    """The tables of one set of policies at one checkpoint from one axis, and what each slot matches in them, as a number.

    Slots of one number match the same rules and isolations of every table that has any (`steps`): `parts` tells which, and
    `active` in which of the steps. 0: none.
    """

    __slots__ = ("active", "at_home", "by_slot", "known", "numbers", "own", "parts", "steps", "tables", "wide", "wides")

    def __init__(self, tables: list[Table]) -> None:
        self.tables = tables
        self.steps = tuple([step for step, table in enumerate(tables) if not table.empty()])
        nothing = (_NOTHING,) * len(self.steps)
        self.by_slot: dict[int, int] = {}
        self.numbers: dict[tuple[int, int], int] = {(0, 0): 0}
        self.parts: list[Part] = [(None, nothing, nothing)]
        self.active: list[tuple[int, ...]] = [()]
        self.at_home: dict[str, dict[int, int]] = {}
        self.known: dict[object, int] = {}
        self.own: list[tuple[str | None, tuple[Matched, ...]]] = [(None, nothing)]
        self.wide: dict[int, int] = {}
        self.wides: list[tuple[Matched, ...]] = [nothing]


class Evaluator:
    """Rows and columns of several sets of policies over one universe. A *stack* is a list of layers evaluated together."""

    def __init__(self, universe: Universe, resolver: Resolver, atoms: Atoms) -> None:
        self.universe = universe
        self.resolver = resolver
        self.atoms = atoms
        self.wide_used = Used()
        self._signatures: dict[int, int] = {}
        self._seen: dict[tuple[object, ...], int] = {}
        self._rows: dict[tuple[tuple[int, int], ...], list[Cell]] = {}

    def layer(self, checkpoint: Checkpoint, axis: str, policies: Sequence[Policy]) -> Layer:
        """The layer of these policies: a table for each tier of a checkpoint."""
        return Layer(
            [Table(checkpoint.name, tier, axis, policies, self.atoms, self.wide_used) for tier in checkpoint.tiers]
        )

    def key(self, stack: Sequence[Layer], slot: int) -> Key:
        """Slots with equal keys have equal rows: the rules and isolations of every table that the slot matches."""
        return tuple(
            [layer.by_slot[slot] if slot in layer.by_slot else self.numbers(layer, (slot,))[0] for layer in stack]
        )

    def numbers(self, layer: Layer, slots: Sequence[int]) -> list[int]:
        """What each of these slots matches in one layer."""
        if not layer.steps:
            return [0] * len(slots)
        known, numbers, wide, all_slots = layer.by_slot, layer.numbers, layer.wide, self.universe.slots
        for slot in slots:
            if slot in known:
                continue
            where = all_slots[slot].namespace
            home = layer.at_home.get(where)
            if home is None:
                home = self._at_home(layer, where)
            signature = self.signature(slot)
            abroad = wide.get(signature)
            if abroad is None:
                abroad = self._wide(layer, slot, signature)
            at = (home.get(slot, 0), abroad)
            number = numbers.get(at)
            if number is None:
                number = self._number(layer, at)
            known[slot] = number
        return [known[slot] for slot in slots]

    def _at_home(self, layer: Layer, where: str) -> dict[int, int]:
        """For the slots of one namespace, a number for what they match of its own rules; those left out match nothing."""
        tables = [layer.tables[step].at_home(self.resolver, where) for step in layer.steps]
        known = layer.known
        found = layer.at_home[where] = {}
        for slot in {slot: None for table in tables for slot in table}:
            own = (where, tuple([table.get(slot, _NOTHING) for table in tables]))
            number = found[slot] = known.setdefault(own, len(layer.own))
            if number == len(layer.own):
                layer.own.append(own)
        return found

    def _wide(self, layer: Layer, slot: int, signature: int) -> int:
        """A number for what a slot matches of the rules that are of no namespace, found once for each signature."""
        matched = []
        for step in layer.steps:
            table = layer.tables[step]
            rules = [standing.group.fixed for standing in table.rules(self.resolver, None)]
            isolations = [fixed for fixed, _ in table.isolations(self.resolver, None)]
            matched.append((_matched_by(rules, slot), _matched_by(isolations, slot)))
        wide = tuple(matched)
        number = layer.wide[signature] = 0 if wide == layer.wides[0] else layer.known.setdefault(wide, len(layer.wides))
        if number == len(layer.wides):
            layer.wides.append(wide)
        return number

    def _number(self, layer: Layer, at: tuple[int, int]) -> int:
        (where, own), wide = layer.own[at[0]], layer.wides[at[1]]
        number = layer.numbers[at] = len(layer.parts)
        layer.parts.append((where, own, wide))
        pairs = zip(layer.steps, own, wide, strict=True)
        layer.active.append(tuple([step for step, a, b in pairs if a != _NOTHING or b != _NOTHING]))
        return number

    def signature(self, slot: int) -> int:
        """A number for what wide expressions can see of a slot."""
        found = self._signatures.get(slot)
        if found is None:
            seen = self.universe.slots[slot]
            sight: tuple[object, ...] = (slot,)
            if seen.kind == "pod":
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
                sight = (
                    labels,
                    ports,
                    persona.addresses if used.addresses else None,
                    persona.namespace if persona.namespace in used.namespaces else None,
                    seen.identity if seen.identity in used.identities else None,
                )
            found = self._signatures[slot] = self._seen.setdefault(sight, len(self._seen))
        return found

    def row(self, stack: Sequence[Layer], slot: int, key: Key | None = None) -> list[Cell]:
        """The cells of one slot at one checkpoint: a partition of all atoms, with what is open at the other end."""
        if key is None:
            key = self.key(stack, slot)
        # Layers that nothing is matched of change nothing: both sides often have these rows in common.
        at = tuple([(id(layer), number) for layer, number in zip(stack, key, strict=True) if number])
        found = self._rows.get(at)
        if found is None:
            found = self._rows[at] = self._walk(stack, key)
        return found

    def _walk(self, stack: Sequence[Layer], key: Key) -> list[Cell]:
        resolver = self.resolver
        cells = [_State(self.atoms.everything, resolver.everything)]
        met = [(layer, layer.parts[number]) for layer, number in zip(stack, key, strict=True) if number]
        active = {step for layer, number in zip(stack, key, strict=True) for step in layer.active[number]}
        for step, first in enumerate(stack[0].tables):
            tier = first.tier
            if step not in active:
                for cell in cells:
                    cell.close("", 0, 0)
                continue
            ranks: dict[Rank, dict[tuple[str, ...], list[Hit]]] = {}
            commuting: dict[Rank, list[Together]] = {}
            must = may = 0
            for layer, (where, own, wide) in met:
                if step not in layer.steps:
                    continue
                table, at = layer.tables[step], layer.steps.index(step)
                for place, (rules, isolations) in ((where, own[at]), (None, wide[at])):
                    if rules and tier.commutes:
                        for rank, together in table.together(resolver, place, rules):
                            commuting.setdefault(rank, []).append(together)
                    elif rules:
                        known = table.rules(resolver, place)
                        for code in rules:
                            standing = known[code >> 1]
                            policies = ranks.setdefault(standing.rank, {})
                            policies.setdefault(standing.key, []).append((standing.group, code & 1))
                    for code in isolations:
                        other = table.isolations(resolver, place)[code >> 1][1]
                        may |= other[1]
                        if code & 1:
                            must |= other[0]
            if len(active) == 1 and len(commuting) <= 1 and tier.end == "deny" and not ranks:
                found = self._alone(next(iter(commuting.values()), []), must, may)
                if found is not None:
                    return found
            for rank in sorted(commuting):
                one, *others = commuting[rank]
                cells = _together(cells, one.with_others(others))
            for rank in sorted(ranks):
                hits = list(ranks[rank].values())
                cells = _in_order(cells, hits[0]) if len(hits) == 1 else _tied(cells, hits)
            decided = True
            for cell in cells:
                cell.close(tier.end, must, may)
                decided = decided and not cell.undecided and cell.limits is None
            if decided:
                break
        return _merged([cell.cell() for cell in cells])

    def _alone(self, rules: list[Together], must: int, may: int) -> list[Cell] | None:
        """The same for a tier alone whose rules only allow, in closed form; `must` and `may`: what is isolated.

        Open is what a rule surely allows or what is surely not isolated; possible is what possibly is either.
        """
        everything = self.resolver.everything
        free, loose = everything & ~may, everything & ~must
        by_answer: dict[tuple[int, int], int] = {}
        rest = self.atoms.everything
        if rules:
            united = rules[0].with_others(rules[1:])
            if united.action != "allow" or united.special:
                return None
            for mask, sure, possible in _disjoint(united.plain):
                open_ = sure | free
                answer = (open_, (possible | loose) & ~open_)
                by_answer[answer] = by_answer.get(answer, 0) | mask
                rest &= ~mask
        if rest:
            answer = (free, loose & ~free)
            by_answer[answer] = by_answer.get(answer, 0) | rest
        return [Cell(mask, *answer) for answer, mask in by_answer.items()]


def _matched_by(fixed: list[Pair], slot: int) -> tuple[int, ...]:
    return tuple([2 * i + (must >> slot & 1) for i, (must, may) in enumerate(fixed) if may >> slot & 1])


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


def _together(cells: list[_State], rules: Together) -> list[_State]:
    """All rules of one rank at once: the union of what they match."""
    if rules.special:
        return _limiting(cells, rules)
    action = rules.action
    pieces = _disjoint(rules.plain)
    out: list[_State] = []
    for cell in cells:
        for mask, must, may in pieces:
            inside = cell.mask & mask
            if inside:
                part = cell if inside == cell.mask else cell.split(inside)
                part.apply(action, may)
                part.undecided &= ~must
                out.append(part)
                if part is cell:
                    break
        else:
            out.append(cell)
    return out


def _disjoint(rules: dict[int, tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Masks that may overlap, each with what it surely and possibly matches, as masks that do not: (mask, must, may)."""
    out: list[tuple[int, int, int]] = []
    for mask, (must, may) in rules.items():
        for at in range(len(out)):
            other, sure, possible = out[at]
            both = other & mask
            if both:
                if both != other:
                    out.append((other ^ both, sure, possible))
                out[at] = (both, sure | must, possible | may)
                mask ^= both
                if not mask:
                    break
        if mask:
            out.append((mask, must, may))
    return out


def _limiting(cells: list[_State], rules: Together) -> list[_State]:
    """The same where some of the rules allow only some requests."""
    for mask in [*rules.plain, *(group.mask for group, _ in rules.special)]:
        cells = _cut(cells, mask)
    for cell in cells:
        decided = 0
        for mask, (must, may) in rules.plain.items():
            if cell.mask & mask:
                cell.apply(rules.action, may)
                decided |= must
        for group, sure in rules.special:
            if cell.mask & group.mask:
                cell.apply(rules.action, group.may, group.l7, group.exact)
                if sure:
                    decided |= group.must
        cell.undecided &= ~decided
    return cells


def _in_order(cells: list[_State], hits: list[Hit]) -> list[_State]:
    """First match, rule by rule."""
    for group, sure in hits:
        cells = _cut(cells, group.mask)
        for cell in cells:
            if cell.mask & group.mask:
                cell.apply(group.action, group.may, group.l7, group.exact)
                if sure:
                    cell.undecided &= ~group.must
    return cells


def _tied(cells: list[_State], policies: list[list[Hit]]) -> list[_State]:
    """Policies of equal rank, whose order nobody defines: each may come first, so each may decide."""
    for hits in policies:
        for group, _ in hits:
            cells = _cut(cells, group.mask)
    for cell in cells:
        start = cell.undecided
        left = start
        for hits in policies:
            cell.undecided = start
            for group, sure in hits:
                if cell.mask & group.mask:
                    cell.apply(group.action, group.may, group.l7, group.exact)
                    if sure:
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
    if len(left) == 1 or len(right) == 1:
        one = left[0] if len(left) == 1 else right[0]
        if not one.open and not one.maybe:
            return [one]
    out = []
    for a in left:
        for b in right:
            mask = a.mask & b.mask
            if mask:
                open_ = a.open & b.open
                maybe = (a.open | a.maybe) & (b.open | b.maybe) & ~open_
                out.append(Cell(mask, open_, maybe, meet_limits(a.limits, b.limits, open_ | maybe)))
    return _merged(out)
