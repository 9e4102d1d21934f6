"""The classes of characters that Go's regexp syntax names, and case folding, as intervals of code points."""

from __future__ import annotations

from functools import lru_cache

from bot.policies.intervals import Intervals, normal

LAST_CHARACTER = 0x10FFFF
ANYTHING: Intervals = ((0, LAST_CHARACTER),)
_DIGIT: Intervals = ((48, 57),)
WORD: Intervals = ((48, 57), (65, 90), (95, 95), (97, 122))
PERL: dict[str, Intervals] = {"d": _DIGIT, "s": ((9, 10), (12, 13), (32, 32)), "w": WORD}
POSIX: dict[str, Intervals] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGIT,
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}


@lru_cache(maxsize=1024)
def folded(ranges: Intervals) -> Intervals:
    """These characters, and those that differ from one of them by case alone."""
    out = list(ranges)
    if all(last < 0x80 for _, last in ranges):
        for first, last in ranges:
            for point in range(max(first, 65), min(last, 122) + 1):
                if chr(point).isalpha():
                    out.append((point ^ 32, point ^ 32))
                    if point | 32 in (0x6B, 0x73):
                        other = 0x212A if point | 32 == 0x6B else 0x17F
                        out.append((other, other))
        return normal(out)
    from bot.policies.unicode_classes import case_orbits

    for point, orbit in case_orbits().items():
        if any(first <= point <= last for first, last in ranges):
            out.extend((other, other) for other in orbit)
    return normal(out)
