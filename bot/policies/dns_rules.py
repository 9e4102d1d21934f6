"""DNS names and patterns of Cilium in; which names they match, whether one set lies within another, and what pieces sets cut names into.

The same language serves `rules.dns` and `toFQDNs`. Semantics: Cilium's fqdn/matchpattern and policy/api/fqdn.go: lower-cased,
`*` alone is any name, a leading `**.` one or more labels, any other `*` characters within one label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from bot.policies import regular
from bot.policies.http_rules import RuleError
from bot.policies.re2 import Pattern, parse
from bot.policies.regular import Included, Unknown

LONGEST = 255
_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_LABEL = "[-a-z0-9_]"
_NAMES = f"(?:{_LABEL}+[.])+"


class DnsRule(NamedTuple):
    """A name or pattern, lower case, without the last dot; equal languages that are written alike are equal."""

    pattern: str

    @property
    def words(self) -> str:
        """As people read it."""
        return "any name" if self.pattern == "*" else self.pattern

    @property
    def literal(self) -> bool:
        """Whether it is one name."""
        return "*" not in self.pattern


ANY_NAME = DnsRule("*")


class Lookup(NamedTuple):
    """A query for one name."""

    name: str

    @property
    def words(self) -> str:
        """As people read it."""
        return f"a lookup of {self.name}"


def dns_rule(value: Mapping[str, object]) -> DnsRule:
    """A rule of `rules.dns` or a selector of `toFQDNs` from its manifest. RuleError for what the agent refuses."""
    name, pattern = value.get("matchName") or "", value.get("matchPattern") or ""
    for field, text, extra in (("matchName", name, ""), ("matchPattern", pattern, "*")):
        if not isinstance(text, str):
            raise RuleError(f"{field} is not a string", field)
        if len(text) > LONGEST:
            raise RuleError(f'Invalid MatchPattern: "{text}". Must be <= {LONGEST} characters long.', field)
        if not _CHARACTERS.issuperset(text.replace(extra, "") if extra else text):
            allowed = "0-9, a-z, A-Z and ., -, _ and *" if extra else "0-9, a-z, A-Z and ., -, _"
            raise RuleError(
                f'Invalid characters in {field[0].upper()}{field[1:]}: "{text}". Only {allowed} characters are allowed',
                field,
            )
    if name and pattern:
        raise RuleError("only one of MatchName or MatchPattern is allowed in an FQDNSelector", "matchName")
    return DnsRule(_canonical(str(name or pattern)))


def _canonical(text: str) -> str:
    text = text.lower()
    if text == ".":
        return text
    text = text.removesuffix(".")
    if text and not text.strip("*"):
        return "*"
    first, dot, rest = text.partition(".")
    if dot and len(first) > 1 and not first.strip("*"):
        return "**." + re.sub(r"\*+", "*", rest)
    return re.sub(r"\*+", "*", text)


@lru_cache(maxsize=4096)
def _pattern(rule: DnsRule) -> Pattern:
    text = rule.pattern
    if text == "*":
        return parse(f"{_NAMES}|[.]")
    if text in ("", "."):
        return parse("[.]") if text else regular.NOTHING
    several = text.startswith("**.")
    if several:
        text = text[3:]
    return parse((_NAMES if several else "") + text.replace(".", "[.]").replace("*", f"{_LABEL}*") + "[.]")


def accepts(rule: DnsRule, name: str) -> bool:
    """Whether the rule matches a name (any case, with or without the last dot)."""
    name = name.lower().removesuffix(".")
    if rule.literal:
        return name == rule.pattern
    if not name.endswith(rule.pattern.rpartition("*")[2]):
        return False
    return regular.matches(_pattern(rule), f"{name}.") is True


def difference(inside: Sequence[Sequence[DnsRule]], outside: Sequence[DnsRule]) -> Included | Lookup | Unknown:
    """Whether every name that each set of `inside` matches is matched by `outside`; else a shortest one that is not."""
    heads = [regular.union([_pattern(rule).code for rule in rules]) for rules in inside]
    answer = regular.difference([*heads, parse(_NAMES).code], regular.union([_pattern(rule).code for rule in outside]))
    return Lookup(answer.text.removesuffix(".")) if isinstance(answer, regular.Witness) else answer


def pieces(rules: Iterable[DnsRule]) -> list[tuple[str, frozenset[DnsRule]]] | Unknown:
    """The satisfiable pieces that these rules cut all names into: a shortest name of each, and the rules that match it.

    Names that no rule matches are no piece.
    """
    every = dict.fromkeys(rules)
    patterns = [rule for rule in every if not rule.literal]
    cut = regular.pieces([_pattern(rule).code for rule in patterns], parse(_NAMES).code)
    if isinstance(cut, Unknown):
        return cut
    own: dict[frozenset[DnsRule], list[DnsRule]] = {}
    for rule in every:
        if rule.literal:
            own.setdefault(frozenset(other for other in patterns if accepts(other, rule.pattern)), []).append(rule)
    out = [(rule.pattern, matching | {rule}) for matching, literals in own.items() for rule in literals]
    for witness, inside in cut:
        matching = frozenset(patterns[i] for i in inside)
        name: Lookup | Included | Unknown = Lookup(witness.text.removesuffix("."))
        if DnsRule(witness.text.removesuffix(".")) in every:
            others = [rule for rule in patterns if rule not in matching]
            name = difference([[rule] for rule in sorted(matching)], [*others, *own[matching]])
        if isinstance(name, Unknown):
            return name
        if isinstance(name, Lookup):
            out.append((name.name, matching))
    return out
