"""The text of a YAML document in its plainest style in, its value or its lines out; None for any other, which a parser reads.

Most manifests are block mappings and lists of one-line scalars, and their lines repeat from one to the next, so what a line
means is remembered by its text, and how a document is built by what its lines are. What is not exactly of this style, and all
that is wrong, is left to the parser: anchors, tags, block and folded scalars, values of more than one line, escapes, tabs,
what is not ASCII, a key twice.
"""

from __future__ import annotations

import re
from itertools import count
from operator import itemgetter
from sys import intern
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.manifests import scalars

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_DOCUMENT = 1 << 20
DEEPEST = 50
DEEPEST_IN_FLOW = 10
LONGEST_LINE = 1_000
MOST_LINES = 50_000
MOST_PLANS = 1_000
MOST_PLANNED = 200
"""The lines of a document whose plan is remembered."""

BLANK, SCALAR, OPEN, FLOW = range(4)

Path = tuple["str | int", ...]


class YamlProblem(NamedTuple):
    """Why a document could not be read, and the line of it (1-based, within the document)."""

    line: int
    reason: str


class Marks(NamedTuple):
    """First and last line (1-based, within the document) of a value, from its key where it has one, and of its parts."""

    first: int
    last: int
    parts: dict[str, Marks] | list[Marks] | None


class Form(NamedTuple):
    """All of a line but its value: the columns of its dashes and of what stands after them, a key ('' for an item), its kind.

    BLANK: nothing, or a comment. SCALAR: a value on the line. OPEN: a key alone. FLOW: a list or a mapping on the line.
    """

    dashes: tuple[int, ...]
    column: int
    key: str
    kind: int


class Plan(NamedTuple):
    """How a document's value is built from those of its lines.

    `steps`: its collections, those within another before it, the root last: their keys (None for a list), and the places of
    their values, which are those of the lines, and after these the collections in this order. `firsts`: each collection's first
    line, from 0. `flows`: the lines whose value is a collection.
    """

    steps: tuple[Step, ...]
    firsts: tuple[int, ...]
    flows: tuple[int, ...]


class Step(NamedTuple):
    """One collection: its keys (None for a list), the places of its values, and what gets these where there are several."""

    keys: tuple[str, ...] | None
    places: tuple[int, ...]
    several: Callable[[Any], tuple[Any, ...]] | None


class _Memory:
    """What is remembered: it only grows, and is then replaced, so that no thread sees a part of it go."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}  # of lines' forms
        self.values: dict[str, Any] = {}  # of lines
        self.forms: dict[int, Form] = {}
        self.number_of: dict[Form, int] = {}
        self.plans: dict[tuple[int | None, ...], Plan | None] = {}
        self.counter = count()

    def add(self, text: str) -> bool:
        """Remember a line; False where it is of another style."""
        read = _read(text)
        if read is None:
            return False
        form, value = read
        number = self.number_of.setdefault(form, next(self.counter))
        self.forms[number] = form
        self.values[text] = value
        self.numbers[text] = number
        return True


_memories = [_Memory()]


def parse(text: str) -> dict[str, Any] | list[Any] | None:
    """The value of a document; None where a parser has to read it. `text` has line feeds alone as line breaks."""
    memory = _memories[0]
    lines = text.split("\n")
    plan = memory.plans.get(tuple(map(memory.numbers.get, lines)))
    if plan is None:
        plan = _plan(memory, text, lines)
        if plan is None:
            return None
    steps, _, flows = plan
    values = list(map(memory.values.__getitem__, lines))
    for at in flows:
        values[at] = _copied(values[at])
    value: Any = None
    for keys, places, several in steps:
        if keys is None:
            value = [values[at] for at in places]
        elif several is None:
            value = {keys[0]: values[places[0]]}
        else:
            value = dict(zip(keys, several(values), strict=True))
        values.append(value)
    result: dict[str, Any] | list[Any] = value
    return result


def marks(text: str) -> Marks | None:
    """The lines of a document's value and of its parts; None where a parser has to read it."""
    memory = _memories[0]
    lines = text.split("\n")
    plan = _plan(memory, text, lines)
    if plan is None:
        return None
    known = [Marks(number, number, None) for number in range(1, len(lines) + 1)]
    for at in plan.flows:
        known[at] = _on_line(memory.values[lines[at]], at + 1)
    for (keys, places, _), first in zip(plan.steps, plan.firsts, strict=True):
        items = [known[at] for at in places]
        last = max(item.last for item in items)
        known.append(Marks(first + 1, last, items if keys is None else dict(zip(keys, items, strict=True))))
    return known[-1]


