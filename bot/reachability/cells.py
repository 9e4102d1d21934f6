"""The rules of a tier and what is undecided before it in, what is open and possible out: one partition of all atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.reachability.limits import meet_limits
from bot.reachability.tables import Hit, Rank, Run, Together

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.policies.l7 import L7
    from bot.policies.model import Tier


class Cell(NamedTuple):
    """Atoms (a mask) and, for all of them alike, the slots at the other end that are open and those that possibly are.

    `limits`: slots at the other end that are allowed only such L7 requests, each with the rules of one side.
    """

    mask: int
    open: int
    maybe: int
    limits: tuple[tuple[L7, int], ...] = ()


class Met:
    """What a class of slots matches in one tier: rules by rank (in a tier that does not commute by policy too), isolations."""

    __slots__ = ("may", "must", "ordered", "tier", "together")

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.together: dict[Rank, list[Together]] = {}
        self.ordered: dict[Rank, dict[tuple[str, str, str], list[Hit]]] = {}
        self.must = self.may = 0

    def without_near(self) -> Met:
        """The same without the rules that are about the class's own namespace alone."""
        out = Met(self.tier)
        for rank, rules in self.together.items():
            far = [one for one in rules if not one.near]
            if far:
                out.together[rank] = far
        out.ordered = self.ordered
        out.must, out.may = self.must, self.may
        return out

    def within(self, run: Run, cut: Callable[[Together, Run], Together]) -> Met:
        """The same with the other ends cut down to one run of slots, as bits from its start."""
        out = Met(self.tier)
        for rank, rules in self.together.items():
            inside = [one for one in (cut(rule, run) for rule in rules) if one.plain or one.special]
            if inside:
                out.together[rank] = inside
        for rank, policies in self.ordered.items():
            out.ordered[rank] = {
                key: [(group.within(run), sure) for group, sure in hits] for key, hits in policies.items()
            }
        everything = (1 << run[1]) - 1
        out.must, out.may = self.must >> run[0] & everything, self.may >> run[0] & everything
        return out


class State:
    """A cell on its way through the tiers: what may still be undecided, allowed, denied, passed on."""

    __slots__ = ("allow", "deny", "exact", "limits", "mask", "passed", "plain", "undecided")

    def __init__(self, mask: int, undecided: int) -> None:
        self.mask = mask
        self.undecided = undecided
        self.allow = self.deny = self.passed = 0
        self.plain = self.exact = 0
        self.limits: dict[L7, int] | None = None

    def split(self, mask: int) -> State:
        """A copy for some of the atoms; this one keeps the rest."""
        other = State(mask, self.undecided)
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


def through(cells: list[State], met: Met | None) -> list[State]:
    """The cells after one tier; None: one in which nothing is matched."""
    if met is None:
        for cell in cells:
            cell.close("", 0, 0)
        return cells
    for rank in sorted(met.together):
        one, *others = met.together[rank]
        cells = _together(cells, one.with_others(others))
    for rank in sorted(met.ordered):
        hits = list(met.ordered[rank].values())
        cells = _in_order(cells, hits[0]) if len(hits) == 1 else _tied(cells, hits)
    for cell in cells:
        cell.close(met.tier.end, met.must, met.may)
    return cells


def alone(met: Met, atoms: int, everything: int) -> list[Cell] | None:
    """All of it for a tier alone, of one rank, whose rules only allow and whose end denies, in closed form; None for others.

    Open is what a rule surely allows or what is surely not isolated; possible is what possibly is either.
    """
    if met.tier.end != "deny" or met.ordered or len(met.together) > 1:
        return None
    free, loose = everything & ~met.may, everything & ~met.must
    by_answer: dict[tuple[int, int], int] = {}
    for one, *others in met.together.values():
        united = one.with_others(others)
        if united.action != "allow" or united.special:
            return None
        for mask, sure, possible in _disjoint(united.plain):
            open_ = sure | free
            answer = (open_, (possible | loose) & ~open_)
            by_answer[answer] = by_answer.get(answer, 0) | mask
            atoms &= ~mask
    if atoms:
        answer = (free, loose & ~free)
        by_answer[answer] = by_answer.get(answer, 0) | atoms
    return [Cell(mask, *answer) for answer, mask in by_answer.items()]


def _cut(cells: list[State], mask: int) -> list[State]:
    """The cells with their atoms split so that each is inside or outside of `mask`; the order stays."""
    out = []
    for cell in cells:
        inside = cell.mask & mask
        if inside and inside != cell.mask:
            out.append(cell.split(inside))
        out.append(cell)
    return out


def _together(cells: list[State], rules: Together) -> list[State]:
    """All rules of one rank at once: the union of what they match."""
    if rules.special:
        return _limiting(cells, rules)
    action = rules.action
    pieces = _disjoint(rules.plain)
    out: list[State] = []
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


def _limiting(cells: list[State], rules: Together) -> list[State]:
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


def _in_order(cells: list[State], hits: list[Hit]) -> list[State]:
    """First match, rule by rule."""
    for group, sure in hits:
        cells = _cut(cells, group.mask)
        for cell in cells:
            if cell.mask & group.mask:
                cell.apply(group.action, group.may, group.l7, group.exact)
                if sure:
                    cell.undecided &= ~group.must
    return cells


def _tied(cells: list[State], policies: list[list[Hit]]) -> list[State]:
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


def merged(cells: list[Cell]) -> list[Cell]:
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
    return merged(out)
