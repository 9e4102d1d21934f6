"""Programs of patterns in; whether a text matches whole, and whether one language lies in another, with a shortest counterexample.

Inclusion walks the states of the smaller language beside the subset construction of the larger one, breadth first. Of two ways to
the same state only the one whose subset is smaller is followed: what escapes the larger subset escapes the smaller. Fields of a
request are joined by symbols beyond Unicode, so that a question about requests is a question about one language. Texts have no
NUL, CR or LF. All work is counted, and beyond a budget the answer is Unknown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from bot.policies.character_classes import LAST_CHARACTER, WORD
from bot.policies.intervals import Intervals, intersect
from bot.policies.re2 import (
    ASSERT,
    BEGIN_LINE,
    BEGIN_TEXT,
    BOUNDARY,
    END_LINE,
    END_TEXT,
    JUMP,
    MATCH,
    SET,
    SPLIT,
    Code,
    Instruction,
    Pattern,
)

MOST_STATES = 50_000
MOST_STEPS = 600_000
MOST_BYTES = 48_000_000
LARGEST_QUESTION = 50_000
ALPHABET: Intervals = ((1, 9), (11, 12), (14, 0xD7FF), (0xE000, LAST_CHARACTER))
SEPARATOR = LAST_CHARACTER + 1
SYMBOLS = SEPARATOR + 1
"""The first symbol that is neither a character nor the separator."""

_EDGE, _NEWLINE, _WORD, _OTHER = range(4)
_NICEST = "abcdefghijklmnopqrstuvwxyz0123456789/-_.~ABCDEFGHIJKLMNOPQRSTUVWXYZ:?=&%+@!$'()*,;#[]|<>{}^`\"\\ "


NOTHING = Pattern("", (Instruction(SET, ()),))
"""The pattern that no text matches."""


class Included(NamedTuple):
    """Everything of the first language is in the second."""


class Witness(NamedTuple):
    """A shortest word of the first language that is not in the second; symbols may be beyond Unicode."""

    symbols: tuple[int, ...]

    @property
    def text(self) -> str:
        """The word, where all its symbols are characters."""
        return "".join(map(chr, self.symbols))


class Unknown(NamedTuple):
    """Nobody can tell, and why."""

    reason: str


Answer = Included | Witness | Unknown


class _Exhausted(Exception):
    """The budget of a question is spent."""


class _Budget:
    """The work that is left for one question."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise _Exhausted


# --- Putting programs together ---


def joined(fields: Iterable[Code]) -> Code:
    """The words of each field one after the other, a separator after each; `^` and `$` hold at the ends of a field."""
    return tuple(
        instruction for field in fields for instruction in (*field, Instruction(SET, ((SEPARATOR, SEPARATOR),)))
    )


def literal(text: str) -> Pattern:
    """The pattern that only this text matches."""
    return Pattern(text, tuple(Instruction(SET, ((ord(character), ord(character)),)) for character in text))


def symbol(choices: Iterable[int]) -> Code:
    """Any one of these symbols."""
    return (Instruction(SET, tuple((choice, choice) for choice in sorted(choices))),)


def union(languages: Sequence[Code]) -> Code:
    """The words of any of these; of none: no word."""
    if not languages:
        return NOTHING.code
    if len(languages) == 1:
        return languages[0]
    length = sum(len(language) + 2 for language in languages[:-1]) + len(languages[-1])
    code: list[Instruction] = []
    for language in languages[:-1]:
        code.append(Instruction(SPLIT, (), 1, len(language) + 2))
        code.extend(language)
        code.append(Instruction(JUMP, (), length - len(code)))
    code.extend(languages[-1])
    return tuple(code)


