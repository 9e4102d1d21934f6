"""An expression in, the bitsets of the slots that surely and that possibly match it out, each resolved once."""

from __future__ import annotations

from bot.policies.model import (
    And,
    Everything,
    Expr,
    InAddresses,
    InNamespace,
    Is,
    Kind,
    Label,
    Maybe,
    Nobody,
    Not,
    Or,
    Vocabulary,
)
from bot.reachability.endpoints import Universe, bits_at, indices
from bot.reachability.slots import Slot, judge, label_matches, leaf, unknown_address

Pair = tuple[int, int]
NEITHER: Pair = (0, 0)


class Resolver:
    """Bitsets over the slots of one universe, memoised by expression."""

    def __init__(self, universe: Universe, vocabulary: Vocabulary) -> None:
        self.universe = universe
        self.vocabulary = vocabulary
        self.count = len(universe.slots)
        self.everything = (1 << self.count) - 1
        self._memo: dict[Expr, Pair] = {}
        self._by_id: dict[int, tuple[Expr, Pair]] = {}
        self._windows: dict[tuple[int, int], _Window] = {}
        self._inverted: dict[tuple[str, str], dict[str, list[int]]] = {}
        self._addressed: tuple[list[int], int] | None = None
        in_window = 0
        for runs in universe.windows.values():
            for start, length in runs:
                in_window |= ((1 << length) - 1) << start
        self.pods = in_window
        self._loose = indices(self.everything & ~in_window)
        self._guests: dict[str, list[int]] = {}
        for i in self._loose:
            for namespace in {p.namespace for p in universe.slots[i].personas if p.kind == "pod"}:
                self._guests.setdefault(namespace, []).append(i)

    def run_of(self, namespace: str) -> tuple[int, int] | None:
        """Where all endpoints that are in this namespace stand, if that is one run of pods that both sides see alike."""
        runs = self.universe.windows.get(namespace, ())
        if len(runs) != 1 or namespace in self._guests:
            return None
        (start, length) = runs[0]
        bits = ((1 << length) - 1) << start
        return runs[0] if bits & ~self.universe.settled == 0 else None

    def resolve(self, expr: Expr) -> Pair:
        """The slots that surely match, and those that possibly do (a superset)."""
        known = self._by_id.get(id(expr))
        if known is not None:
            return known[1]
        pair = self._memo.get(expr)
        if pair is None:
            pair = self._memo[expr] = self._resolve(expr)
        self._by_id[id(expr)] = (expr, pair)
        return pair

    def _resolve(self, expr: Expr) -> Pair:
        if isinstance(expr, And):
            if isinstance(expr.parts[0], InNamespace):
                return self._within(expr.parts[0].namespace, expr.parts[1:])
            must, may = self.everything, self.everything
            for part in expr.parts:
                sure, possible = self.resolve(part)
                must &= sure
                may &= possible
            return must, may
        if isinstance(expr, Or):
            must = may = 0
            for part in expr.parts:
                sure, possible = self.resolve(part)
                must |= sure
                may |= possible
            return must, may
        if isinstance(expr, Not):
            sure, possible = self.resolve(expr.inner)
            return self.everything & ~possible, self.everything & ~sure
        if isinstance(expr, Maybe):
            return 0, self.resolve(expr.inner)[1]
        if isinstance(expr, Everything):
            return self.everything, self.everything
        if isinstance(expr, Nobody):
            return NEITHER
        if isinstance(expr, Is):
            wanted = set(expr.identities)
            named = bits_at([i for i, slot in enumerate(self.universe.slots) if slot.identity in wanted])
            return named, named
        if isinstance(expr, InNamespace):
            return self._within(expr.namespace, ())
        must, may = self._pods(expr)
        for i in self._loose:
            answers = [leaf(expr, persona, self.vocabulary) for persona in self.universe.slots[i].personas]
            if all(sure for sure, _ in answers):
                must |= 1 << i
            if any(possible for _, possible in answers):
                may |= 1 << i
        return must, may

    def _within(self, namespace: str, parts: tuple[Expr, ...]) -> Pair:
        """The pods of one namespace that match all parts, matched over its own windows only."""
        must = may = 0
        for run in self.universe.windows.get(namespace, ()):
            window = self._window(run)
            sure = possible = window.everything
            for part in parts:
                s, p = self._local(part, window)
                sure &= s
                possible &= p
            must |= sure << run[0]
            may |= possible << run[0]
        for i in self._guests.get(namespace, ()):
            slot = self.universe.slots[i]
            answers = [judge(part, slot, self.vocabulary) for part in parts]
            sole = all(p.kind == "pod" and p.namespace == namespace for p in slot.personas)
            if sole and all(s for s, _ in answers):
                must |= 1 << i
            if all(p for _, p in answers):
                may |= 1 << i
        return must, may

    def _window(self, run: tuple[int, int]) -> _Window:
        found = self._windows.get(run)
        if found is None:
            found = self._windows[run] = _Window(self.universe.slots[run[0] : run[0] + run[1]])
        return found

    def _local(self, expr: Expr, window: _Window) -> Pair:
        """The same algebra over one window of pods, whose namespace is one."""
        if isinstance(expr, Label):
            bits = window.label(expr)
            return bits, bits
        if isinstance(expr, And):
            must = may = window.everything
            for part in expr.parts:
                sure, possible = self._local(part, window)
                must &= sure
                may &= possible
            return must, may
        if isinstance(expr, Or):
            must = may = 0
            for part in expr.parts:
                sure, possible = self._local(part, window)
                must |= sure
                may |= possible
            return must, may
        if isinstance(expr, Not):
            sure, possible = self._local(expr.inner, window)
            return window.everything & ~possible, window.everything & ~sure
        if isinstance(expr, Maybe):
            return 0, self._local(expr.inner, window)[1]
        if isinstance(expr, Everything):
            return window.everything, window.everything
        if isinstance(expr, Nobody):
            return NEITHER
        if isinstance(expr, Is):
            named = bits_at([i for i, slot in enumerate(window.slots) if slot.identity in expr.identities])
            return named, named
        must = may = 0
        for i, slot in enumerate(window.slots):
            sure, possible = leaf(expr, slot.personas[0], self.vocabulary)
            must |= sure << i
            may |= possible << i
        return must, may

    def _pods(self, expr: Expr) -> Pair:
        """A leaf over all windows of pods."""
        if isinstance(expr, Kind):
            bits = self.pods if expr.kind == "pod" else 0
            return bits, bits
        if isinstance(expr, Label):
            bits = self._namespaces(expr) if expr.scope == "namespace" else self._inverted_label(expr)
            return bits, bits
        if isinstance(expr, InAddresses):
            return self._addresses(expr)
        must = may = 0
        for runs in self.universe.windows.values():
            for run in runs:
                sure, possible = self._local(expr, self._window(run))
                must |= sure << run[0]
                may |= possible << run[0]
        return must, may

    def _namespaces(self, label: Label) -> int:
        bits = 0
        for runs in self.universe.windows.values():
            for start, length in runs:
                if label_matches(label, self.universe.slots[start].personas[0].attributes.get("namespace")):
                    bits |= ((1 << length) - 1) << start
        return bits

    def _inverted_label(self, label: Label) -> int:
        values = self._inverted.get((label.scope, label.key))
        if values is None:
            values = self._inverted[(label.scope, label.key)] = {}
            slots = self.universe.slots
            for runs in self.universe.windows.values():
                for start, length in runs:
                    for i in range(start, start + length):
                        attributes = slots[i].personas[0].attributes.get(label.scope)
                        value = None if attributes is None else attributes.get(label.key)
                        if value is not None:
                            values.setdefault(value, []).append(i)
        members: list[int] = []
        if label.operator == "in":
            for value in label.values:
                members.extend(values.get(value, ()))
        else:
            for value, found in values.items():
                if label_matches(label, {label.key: value}):
                    members.extend(found)
        return bits_at(members)

    def _addresses(self, expr: InAddresses) -> Pair:
        if not expr.pods or not self.vocabulary.cidr_meets_pods:
            return NEITHER
        known, unknown = self._pod_addresses()
        sure, possible = unknown_address(expr.addresses, self.vocabulary.pod_addresses)
        must = unknown if sure else 0
        may = unknown if possible else 0
        for i in known:
            if leaf(expr, self.universe.slots[i].personas[0], self.vocabulary)[0]:
                must |= 1 << i
                may |= 1 << i
        return must, may

    def _pod_addresses(self) -> tuple[list[int], int]:
        if self._addressed is None:
            slots = self.universe.slots
            known = [
                i
                for runs in self.universe.windows.values()
                for start, length in runs
                for i in range(start, start + length)
                if slots[i].personas[0].addresses is not None
            ]
            self._addressed = (known, self.pods & ~bits_at(known))
        return self._addressed


class _Window:
    """The pods of one namespace that stand side by side, with their own small index of labels."""

    __slots__ = ("_index", "_read", "everything", "slots")

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.everything = (1 << len(slots)) - 1
        self._index: dict[str, dict[str, dict[str, int]]] = {}
        self._read: set[str] = set()

    def label(self, label: Label) -> int:
        scope = self._index.setdefault(label.scope, {})
        if label.scope not in self._read:
            self._read.add(label.scope)
            for i, slot in enumerate(self.slots):
                for key, value in slot.personas[0].attributes.get(label.scope, {}).items():
                    values = scope.setdefault(key, {})
                    values[value] = values.get(value, 0) | 1 << i
        values = scope.get(label.key, {})
        bits = 0
        if label.operator == "in":
            for value in label.values:
                bits |= values.get(value, 0)
            return bits
        for value, members in values.items():
            if label_matches(label, {label.key: value}):
                bits |= members
        return bits
