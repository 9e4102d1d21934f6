"""A pattern in Go's regexp syntax (RE2) in, a program of a few instructions out, or the error with which Go refuses it.

The grammar is that of Go's regexp/syntax with the flags of `regexp.Compile`, which is what Cilium's agent judges patterns by;
https://github.com/google/re2/wiki/Syntax describes it. What Python's `re` accepts plays no part.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from bot.policies.character_classes import ANYTHING, LAST_CHARACTER, PERL, POSIX, folded
from bot.policies.intervals import Intervals, normal, subtract

LONGEST_PATTERN = 5_000
LARGEST_PROGRAM = 20_000
MOST_RANGES = 100_000
LARGEST_IN_GO = 128 * 1024 * 1024 // 40
HIGHEST_IN_GO = 1000
MOST_COPIES = 1000

SET, SPLIT, JUMP, ASSERT, MATCH = range(5)
BEGIN_TEXT, END_TEXT, BEGIN_LINE, END_LINE, BOUNDARY, NO_BOUNDARY = range(6)


class Instruction(NamedTuple):
    """One step: SET eats a character of `characters`; SPLIT and JUMP go `first` (and `second`) steps on; ASSERT tests `first`."""

    step: int
    characters: Intervals = ()
    first: int = 0
    second: int = 0


Code = tuple[Instruction, ...]


class Pattern(NamedTuple):
    """A valid pattern. `unsupported` is why no language question about it can be answered (empty: it can); `code` is void then."""

    text: str
    code: Code
    unsupported: str = ""


class PatternError(ValueError):
    """Why Go refuses a pattern, in Go's words, and the index in the pattern where the offending part starts."""

    def __init__(self, reason: str, pattern: str, first: int, end: int | None = None) -> None:
        super().__init__(f"error parsing regexp: {reason}: `{pattern[first:end]}`")
        self.position = first


class _Fragment(NamedTuple):
    """A parsed part. Height, size and copies are what Go limits; `literal` ones in a row count as one."""

    code: Code
    height: int = 1
    size: int = 1
    copies: int = 1
    literal: bool = False


class _Group:
    """An open parenthesis, or the whole: the flags to restore, its finished alternatives, and the one under way."""

    def __init__(self, flags: frozenset[str], captures: bool) -> None:
        self.flags = flags
        self.captures = captures
        self.alternatives: list[_Fragment] = []
        self.parts: list[_Fragment] = []