class _Machine:
    """A program with absolute addresses, jumps followed; a MATCH at the end."""

    def __init__(self, code: Code) -> None:
        self.steps = [instruction.step for instruction in code] + [MATCH]
        self.sets = [instruction.characters for instruction in code]
        self.tests = [instruction.first for instruction in code]
        self.asserts = {i.first for i in code if i.step == ASSERT}
        raw = [
            (at + i.first, at + i.second) if i.step == SPLIT else (at + i.first,) if i.step == JUMP else (at + 1,)
            for at, i in enumerate(code)
        ]
        landing = list(range(len(self.steps)))
        for at in range(len(code) - 1, -1, -1):
            if self.steps[at] == JUMP:  # a jump back goes to a SPLIT, so only jumps ahead make chains
                landing[at] = landing[raw[at][0]]
        self.start = landing[0]
        self.targets = [tuple(landing[target] for target in targets) for targets in raw]
        self._closures: dict[tuple[int, int, int], tuple[tuple[int, ...], bool]] = {}

    def closure(self, at: int, before: int, after: int, budget: _Budget) -> tuple[tuple[int, ...], bool]:
        """The SET steps reached from `at` between a `before` and an `after`, and whether the end is."""
        key = (at, before, after)
        found = self._closures.get(key)
        if found is not None:
            return found
        seen = {at}
        stack = [at]
        sets: list[int] = []
        matched = False
        while stack:
            here = stack.pop()
            step = self.steps[here]
            if step == SET:
                sets.append(here)
            elif step == MATCH:
                matched = True
            elif step == SPLIT or _holds(self.tests[here], before, after):
                for target in self.targets[here]:
                    if target not in seen:
                        seen.add(target)
                        stack.append(target)
        budget.spend(len(seen))
        found = self._closures[key] = tuple(sets), matched
        return found


def _holds(test: int, before: int, after: int) -> bool:
    if test == BEGIN_TEXT:
        return before == _EDGE
    if test == END_TEXT:
        return after == _EDGE
    if test == BEGIN_LINE:
        return before in (_EDGE, _NEWLINE)
    if test == END_LINE:
        return after in (_EDGE, _NEWLINE)
    return ((before == _WORD) != (after == _WORD)) == (test == BOUNDARY)


# --- Matching ---


def matches(pattern: Pattern, text: str) -> bool | None:
    """Whether the whole of `text` matches, as RE2's FullMatch says; None if the pattern is unsupported or too much work."""
    if pattern.unsupported:
        return None
    machine = _machine(pattern)
    budget = _Budget(MOST_STEPS)
    try:
        states = {machine.start}
        before = _EDGE
        for character in map(ord, text):
            after = _kind(character)
            reached: set[int] = set()
            for state in states:
                sets, _ = machine.closure(state, before, after, budget)
                budget.spend(len(sets) + 1)
                reached.update(machine.targets[at][0] for at in sets if _in(character, machine.sets[at]))
            states, before = reached, after
            if not states:
                return False
        return any(machine.closure(state, before, _EDGE, budget)[1] for state in states)
    except _Exhausted:
        return None


@lru_cache(maxsize=256)
def _machine(pattern: Pattern) -> _Machine:
    return _Machine(pattern.code)


def _kind(character: int) -> int:
    return _NEWLINE if character == 10 else _WORD if _in(character, WORD) else _OTHER


def _in(point: int, ranges: Intervals) -> bool:
    if len(ranges) < 8:
        return any(first <= point <= last for first, last in ranges)
    i = bisect_right(ranges, (point, LAST_CHARACTER + 1)) - 1
    return i >= 0 and point <= ranges[i][1]


# --- Inclusion ---


def included(inside: Sequence[Pattern], outside: Sequence[Pattern]) -> Answer:
    """Whether every text that matches all of `inside` matches one of `outside`."""
    for pattern in (*inside, *outside):
        if pattern.unsupported:
            return Unknown(pattern.unsupported)
    return difference([pattern.code for pattern in inside], union([pattern.code for pattern in outside]))


def difference(inside: Sequence[Code], outside: Code) -> Answer:
    """Whether every word that is in all of `inside` is in `outside`."""
    if len(outside) + sum(map(len, inside)) > LARGEST_QUESTION:
        return Unknown("too many rules, or too large ones")
    try:
        return _search([_Machine(code) for code in inside], _Machine(outside))
    except _Exhausted:
        return Unknown("a language that is too complex")


class _Classes(NamedTuple):
    """Symbols that no set tells apart, the nicest first: a symbol of each, what each is beside `\\b`, and each set's classes."""

    symbols: list[int]
    kinds: list[int]
    members: dict[Intervals, list[int]]