def _plan(memory: _Memory, text: str, lines: list[str]) -> Plan | None:
    """None where a line is of another style, or they do not fit together."""
    if len(text) > LARGEST_DOCUMENT:
        return None
    numbers = memory.numbers
    for line in lines:
        if line not in numbers and not memory.add(line):
            return None
    if len(numbers) > MOST_LINES or len(memory.plans) > MOST_PLANS:
        _memories[0] = _Memory()
    shape = tuple(map(numbers.get, lines))
    plan = memory.plans.get(shape)
    if plan is None and shape not in memory.plans:
        forms = memory.forms
        plan = _fitted([forms[numbers[line]] for line in lines])
        if len(lines) <= MOST_PLANNED:
            memory.plans[shape] = plan
    return plan


# --- Lines ---

_START = re.compile(r"( *)((?:- +)*)")
_QUOTED = r'"[\x20\x21\x23-\x5b\x5d-\x7e]*"|' + r"'[\x20-\x26\x28-\x7e]*'"
_WORD = r"[A-Za-z0-9_/.][A-Za-z0-9_/.-]*"
_BEFORE_VALUE = re.compile(rf"([A-Za-z0-9_][A-Za-z0-9_./-]*|{_QUOTED}):(?=[ ]|\Z)")
_STRING = re.compile(_QUOTED)
_IN_FLOW = re.compile(rf"[ ]*(?:([\[{{])|({_QUOTED}|{_WORD})(:[ ]+)?)")
_AFTER_IN_FLOW = re.compile(r"[ ]*(,[ ]+|[\]}])")
_BEGINS_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/.$(+")

_NOTHING = Form((), 0, "", BLANK)


def _read(text: str) -> tuple[Form, Any] | None:
    """The form of a line and its value; None where it is of another style."""
    if len(text) > LONGEST_LINE or not (text.isascii() and text.isprintable()):
        return None
    start = _START.match(text)
    assert start is not None
    indentation, before = start.groups()
    at = start.end()
    rest = text[at:].rstrip(" ")
    if not before and (not rest or rest[0] == "#"):
        return _NOTHING, None
    dashes = tuple([len(indentation) + place for place, char in enumerate(before) if char == "-"]) if before else ()
    key = ""
    found = _BEFORE_VALUE.match(rest)
    if found is not None:
        known = _key(found[1])
        if known is None:
            return None
        key = known
        rest = rest[found.end() :].lstrip(" ")
        if not rest or rest[0] == "#":
            return Form(dashes, at, key, OPEN), None
    elif not dashes or not rest:
        return None
    first = rest[0]
    if first in "\"'":
        closed = _STRING.match(rest)
        if closed is None or not _is_comment(rest[closed.end() :]):
            return None
        return Form(dashes, at, key, SCALAR), closed[0][1:-1]
    if first in "[{":
        flow = _flow(rest, 0, 0)
        if flow is None or not _is_comment(rest[flow[1] :]):
            return None
        return Form(dashes, at, key, FLOW), flow[0]
    comment = rest.find(" #")
    if comment >= 0:
        rest = rest[:comment].rstrip(" ")
    if ": " in rest or rest[-1] == ":":
        return None
    if first not in _BEGINS_PLAIN and rest != "~" and not (first == "-" and rest[1:2] not in ("", " ")):
        return None
    return Form(dashes, at, key, SCALAR), _scalar(rest)


def _is_comment(after: str) -> bool:
    """Whether what follows a value on its line, without blanks at its end, is nothing or a comment."""
    return not after or (after[0] == " " and after.lstrip(" ")[0] == "#")


def _key(written: str) -> str | None:
    """None for what is no string to Kubernetes, and for the empty one."""
    key = _scalar(written)
    return intern(key) if type(key) is str and key else None


def _flow(text: str, at: int, depth: int) -> tuple[dict[str, Any] | list[Any], int] | None:
    """The list or mapping that begins at a place of a line, and where it ends."""
    if depth == DEEPEST_IN_FLOW:
        return None
    is_mapping, closing = text[at] == "{", "}" if text[at] == "{" else "]"
    pairs: dict[str, Any] = {}
    items: list[Any] = []
    at += 1
    empty = at + len(text[at:]) - len(text[at:].lstrip(" "))
    if text[empty : empty + 1] == closing:
        return (pairs if is_mapping else items), empty + 1
    while True:
        found = _IN_FLOW.match(text, at)
        key: str | None = ""
        if is_mapping:
            if found is None or found[3] is None:
                return None
            key = _key(found[2])
            if key is None or key in pairs:
                return None
            found = _IN_FLOW.match(text, found.end())
        if found is None or found[3] is not None:
            return None
        value: Any
        if found[1] is None:
            value, at = _scalar(found[2]), found.end()
        else:
            inner = _flow(text, found.start(1), depth + 1)
            if inner is None:
                return None
            value, at = inner
        if is_mapping:
            pairs[key or ""] = value
        else:
            items.append(value)
        after = _AFTER_IN_FLOW.match(text, at)
        if after is None:
            return None
        at = after.end()
        if after[1] == closing:
            return (pairs if is_mapping else items), at
        if after[1][0] != ",":
            return None


def _copied(value: Any) -> Any:
    """A flow collection, for a document of its own."""
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if type(value) is list else value


def _on_line(value: Any, line: int) -> Marks:
    """The marks of what stands on one line."""
    if type(value) is dict:
        return Marks(line, line, {key: _on_line(item, line) for key, item in value.items()})
    return Marks(line, line, [_on_line(item, line) for item in value] if type(value) is list else None)


def _scalar(written: str) -> object:
    """What a scalar means to Kubernetes, see `scalars`."""
    first = written[0]
    if first in "\"'":
        return written[1:-1]
    if written in scalars.WORDS:
        return scalars.WORDS[written]
    return scalars.resolve(written) if first in scalars.NUMERIC else written


# --- Documents ---


class _Collection:
    """A collection as its lines come: the column of its keys or dashes, its first line, and its values' places.

    A place is a line, or -1 - n for the n-th collection in the order that they begin in.
    """

    __slots__ = ("column", "first", "keys", "places")

    def __init__(self, column: int, first: int, is_list: bool) -> None:
        self.column = column
        self.first = first
        self.keys: dict[str, None] | None = None if is_list else {}
        self.places: list[int] = []


def _fitted(forms: list[Form]) -> Plan | None:
    """None where the lines do not fit together, or not so that it is beyond doubt how a parser takes them."""
    begun: list[_Collection] = []
    stack: list[_Collection] = []
    flows = []
    pending = False  # whether the last line was a key without a value, so far null
    pending_at = 0
    for at, (dashes, column, key, kind) in enumerate(forms):
        if kind == BLANK:
            continue
        start = dashes[0] if dashes else column
        if not stack:
            if begun or start:
                return None
            _begin(begun, stack, _Collection(start, at, bool(dashes)))
        elif pending and (start > stack[-1].column or (dashes and start == stack[-1].column)):
            stack[-1].places[-1] = -1 - len(begun)
            _begin(begun, stack, _Collection(start, pending_at, bool(dashes)))
        elif not _returned(stack, start, bool(dashes)):
            return None
        for dash in dashes[1:]:
            stack[-1].places.append(-1 - len(begun))
            _begin(begun, stack, _Collection(dash, at, True))
        if dashes and key:
            stack[-1].places.append(-1 - len(begun))
            _begin(begun, stack, _Collection(column, at, False))
        if len(stack) > DEEPEST:
            return None
        inmost = stack[-1]
        if inmost.keys is not None:
            if key in inmost.keys:
                return None
            inmost.keys[key] = None
        inmost.places.append(at)
        pending, pending_at = kind == OPEN, at
        if kind == FLOW:
            flows.append(at)
    return _planned(begun, len(forms), flows) if begun else None


def _begin(begun: list[_Collection], stack: list[_Collection], collection: _Collection) -> None:
    begun.append(collection)
    stack.append(collection)


def _returned(stack: list[_Collection], start: int, is_item: bool) -> bool:
    """Close what ends before a line that begins at column `start`; whether the line then goes on with what is open."""
    while stack and (
        stack[-1].column > start or (stack[-1].column == start and stack[-1].keys is None and not is_item)
    ):
        stack.pop()
    return bool(stack) and stack[-1].column == start and (stack[-1].keys is None) == is_item


def _planned(begun: list[_Collection], lines: int, flows: list[int]) -> Plan:
    steps = []
    for collection in reversed(begun):
        places = tuple([place if place >= 0 else lines + len(begun) + place for place in collection.places])
        keys = None if collection.keys is None else tuple(collection.keys)
        steps.append(Step(keys, places, itemgetter(*places) if keys is not None and len(places) > 1 else None))
    return Plan(tuple(steps), tuple([collection.first for collection in reversed(begun)]), tuple(flows))
