"""What a rule allows of the payload, as a lattice: nothing, languages of HTTP requests or DNS lookups, any of them, everything.

Unions and meets are kept symbolic, as a conjunction of sets of rules for each protocol; `compare` decides which of two values
allows more, by inclusion of languages, with a shortest request that one allows and the other does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeVar

from bot.policies import dns_rules, http_rules
from bot.policies.dns_rules import ANY_NAME, DnsRule, Lookup
from bot.policies.http_rules import ANY_REQUEST, HttpRule, Request
from bot.policies.regular import Included, Unknown

R = TypeVar("R", HttpRule, DnsRule)
Rules = tuple[R, ...]
MOST_FACTORS = 64


class Payload(NamedTuple):
    """What is no request of a protocol that rules speak of."""

    protocols: str

    @property
    def words(self) -> str:
        """As people read it."""
        return f"traffic that is not {self.protocols}"


class L7(NamedTuple):
    """What payload is allowed: everything; or the HTTP requests and the DNS lookups that every set of `http`, of `dns`, allows.

    Each set is sorted and allows what any of its rules allows; an empty set allows nothing, no set at all allows any request
    of that protocol. Make values with `http`, `dns`, `meet` and `union` only: those written alike are then equal.
    """

    everything: bool
    http: tuple[Rules[HttpRule], ...]
    dns: tuple[Rules[DnsRule], ...]

    @property
    def kind(self) -> str:
        """`all`, `none`, `http`, `dns`, or `mixed` (rules of both, which Cilium cannot serve on one port)."""
        if self.everything:
            return "all"
        kinds = ["http"] * (self.http != _CLOSED) + ["dns"] * (self.dns != _CLOSED)
        return "mixed" if len(kinds) == 2 else kinds[0] if kinds else "none"

    @property
    def words(self) -> tuple[str, ...]:
        """A line for each rule; where every one of several sets must allow, those of one set are joined in one line."""
        if self.everything:
            return ("everything",)
        lines = [*_words(self.http, "any HTTP request"), *_words(self.dns, "a lookup of any name")]
        return tuple(lines) or ("nothing",)

    def matches(self, request: Request | Lookup | Payload) -> bool | None:
        """Whether this request is allowed; None if a secret or an unsupported pattern decides."""
        if self.everything:
            return True
        if isinstance(request, Payload):
            return False
        if isinstance(request, Lookup):
            return self.accepts_dns(request.name)
        answer: bool | None = True
        for rules in self.http:
            found = {http_rules.allows(rule, request) for rule in rules}
            if True not in found:
                if None not in found:
                    return False
                answer = None
        return answer

    def accepts_dns(self, name: str) -> bool:
        """Whether a lookup of this name is allowed."""
        return self.everything or all(any(dns_rules.accepts(rule, name) for rule in rules) for rules in self.dns)


def _words(sets: tuple[Rules[R], ...], anything: str) -> list[str]:
    if not sets:
        return [anything]
    if len(sets) == 1:
        return [rule.words for rule in sets[0]]
    lines: list[str] = [" or ".join([rule.words for rule in rules]) for rules in sets]
    return [lines[0], *(f"and {line}" for line in lines[1:])]


_CLOSED: tuple[tuple[Any, ...], ...] = ((),)
NONE = L7(False, _CLOSED, _CLOSED)
ANY_HTTP = L7(False, (), _CLOSED)
ANY_DNS = L7(False, _CLOSED, ())
ALL = L7(True, (), ())


def http(rules: Iterable[HttpRule]) -> L7:
    """The requests that any of these rules allows."""
    return L7(False, _normal([tuple(rules)], ANY_REQUEST), _CLOSED)


def dns(rules: Iterable[DnsRule]) -> L7:
    """The lookups that any of these rules allows."""
    return L7(False, _CLOSED, _normal([tuple(rules)], ANY_NAME))


def meet(*values: L7) -> L7:
    """What all of these allow (egress and ingress; of none: everything)."""
    limits = [value for value in values if not value.everything]
    if not limits:
        return ALL
    requests = [rules for value in limits for rules in value.http]
    return L7(
        False, _normal(requests, ANY_REQUEST), _normal([rules for value in limits for rules in value.dns], ANY_NAME)
    )


def union(*values: L7) -> L7:
    """What any of these allows (of none: nothing).

    ValueError where it would take more than 64 sets of rules to say, which needs unions of many meets.
    """
    if any(value.everything for value in values):
        return ALL
    out = NONE
    for value in dict.fromkeys(values):
        out = L7(False, _either(out.http, value.http, ANY_REQUEST), _either(out.dns, value.dns, ANY_NAME))
    return out


def _either(left: tuple[Rules[R], ...], right: tuple[Rules[R], ...], anything: R) -> tuple[Rules[R], ...]:
    sets = _normal([one + other for one, other in product(left, right)], anything)
    if len(sets) > MOST_FACTORS:
        raise ValueError("a union of too many combinations of L7 rules")
    return sets


def _normal(sets: Iterable[Rules[R]], anything: R) -> tuple[Rules[R], ...]:
    """Each set once, sorted; without those that allow anything, or all that another one allows."""
    distinct = sorted(
        {tuple(sorted(set(rules))) for rules in sets if anything not in rules}, key=lambda rules: (len(rules), rules)
    )
    kept: list[Rules[R]] = []
    for rules in distinct:
        if not any(set(other).issubset(rules) for other in kept):
            kept.append(rules)
    return tuple(kept)


# --- Comparing ---


class Verdict(NamedTuple):
    """`no`, `yes` with a shortest request, or `unknown` with the reason."""

    answer: str
    witness: Request | Lookup | Payload | None = None
    reason: str = ""


class Comparison(NamedTuple):
    """Whether head allows something that base does not, and the converse."""

    wider: Verdict
    narrower: Verdict


NO = Verdict("no")


@lru_cache(maxsize=65536)
def compare(base: L7, head: L7) -> Comparison:
    """Whether `head` is wider, and whether it is narrower, than `base`. For a gate, `unknown` means possibly."""
    if base == head:
        return Comparison(NO, NO)
    return Comparison(_exceeds(head, base), _exceeds(base, head))


def _exceeds(value: L7, other: L7) -> Verdict:
    """Whether `value` allows something that `other` does not."""
    if other.everything or value == other:
        return NO
    if value.everything:
        kind = other.kind
        return Verdict("yes", Payload({"http": "HTTP", "dns": "DNS", "mixed": "HTTP or DNS"}.get(kind, "allowed now")))
    requests = _beyond(value.http, other.http, _requests)
    if requests.answer == "yes":
        return requests
    lookups = _beyond(value.dns, other.dns, _lookups)
    return lookups if requests.answer == "no" or lookups.answer == "yes" else requests


def _beyond(
    value: tuple[Rules[R], ...], other: tuple[Rules[R], ...], ask: Callable[[tuple[Rules[R], ...], Rules[R]], Verdict]
) -> Verdict:
    """Ask of each set of `other` whether all of `value` is in it; the shortest request that is not, else what is unknown."""
    if () in value:
        return NO
    answers = [ask(value, rules) for rules in other if not any(set(mine).issubset(rules) for mine in value)]
    found = [answer for answer in answers if answer.answer == "yes"]
    if found:
        return min(found, key=lambda answer: (len(answer.witness.words) if answer.witness else 0, answer.witness))
    return next((answer for answer in answers if answer.answer == "unknown"), NO)


@lru_cache(maxsize=65536)
def _requests(inside: tuple[Rules[HttpRule], ...], outside: Rules[HttpRule]) -> Verdict:
    return _verdict(http_rules.difference(_without(inside, outside, ANY_REQUEST), outside))


@lru_cache(maxsize=65536)
def _lookups(inside: tuple[Rules[DnsRule], ...], outside: Rules[DnsRule]) -> Verdict:
    return _verdict(dns_rules.difference(_without(inside, outside, ANY_NAME), outside))


def _without(inside: tuple[Rules[R], ...], outside: Rules[R], anything: R) -> Sequence[Rules[R]]:
    """A single set needs no rule that stands in `outside` word for word; no set at all is one that allows anything."""
    if len(inside) == 1:
        return [tuple(rule for rule in inside[0] if rule not in set(outside))]
    return inside or [(anything,)]


def _verdict(answer: Included | Unknown | Request | Lookup) -> Verdict:
    if isinstance(answer, Included):
        return NO
    if isinstance(answer, Unknown):
        return Verdict("unknown", None, answer.reason)
    return Verdict("yes", answer)
