"""A Chain over a Universe in, one row or column of the reachability matrix out, evaluated once for each class of slots.

The axis says which end is fixed: `source` gives, for one source slot, the destinations it reaches; `destination` the
sources that reach one. Every checkpoint is walked in the same way from both.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.policies.model import Checkpoint, Policy
from bot.policies.traffic import Atoms
from bot.reachability.cells import Cell, Met, State, alone, merged, through
from bot.reachability.endpoints import Universe
from bot.reachability.resolve import Pair, Resolver
from bot.reachability.tables import NOTHING, Key, Layer, Matched, Run, Table, Together
from bot.reachability.used import Used


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
        self._parts: dict[object, tuple[int, int]] = {}
        self._contents: dict[object, int] = {None: 0}
        self._effects: dict[int, int] = {}
        self._cut: dict[tuple[int, int], Together] = {}
        self._told: dict[int, tuple[Sequence[Layer], Key, Run | None]] = {}
        self._cells: dict[int, list[Cell]] = {}

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
            number = known[slot] = numbers.setdefault(at, len(layer.halves))
            if number == len(layer.halves):
                layer.halves.append(at)
        return [known[slot] for slot in slots]

    def _at_home(self, layer: Layer, where: str) -> dict[int, int]:
        """For the slots of one namespace, a number for what they match of its own rules; those left out match nothing."""
        tables = [layer.tables[step].at_home(self.resolver, where) for step in layer.steps]
        known = layer.known
        found = layer.at_home[where] = {}
        for slot in {slot: None for table in tables for slot in table}:
            own = (where, tuple([table.get(slot, NOTHING) for table in tables]))
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
        at = _matching(stack, key)
        found = self._rows.get(at)
        if found is None:
            met = self._matched(stack, key)
            found = self._rows[at] = self._walk(stack[0], met, self.resolver.everything)
        return found

    def parts(self, stack: Sequence[Layer], key: Key, run: Run) -> tuple[int, int]:
        """The row of slots that match rules of their own namespace, in two: towards other slots, and towards their own run.

        What is told of the first is true outside of the run alone, and the same for many namespaces; of the second, it has
        the slots of the run as bits from its start. Both are numbers for `cells`; equal ones have equal cells.
        """
        at = (_matching(stack, key), run)
        found = self._parts.get(at)
        if found is None:
            far: list[object] = [self.resolver.everything.bit_length()]
            near: list[object] = [run[1]]
            for layer, number in zip(stack, key, strict=True):
                for own, half in zip((True, False), layer.halves[number], strict=True):
                    if half:
                        effects = self._half(layer, own, half, run)
                        far.append(effects[0])
                        near.append(effects[1])
            found = self._parts[at] = (self._number_of(far), self._number_of(near))
            for number, inside in zip(found, (None, run), strict=True):
                if number not in self._cells and number not in self._told:
                    self._told[number] = (stack, key, inside)
        return found

    def _half(self, layer: Layer, own: bool, number: int, run: Run) -> tuple[int, int]:
        """What is matched of a namespace's own rules, or of the wide ones: numbers for its effect outside and inside of the run."""
        at = (own, number, run[0])
        found = layer.effects.get(at)
        if found is None:
            everything, here = self.resolver.everything, (1 << run[1]) - 1
            far: list[object] = []
            near: list[object] = []
            where, matched = layer.own[number] if own else (None, layer.wides[number])
            for step, one in self._by_tier([(layer, where, matched)]).items():
                isolated = tuple([-1 if bits == everything else bits for bits in (one.must, one.may)])
                far.append((step, one.tier, isolated))
                near.append((step, one.tier, one.must >> run[0] & here, one.may >> run[0] & here))
                for rank, rules in one.together.items():
                    far += [(rank, self._content(rule)) for rule in rules if not rule.near]
                    near += [(rank, self._content(self.cut(rule, run))) for rule in rules]
                for rank, policies in one.ordered.items():
                    for key, hits in policies.items():
                        far.append((rank, key, tuple([(group.content(), sure) for group, sure in hits])))
                        near.append((rank, key, tuple([(group.within(run).content(), sure) for group, sure in hits])))
            found = layer.effects[at] = (self._number_of(far), self._number_of(near))
        return found

    def _number_of(self, content: list[object]) -> int:
        return self._contents.setdefault(tuple(content), len(self._contents))

    def _content(self, rules: Together) -> int:
        """A number for the effect of these rules; 0: none."""
        found = self._effects.get(id(rules))
        if found is None:
            content = rules.content() if rules.plain or rules.special else None
            found = self._effects[id(rules)] = self._contents.setdefault(content, len(self._contents)) if content else 0
        return found

    def cut(self, rules: Together, run: Run) -> Together:
        """These rules with the other ends cut down to one run."""
        found = self._cut.get((id(rules), run[0]))
        if found is None:
            found = self._cut[id(rules), run[0]] = rules.within(run)
        return found

    def cells(self, part: int) -> list[Cell]:
        """The cells of one part of a row."""
        found = self._cells.get(part)
        if found is None:
            stack, key, run = self._told.pop(part)
            met = self._matched(stack, key)
            if run is None:
                met = {step: one.without_near() for step, one in met.items()}
            else:
                met = {step: one.within(run, self.cut) for step, one in met.items()}
            everything = self.resolver.everything if run is None else (1 << run[1]) - 1
            found = self._cells[part] = self._walk(stack[0], met, everything)
        return found

    def _matched(self, stack: Sequence[Layer], key: Key) -> dict[int, Met]:
        """What slots of this key match, by tier; tiers in which they match nothing are left out."""
        halves: list[tuple[Layer, str | None, tuple[Matched, ...]]] = []
        for layer, number in zip(stack, key, strict=True):
            own, wide = layer.halves[number]
            halves += [(layer, *layer.own[own])] if own else []
            halves += [(layer, None, layer.wides[wide])] if wide else []
        return self._by_tier(halves)

    def _by_tier(self, halves: Sequence[tuple[Layer, str | None, tuple[Matched, ...]]]) -> dict[int, Met]:
        out: dict[int, Met] = {}
        for layer, where, matched in halves:
            for step, (rules, isolations) in zip(layer.steps, matched, strict=True):
                if not rules and not isolations:
                    continue
                table = layer.tables[step]
                tier = table.tier
                one = out.get(step)
                if one is None:
                    one = out[step] = Met(tier)
                if rules and tier.commutes:
                    for rank, together in table.together(self.resolver, where, rules):
                        one.together.setdefault(rank, []).append(together)
                elif rules:
                    known = table.rules(self.resolver, where)
                    for code in rules:
                        standing = known[code >> 1]
                        policies = one.ordered.setdefault(standing.rank, {})
                        policies.setdefault(standing.key, []).append((standing.group, code & 1))
                for code in isolations:
                    other = table.isolations(self.resolver, where)[code >> 1][1]
                    one.may |= other[1]
                    if code & 1:
                        one.must |= other[0]
        return out

    def _walk(self, layer: Layer, met: dict[int, Met], everything: int) -> list[Cell]:
        if len(met) == 1:
            found = alone(next(iter(met.values())), self.atoms.everything, everything)
            if found is not None:
                return found
        cells = [State(self.atoms.everything, everything)]
        for step in range(len(layer.tables)):
            cells = through(cells, met.get(step))
            if all(not cell.undecided and cell.limits is None for cell in cells):
                break
        return merged([cell.cell() for cell in cells])


def _matching(stack: Sequence[Layer], key: Key) -> tuple[tuple[int, int], ...]:
    """What identifies a row. Layers that nothing is matched of change nothing: both sides often have these rows in common."""
    return tuple([(id(layer), number) for layer, number in zip(stack, key, strict=True) if number])


def _matched_by(fixed: list[Pair], slot: int) -> tuple[int, ...]:
    return tuple([2 * i + (must >> slot & 1) for i, (must, may) in enumerate(fixed) if may >> slot & 1])
