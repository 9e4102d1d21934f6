"""Two Snapshots and their Chains in; everything needed to evaluate rows of either side out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.policies import addresses as address_line
from bot.policies import intervals
from bot.policies.model import Checkpoint, Lowered, Policy
from bot.policies.traffic import Atoms, Traffic
from bot.reachability import exposures
from bot.reachability.cells import Cell, meet
from bot.reachability.endpoints import Hypothetical, Row, Universe, build
from bot.reachability.evaluate import Evaluator
from bot.reachability.limits import join_limits
from bot.reachability.resolve import Resolver
from bot.reachability.tables import Key, Layer
from bot.reachability.used import used_by

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot

Stack = list[Layer]
_WHOLE = (address_line.ALL_V4, address_line.ALL_V6, address_line.ALL)


class World:
    """Both sides over one universe. Policies that say the same on both sides are held once, the rest by side."""

    def __init__(
        self,
        base: Snapshot,
        head: Snapshot,
        lowered: Lowered,
        hypothetical: Sequence[Hypothetical] = (),
        cuts: Sequence[intervals.Intervals] = (),
        family: int = 0,
        traffic: Sequence[Traffic] = (),
    ) -> None:
        """`cuts` and `traffic`: address sets and ports to tell apart beside those of policies; `family` as in `endpoints.build`."""
        vocabulary = lowered.vocabulary
        self.lowered = lowered
        self.snapshots = (base, head)
        used = used_by(lowered.base, lowered.head)
        mentioned = (pair for ranges in used.addresses if ranges not in _WHOLE for pair in ranges)
        internet = intervals.subtract(address_line.ALL, intervals.normal(mentioned)) or address_line.ALL
        self.exposed = exposures.expose(base, head, vocabulary.port_numbers, internet)
        used.policies(self.exposed.base + self.exposed.head)
        used.addresses.update(dict.fromkeys(cuts))
        used.traffic.update(dict.fromkeys(traffic))
        self.common, self.only_base, self.only_head = _split(
            lowered.base.policies + self.exposed.base, lowered.head.policies + self.exposed.head
        )
        self.universe: Universe = build(base, head, used, vocabulary, hypothetical, self.exposed.rows, family)
        self.resolver = Resolver(self.universe, vocabulary)
        self.atoms = Atoms(vocabulary.universe, used.traffic)
        self.evaluator = Evaluator(self.universe, self.resolver, self.atoms)
        shown = (exposures.CHECKPOINT,) if self.exposed.rows else ()
        self.checkpoints: tuple[tuple[Checkpoint, ...], tuple[Checkpoint, ...]] = (
            shown + lowered.base.checkpoints,
            shown + lowered.head.checkpoints,
        )
        self._stacks: dict[tuple[str, str, bool], Stack] = {}
        self._layers: dict[tuple[object, ...], Layer] = {}

    def policies(self, head: bool) -> tuple[Policy, ...]:
        """One side's policies, exposures' built-in ones included."""
        if head:
            return self.lowered.head.policies + self.exposed.head
        return self.lowered.base.policies + self.exposed.base

    def stack(self, checkpoint: Checkpoint, axis: str, head: bool) -> Stack:
        """The layers of one side at one checkpoint: what both sides share, and what is only here."""
        at = (checkpoint.name, axis, head)
        found = self._stacks.get(at)
        if found is None:
            own = self.only_head if head else self.only_base
            found = self._stacks[at] = [self._shared(checkpoint, axis, head)]
            if own:
                found.append(self.evaluator.layer(checkpoint, axis, own))
        return found

    def _shared(self, checkpoint: Checkpoint, axis: str, head: bool) -> Layer:
        at = (checkpoint, axis)
        found = self._layers.get(at)
        if found is None:
            found = self._layers[at] = self.evaluator.layer(checkpoint, axis, self.common)
        return found

    def prepare(self) -> None:
        """Build every layer, so that signatures know all wide expressions before the first slot is looked at."""
        for head in (False, True):
            for checkpoint in self.checkpoints[head]:
                for axis in ("source", "destination"):
                    self.stack(checkpoint, axis, head)

    def key(self, slot: int, axis: str, head: bool) -> tuple[Key, ...]:
        """Slots with equal keys have equal cells."""
        return tuple([self.evaluator.key(self.stack(c, axis, head), slot) for c in self.checkpoints[head]])

    def cells(self, slot: int, axis: str, head: bool, key: tuple[Key, ...] | None = None) -> list[Cell]:
        """What is open between this slot and every slot at the other end, all checkpoints together."""
        if key is None:
            key = self.key(slot, axis, head)
        out: list[Cell] | None = None
        for checkpoint, own in zip(self.checkpoints[head], key, strict=False):
            cells = self.evaluator.row(self.stack(checkpoint, axis, head), slot, own)
            out = cells if out is None else meet(out, cells)
        if out is None:
            return [Cell(self.atoms.everything, self.resolver.everything, 0)]
        return out

    def row_cells(self, row: Row, axis: str, head: bool, keys: Sequence[tuple[Key, ...]] | None = None) -> list[Cell]:
        """The cells of an endpoint (any of its slots), folded to rows; none where it is absent on this side. `keys`: of its slots."""
        slots = row.head if head else row.base
        parts = [self.cells(slot, axis, head, keys[at] if keys else None) for at, slot in enumerate(slots)]
        return self.folded(parts, head)

    def folded(self, parts: list[list[Cell]], head: bool) -> list[Cell]:
        """The union of several slots' cells, over rows instead of slots."""
        if not parts:
            return [Cell(self.atoms.everything, 0, 0)]
        cells = parts[0]
        for other in parts[1:]:
            cells = [
                Cell(
                    a.mask & b.mask,
                    a.open | b.open,
                    (a.maybe | b.maybe) & ~(a.open | b.open),
                    join_limits(a.limits, a.open | a.maybe, b.limits, b.open | b.maybe),
                )
                for a in cells
                for b in other
                if a.mask & b.mask
            ]
        if self.universe.alike:
            return cells
        fold = self.universe.fold
        out = []
        for cell in cells:
            open_ = fold(cell.open, head)
            maybe = fold(cell.maybe, head) & ~open_ if cell.maybe else 0
            allowed = cell.open | cell.maybe
            # A row of several slots is limited only where every slot of it that is allowed is.
            limits = tuple((l7, fold(bits, head) & ~fold(allowed & ~bits, head)) for l7, bits in cell.limits)
            out.append(Cell(cell.mask, open_, maybe, limits))
        return out


def _split(
    base: tuple[Policy, ...], head: tuple[Policy, ...]
) -> tuple[tuple[Policy, ...], tuple[Policy, ...], tuple[Policy, ...]]:
    """Policies that say the same on both sides, those only of the base, those only of the head."""
    before = {policy.key: policy for policy in base}
    common: list[Policy] = []
    only_head: list[Policy] = []
    shared: set[tuple[str, str, str]] = set()
    for policy in head:
        old = before.get(policy.key)
        if old is policy or (old is not None and meaning(old) == meaning(policy)):
            common.append(policy)
            shared.add(policy.key)
        else:
            only_head.append(policy)
    return tuple(common), tuple(p for p in base if p.key not in shared), tuple(only_head)


def meaning(policy: Policy) -> object:
    """What a policy says, without where it says it."""
    return tuple(
        (
            section[:3],
            tuple((r.action, r.source, r.destination, r.traffic, r.l7, r.exact) for r in section.rules),
            tuple((i.source, i.destination) for i in section.isolates),
        )
        for section in policy.sections
    )
