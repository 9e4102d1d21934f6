"""Kubernetes quantities and Go durations in text; exact numbers out."""

from __future__ import annotations

import re
from fractions import Fraction

_QUANTITY = re.compile(r"([+-]?)(\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE]([+-]?\d{1,2})|([numkKMGTPE]i?))?\Z")
_SUFFIX = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "k": Fraction(1000),
    "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40), "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}  # fmt: skip
_DURATION = re.compile(r"([+-]?)((?:(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:ns|us|µs|μs|ms|s|m|h))+)\Z")
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT = {
    "ns": Fraction(1, 10**9), "us": Fraction(1, 10**6), "µs": Fraction(1, 10**6), "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600),
}  # fmt: skip


def parse_quantity(text: str) -> Fraction | None:
    """The value of a Kubernetes quantity ('1500m', '2Gi', '3'), or None where `text` is none."""
    found = _QUANTITY.match(text)
    if found is None:
        return None
    sign, number, exponent, suffix = found.groups()
    value = Fraction("0" + number.rstrip(".") if number[0] == "." else number.rstrip("."))
    if exponent:
        value *= Fraction(10) ** int(exponent)
    elif suffix:
        if suffix not in _SUFFIX:
            return None
        value *= _SUFFIX[suffix]
    return -value if sign == "-" else value


def parse_duration(text: str) -> Fraction | None:
    """The seconds of a Go duration ('1h30m'), or None where `text` is none or the bare '0', which Kyverno leaves to be
    a number."""
    found = _DURATION.match(text)
    if found is None:
        return None
    seconds = sum(
        (Fraction("0" + number if number[0] == "." else number.rstrip(".")) * _UNIT[unit])
        for number, unit in _PART.findall(found.group(2))
    )
    return Fraction(-seconds if found.group(1) == "-" else seconds)
