"""The text of a plain YAML scalar in, the value that Kubernetes reads in it out.

The rules are those of `resolve` in sigs.k8s.io/yaml's goyaml.v2: YAML 1.1 booleans with `y` and `n`, integers as Go writes
them, no sexagesimals; timestamps stay strings.
"""

from __future__ import annotations

import re
from functools import lru_cache

MERGE = "<<"
NUMERIC = "+-.0123456789"
"""What a plain scalar begins with that may be a number."""

WORDS: dict[str, object] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
WORDS |= dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True)
WORDS |= dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False)
WORDS |= {sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
WORDS |= dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan"))
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<x>[0-9a-fA-F]+)|0[oO](?P<o>[0-7]+)|0[bB](?P<b>[01]+)|0(?P<o1>[0-7]+)|(?P<d>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASES = {"x": 16, "o": 8, "b": 2, "o1": 8, "d": 10}
_LONGEST_NUMBER = 64


@lru_cache(maxsize=8192)
def _short(text: str) -> object:
    if text in WORDS:
        return WORDS[text]
    if text[0] not in NUMERIC:
        return text
    plain = text if text[0] == "." else text.replace("_", "")
    found = _INTEGER.fullmatch(plain)
    if found is not None:
        name = found.lastgroup
        assert name is not None
        number = int(found[name], _BASES[name])
        return -number if found["sign"] == "-" else number
    if _FLOAT.fullmatch(plain):
        value = float(plain)
        if value in (float("inf"), float("-inf")):
            return text
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    return text


def resolve(text: str) -> object:
    """None, a bool, an int, a float (a whole one as the int that its JSON is) or, most often, `text` itself."""
    return _short(text) if len(text) <= _LONGEST_NUMBER else text