class _Moves:
    """Where each state of a machine goes on each class, found when asked for."""

    def __init__(self, machine: _Machine, classes: _Classes, budget: _Budget) -> None:
        self.machine = machine
        self.classes = classes
        self.budget = budget
        self.contexts = sorted(set(classes.kinds))
        self._found: dict[tuple[int, int], dict[int, list[int]]] = {}

    def after(self, state: int, before: int) -> dict[int, list[int]]:
        """Class -> the states reached, classes in order."""
        found = self._found.get((state, before))
        if found is None:
            moves: dict[int, dict[int, None]] = {}
            for context in self.contexts:
                for at in self.machine.closure(state, before, context, self.budget)[0]:
                    target = self.machine.targets[at][0]
                    names = self.classes.members[self.machine.sets[at]]
                    self.budget.spend(1 + len(names))
                    for name in names:
                        if self.classes.kinds[name] == context:
                            moves.setdefault(name, {})[target] = None
            found = self._found[(state, before)] = {name: list(moves[name]) for name in sorted(moves)}
        return found

    def accepts(self, state: int, before: int) -> bool:
        """Whether the word may end here."""
        return self.machine.closure(state, before, _EDGE, self.budget)[1]


class _Subsets:
    """The subset construction of a machine, made as far as it is walked. A subset is known by a number."""

    def __init__(self, moves: _Moves, start: int) -> None:
        self.moves = moves
        self.weight = 1 + (len(moves.machine.steps) >> 12)
        self.width = (len(moves.machine.steps) >> 3) + 1
        self.bits: list[int] = []
        self.befores: list[int] = []
        self._numbers: dict[tuple[bytes, int], int] = {}
        self._single: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._next: dict[int, dict[int, int]] = {}
        self.empty = [self._number(0, before) for before in range(_OTHER + 1)]
        self.start = self._number(1 << moves.machine.start, start)

    def _number(self, bits: int, before: int) -> int:
        # Not the integer itself as a key: powers of two have only 61 hashes.
        key = (bits.to_bytes(self.width, "little"), before)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.bits)
            self.bits.append(bits)
            self.befores.append(before)
            if len(self.bits) * self.width > MOST_BYTES:
                raise _Exhausted
        return number

    def after(self, number: int) -> dict[int, int]:
        """Class -> the subset after a symbol of it (absent: the empty one)."""
        found = self._next.get(number)
        if found is None:
            united: dict[int, int] = {}
            before = self.befores[number]
            for state in _ones(self.bits[number]):
                masks = self._masks(state, before)
                self.moves.budget.spend(self.weight * (1 + len(masks)))
                for name, mask in masks:
                    united[name] = united.get(name, 0) | mask
            kinds = self.moves.classes.kinds
            found = self._next[number] = {name: self._number(bits, kinds[name]) for name, bits in united.items()}
        return found

    def _masks(self, state: int, before: int) -> list[tuple[int, int]]:
        found = self._single.get((state, before))
        if found is None:
            moves = self.moves.after(state, before)
            found = [(name, sum(1 << target for target in targets)) for name, targets in moves.items()]
            self._single[(state, before)] = found
        return found

    def accepts(self, number: int) -> bool:
        """Whether the word may end in any state of the subset."""
        before = self.befores[number]
        return any(self.moves.accepts(state, before) for state in _ones(self.bits[number]))