class _Parser:
    """The state of one parse: where it is, the flags, the open groups, and what made it give up on a program."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.flags: frozenset[str] = frozenset()
        self.groups = [_Group(self.flags, False)]
        self.unsupported = ""
        self.ranges = 0


@lru_cache(maxsize=4096)
def parse(text: str) -> Pattern:
    """The program of a pattern. PatternError if Go would refuse it; patterns over 5,000 characters are not judged at all."""
    if len(text) > LONGEST_PATTERN:
        return Pattern(text, (), f"a pattern of more than {LONGEST_PATTERN} characters")
    for i, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise PatternError("invalid UTF-8", text, i, i + 1)
    parser = _Parser(text)
    at = 0
    repeated: int | None = None
    while at < len(text):
        start = at
        at, is_repeat = _item(parser, at, repeated)
        repeated = start if is_repeat else None
    if len(parser.groups) > 1:
        raise PatternError("missing closing )", text, 0)
    whole = _close(parser, parser.groups[0])
    if parser.unsupported:
        return Pattern(text, (), parser.unsupported)
    return Pattern(text, whole.code)


def _item(parser: _Parser, at: int, repeated: int | None) -> tuple[int, bool]:
    """Parse what starts at `at`; return where it ends and whether it was a repetition operator."""
    text = parser.text
    character = text[at]
    group = parser.groups[-1]
    if character == "(":
        return _open(parser, at), False
    if character == "|":
        group.alternatives.append(_concatenate(parser, group.parts))
        group.parts = []
        return at + 1, False
    if character == ")":
        if len(parser.groups) == 1:
            raise PatternError("unexpected )", text, 0)
        parser.groups.pop()
        parser.flags = group.flags
        parser.groups[-1].parts.append(_close(parser, group))
        return at + 1, False
    if character in "^$":
        line = "m" in parser.flags
        kind = (BEGIN_LINE if line else BEGIN_TEXT) if character == "^" else (END_LINE if line else END_TEXT)
        group.parts.append(_Fragment((Instruction(ASSERT, (), kind),)))
        return at + 1, False
    if character == ".":
        _add(parser, ANYTHING if "s" in parser.flags else subtract(ANYTHING, ((10, 10),)))
        return at + 1, False
    if character == "[":
        return _bracket(parser, at), False
    if character in "*+?":
        low, high = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[character]
        return _repeat(parser, low, high, at, at + 1, repeated, False), True
    if character == "{":
        counted = _count(text, at)
        if counted is None:
            _literal(parser, "{")
            return at + 1, False
        low, high, end = counted
        if low < 0 or low > 1000 or high > 1000 or 0 <= high < low:
            raise PatternError("invalid repeat count", text, at, end)
        return _repeat(parser, low, high, at, end, repeated, True), True
    if character == "\\":
        return _backslash(parser, at), False
    _literal(parser, character)
    return at + 1, False


# --- Building programs ---


def _add(parser: _Parser, characters: Intervals) -> None:
    parser.ranges += len(characters)
    if parser.ranges > MOST_RANGES:
        parser.unsupported = "too many character ranges"
        characters = ()
    parser.groups[-1].parts.append(_Fragment((Instruction(SET, characters),)))


def _literal(parser: _Parser, character: str) -> None:
    point = ord(character)
    characters: Intervals = ((point, point),)
    if "i" in parser.flags:
        characters = folded(characters)
    parser.groups[-1].parts.append(_Fragment((Instruction(SET, characters),), literal=True))


def _checked(parser: _Parser, code: list[Instruction], height: int, size: int, copies: int) -> _Fragment:
    if height > HIGHEST_IN_GO:
        raise PatternError("expression nests too deeply", parser.text, 0)
    if size > LARGEST_IN_GO:
        raise PatternError("expression too large", parser.text, 0)
    if len(code) > LARGEST_PROGRAM:
        parser.unsupported = "a pattern that is too large"
        code = []
    return _Fragment(tuple(code), height, size, copies)


def _concatenate(parser: _Parser, parts: list[_Fragment]) -> _Fragment:
    if len(parts) == 1:
        return parts[0]
    code = [instruction for part in parts for instruction in part.code]
    inner = 0 if all(part.literal for part in parts) else max(part.height for part in parts)
    copies = max((part.copies for part in parts), default=1)
    return _checked(parser, code, inner + 1, max(1, sum(part.size for part in parts)), copies)


def _close(parser: _Parser, group: _Group) -> _Fragment:
    last = _concatenate(parser, group.parts)
    if group.alternatives:
        last = _alternate(parser, [*group.alternatives, last])
    if group.captures:
        last = _checked(parser, list(last.code), last.height + 1, last.size + 2, last.copies)
    return last


def _alternate(parser: _Parser, branches: list[_Fragment]) -> _Fragment:
    length = sum(len(branch.code) for branch in branches) + 2 * (len(branches) - 1)
    code: list[Instruction] = []
    for branch in branches[:-1]:
        code.append(Instruction(SPLIT, (), 1, len(branch.code) + 2))
        code.extend(branch.code)
        code.append(Instruction(JUMP, (), length - len(code)))
    code.extend(branches[-1].code)
    height = max(branch.height for branch in branches)
    if not all(branch.literal for branch in branches):
        height += 1
    size = sum(branch.size for branch in branches) + len(branches) - 1
    return _checked(parser, code, height, size, max(branch.copies for branch in branches))


def _repeat(parser: _Parser, low: int, high: int, at: int, end: int, repeated: int | None, counted: bool) -> int:
    """Repeat the last part `low` to `high` times (-1: any number); lazy and greedy ones have one language."""
    text = parser.text
    if text.startswith("?", end):
        end += 1
    if repeated is not None:
        raise PatternError("invalid nested repetition operator", text, repeated, end)
    parts = parser.groups[-1].parts
    if not parts:
        raise PatternError("missing argument to repetition operator", text, at, end)
    part = parts.pop()
    times = low if high < 0 else high
    if counted:
        copies = 1 if high == 0 else max(1, times) * part.copies
        if (low >= 2 or high >= 2) and copies > MOST_COPIES:
            raise PatternError("invalid repeat count", text, at, end)
        size = 1 + max(1, low) * part.size if high < 0 else high * part.size + high - low
    else:
        copies, size = part.copies, part.size + 2
    if (len(part.code) + 2) * max(times, 1) > LARGEST_PROGRAM:
        parser.unsupported = "a pattern that is too large"
        part = part._replace(code=())
    code = list(part.code) * low
    length = len(part.code)
    if high < 0:
        code += [Instruction(SPLIT, (), 1, length + 2), *part.code, Instruction(JUMP, (), -length - 1)]
    else:
        for remaining in range(high - low, 0, -1):
            code += [Instruction(SPLIT, (), 1, remaining * (length + 1)), *part.code]
    parts.append(_checked(parser, code, part.height + 1, max(1, size), copies))
    return end


# --- Groups, flags and counts ---


def _open(parser: _Parser, at: int) -> int:
    """A parenthesis: a group, a named one, a non-capturing one with flags, or only flags."""
    text = parser.text
    if not text.startswith("(?", at):
        parser.groups.append(_Group(parser.flags, True))
        return at + 1
    name = at + 4 if text.startswith("(?P<", at) and len(text) > at + 4 else 0
    if text.startswith("(?<", at) and len(text) > at + 3:
        name = at + 3
    if name:
        end = text.find(">", at)
        if end < 0:
            raise PatternError("invalid named capture", text, at)
        if name == end or not all(c == "_" or c.isascii() and c.isalnum() for c in text[name:end]):
            raise PatternError("invalid named capture", text, at, end + 1)
        parser.groups.append(_Group(parser.flags, True))
        return end + 1
    flags = set(parser.flags)
    negative = seen = False
    for i in range(at + 2, len(text)):
        character = text[i]
        if character in "imsU":
            (flags.discard if negative else flags.add)(character)
            seen = True
        elif character == "-" and not negative:
            negative, seen = True, False
        elif character in ":)" and (seen or not negative):
            if character == ":":
                parser.groups.append(_Group(parser.flags, False))
            parser.flags = frozenset(flags)
            return i + 1
        else:
            raise PatternError("invalid or unsupported Perl syntax", text, at, i + 1)
    raise PatternError("invalid or unsupported Perl syntax", text, at)


def _count(text: str, at: int) -> tuple[int, int, int] | None:
    """`{min}`, `{min,}` or `{min,max}` at `at`: min, max (-1: no end; min -1: too big) and where it ends; else None."""
    number = _integer(text, at + 1)
    if number is None:
        return None
    low, at = number
    high = low
    if text.startswith(",", at):
        at += 1
        if text.startswith("}", at):
            high = -1
        else:
            number = _integer(text, at)
            if number is None:
                return None
            high, at = number
            if high < 0:
                low = -1
    return (low, high, at + 1) if text.startswith("}", at) else None


def _integer(text: str, at: int) -> tuple[int, int] | None:
    end = at
    while end < len(text) and "0" <= text[end] <= "9":
        end += 1
    if end == at or (text[at] == "0" and end > at + 1):
        return None
    return (int(text[at:end]) if end - at <= 8 else -1), end


# --- Escapes and classes ---

_ESCAPED = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_HEXADECIMAL = "0123456789abcdef"
_ASSERTIONS = {"A": BEGIN_TEXT, "b": BOUNDARY, "B": NO_BOUNDARY, "z": END_TEXT}


def _backslash(parser: _Parser, at: int) -> int:
    text = parser.text
    letter = text[at + 1 : at + 2]
    if letter in _ASSERTIONS:
        parser.groups[-1].parts.append(_Fragment((Instruction(ASSERT, (), _ASSERTIONS[letter]),)))
        return at + 2
    if letter == "Q":
        end = text.find("\\E", at + 2)
        for character in text[at + 2 : end if end >= 0 else len(text)]:
            _literal(parser, character)
        return end + 2 if end >= 0 else len(text)
    group = _group(parser, at)
    if group is not None:
        _add(parser, group[0])
        return group[1]
    point, end = _escape(text, at)
    _literal(parser, chr(point))
    return end


def _group(parser: _Parser, at: int) -> tuple[Intervals, int] | None:
    """A Perl or Unicode class like `\\d` or `\\p{Lu}` at `at`, with where it ends; None if there is none."""
    text = parser.text
    letter = text[at + 1 : at + 2]
    if not letter or text[at] != "\\":
        return None
    if letter in "pP":
        return _unicode(parser, at)
    ranges = PERL.get(letter.lower())
    return None if ranges is None else (_signed(parser, ranges, letter.isupper()), at + 2)


def _signed(parser: _Parser, ranges: Intervals, negative: bool) -> Intervals:
    if "i" in parser.flags:
        ranges = folded(ranges)
    return subtract(ANYTHING, ranges) if negative else ranges


def _unicode(parser: _Parser, at: int) -> tuple[Intervals, int]:
    from bot.policies.unicode_classes import ranges_of

    text = parser.text
    end = at + 3
    name = text[at + 2 : end]
    if name == "{":
        end = text.find("}", at) + 1
        if end == 0:
            raise PatternError("invalid character class range", text, at)
        name = text[at + 3 : end - 1]
    negative = (text[at + 1] == "P") != name.startswith("^")
    ranges = ranges_of(name.removeprefix("^"))
    if ranges is None:
        raise PatternError("invalid character class range", text, at, end)
    if not ranges:
        parser.unsupported = f"the Unicode class {text[at:end]}"
    return _signed(parser, ranges, negative), end


def _escape(text: str, at: int) -> tuple[int, int]:
    """The character that an escape at `at` stands for, and where it ends."""
    if at + 1 == len(text):
        raise PatternError("trailing backslash at end of expression", text, at + 1)
    letter = text[at + 1]
    end = at + 2
    if letter in _ESCAPED:
        return _ESCAPED[letter], end
    if letter.isascii() and not letter.isalnum():
        return ord(letter), end
    if letter == "0" or ("1" <= letter <= "7" and "0" <= text[end : end + 1] <= "7"):
        while end < at + 4 and "0" <= text[end : end + 1] <= "7":
            end += 1
        return int(text[at + 1 : end], 8), end
    if letter == "x":
        return _hexadecimal(text, end)
    raise PatternError("invalid escape sequence", text, at, end)


def _hexadecimal(text: str, at: int) -> tuple[int, int]:
    """What stands after `\\x`: two digits, or any number of them in braces."""
    end = min(at + 2, len(text))
    if not text.startswith("{", at):
        digits = [_HEXADECIMAL.find(character.lower()) for character in text[at:end]]
        if len(digits) == 2 and min(digits) >= 0:
            return digits[0] * 16 + digits[1], end
        raise PatternError("invalid escape sequence", text, at - 2, end)
    point = 0
    end = at + 1
    while end < len(text):
        digit = _HEXADECIMAL.find(text[end].lower())
        end += 1
        if text[end - 1] == "}" and end > at + 2:
            return point, end
        point = point * 16 + digit
        if digit < 0 or point > LAST_CHARACTER:
            break
    raise PatternError("invalid escape sequence", text, at - 2, end)


def _bracket(parser: _Parser, at: int) -> int:
    """A class in brackets."""
    text = parser.text
    start = at
    at += 1
    negative = text.startswith("^", at)
    at += negative
    ranges: list[tuple[int, int]] = []
    first = True
    while first or not text.startswith("]", at):
        first = False
        if at >= len(text):
            raise PatternError("missing closing ]", text, start)
        if text.startswith("[:", at):
            end = text.find(":]", at + 2)
            if end >= 0:
                name = text[at + 2 : end]
                known = POSIX.get(name.removeprefix("^"))
                if known is None:
                    raise PatternError("invalid character class range", text, at, end + 2)
                ranges.extend(_signed(parser, known, name.startswith("^")))
                at = end + 2
                continue
        group = _group(parser, at)
        if group is not None:
            ranges.extend(group[0])
            at = group[1]
            continue
        low, end = _class_character(text, at, start)
        high = low
        if text.startswith("-", end) and end + 1 < len(text) and text[end + 1] != "]":
            high, end = _class_character(text, end + 1, start)
            if high < low:
                raise PatternError("invalid character class range", text, at, end)
        span: Intervals = ((low, high),)
        ranges.extend(folded(span) if "i" in parser.flags else span)
        at = end
        if len(ranges) > MOST_RANGES:
            parser.unsupported, ranges = "too many character ranges", []
    characters = normal(ranges)
    _add(parser, subtract(ANYTHING, characters) if negative else characters)
    return at + 1


def _class_character(text: str, at: int, start: int) -> tuple[int, int]:
    if at >= len(text):
        raise PatternError("missing closing ]", text, start)
    return _escape(text, at) if text[at] == "\\" else (ord(text[at]), at + 1)