def _ones(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _search(inside: Sequence[_Machine], outside: _Machine) -> Answer:
    budget = _Budget(MOST_STEPS)
    asserts = outside.asserts.union(*(machine.asserts for machine in inside))
    classes = _classify((*inside, outside), asserts, budget)
    firsts = [_Moves(machine, classes, budget) for machine in inside]
    second = _Subsets(_Moves(outside, classes, budget), _EDGE if asserts else _OTHER)
    states = [(tuple(machine.start for machine in inside), second.start)]
    parents: list[tuple[int, int]] = [(-1, -1)]
    visited: dict[tuple[tuple[int, ...], int], list[int]] = {}
    here = 0
    while here < len(states):
        heads, subset = states[here]
        before = second.befores[subset]
        if all(map(_Moves.accepts, firsts, heads, [before] * len(heads))) and not second.accepts(subset):
            return Witness(_word(parents, here, classes))
        rest = second.after(subset)
        moves = [first.after(head, before) for first, head in zip(firsts, heads, strict=True)]
        for name, targets in moves[0].items():
            every = [targets, *(other.get(name, ()) for other in moves[1:])]
            if not all(every):
                continue
            context = classes.kinds[name]
            following = rest.get(name, second.empty[context])
            bits = second.bits[following]
            for reached in product(*every):
                known = visited.setdefault((reached, context), [])
                budget.spend(1 + len(known) * second.weight)
                if any(not smaller & ~bits for smaller in known):
                    continue
                known.append(bits)
                states.append((reached, following))
                parents.append((here, name))
                if len(states) > MOST_STATES:
                    raise _Exhausted
        here += 1
    return Included()


def pieces(languages: Sequence[Code], universe: Code) -> list[tuple[Witness, frozenset[int]]] | Unknown:
    """The satisfiable pieces that languages cut a universe into: a shortest word of each, and which languages it is in.

    Words that are in no language are no piece. The order is that of the words' lengths.
    """
    tagged = [(*code, *symbol([SYMBOLS + i])) for i, code in enumerate((*languages, universe))]
    try:
        return _pieces(_Machine(union(tagged)), len(languages))
    except _Exhausted:
        return Unknown("patterns that cut each other too often")


def _pieces(machine: _Machine, universe: int) -> list[tuple[Witness, frozenset[int]]]:
    budget = _Budget(4 * MOST_STEPS)
    classes = _classify((machine,), machine.asserts, budget)
    subsets = _Subsets(_Moves(machine, classes, budget), _EDGE if machine.asserts else _OTHER)
    states = [subsets.start]
    parents: list[tuple[int, int]] = [(-1, -1)]
    visited = set(states)
    found: dict[frozenset[int], Witness] = {}
    here = 0
    while here < len(states):
        inside: set[int] = set()
        for name, following in subsets.after(states[here]).items():
            tag = classes.symbols[name] - SYMBOLS
            if tag >= 0:
                inside.add(tag)
            elif following not in visited:
                visited.add(following)
                states.append(following)
                parents.append((here, name))
        if universe in inside and len(inside) > 1:
            found.setdefault(frozenset(inside - {universe}), Witness(_word(parents, here, classes)))
        here += 1
        if len(states) > MOST_STATES:
            raise _Exhausted
    return [(witness, inside) for inside, witness in found.items()]


def _word(parents: Sequence[tuple[int, int]], at: int, classes: _Classes) -> tuple[int, ...]:
    out: list[int] = []
    while at:
        at, name = parents[at]
        out.append(classes.symbols[name])
    return tuple(reversed(out))


def _classify(machines: Sequence[_Machine], asserts: set[int], budget: _Budget) -> _Classes:
    """Sweep over the ends of every set; points with the same sets around them are one class."""
    sets = dict.fromkeys(ranges for machine in machines for ranges in machine.sets)
    boundaries = bool(asserts - {BEGIN_TEXT, END_TEXT, BEGIN_LINE, END_LINE})
    swept = [intersect(ranges, (*ALPHABET, (SEPARATOR, ranges[-1][1]))) if ranges else () for ranges in sets]
    swept.append(WORD if boundaries else ())
    events: dict[int, int] = {}
    for i, ranges in enumerate(swept):
        for first, last in ranges:
            events[first] = events.get(first, 0) ^ 1 << i
            events[last + 1] = events.get(last + 1, 0) ^ 1 << i
        budget.spend(len(ranges))
    points = sorted(events)
    around: list[int] = []
    current = 0
    for point in points:
        current ^= events[point]
        around.append(current)
    nicest: dict[int, int] = {}
    for point in [*map(ord, _NICEST), *points]:
        i = bisect_right(points, point) - 1
        if i >= 0 and around[i]:
            nicest.setdefault(around[i], point)
    signatures = list(nicest)
    symbols = list(nicest.values())
    kinds = [_context(point, bool(asserts), boundaries) for point in symbols]
    members: Mapping[Intervals, list[int]] = {ranges: [] for ranges in sets}
    for i, ranges in enumerate(sets):
        members[ranges].extend(name for name, signature in enumerate(signatures) if signature >> i & 1)
        budget.spend(1 + len(signatures) // 8)
    return _Classes(symbols, kinds, dict(members))


def _context(point: int, asserts: bool, boundaries: bool) -> int:
    if asserts and point >= SEPARATOR:
        return _EDGE
    return _WORD if boundaries and _in(point, WORD) else _OTHER
