"""What policies see of an endpoint on one side: slots, and how one expression judges one of them (the scalar reading)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bot.policies import addresses as address_line
from bot.policies import intervals
from bot.policies.intervals import Intervals
from bot.policies.model import (
    And,
    Everything,
    Expr,
    HasPort,
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

Attributes = Mapping[str, Mapping[str, str]]
Port = tuple[str, int, int]


class Persona(NamedTuple):
    """One thing that policies may take an endpoint for. `addresses`: its known ones; None: one address nobody knows.

    `kind` is what a `Kind` expression asks for. `ports`: (name, protocol number, number). `unknown_in`: the range an
    unknown address lies in (None: outside every CIDR).
    """

    kind: str
    namespace: str = ""
    attributes: Attributes = {}
    ports: tuple[Port, ...] = ()
    addresses: Intervals | None = ()


class Slot:
    """An endpoint as it is on one side or both: its identity and what policies see (several personas: any of them)."""

    __slots__ = ("identity", "kind", "namespace", "personas", "row")

    def __init__(self, identity: tuple[str, ...], kind: str, namespace: str, personas: tuple[Persona, ...]) -> None:
        self.identity = identity
        self.kind = kind
        self.namespace = namespace
        self.personas = personas
        self.row = -1


def judge(expr: Expr, slot: Slot, vocabulary: Vocabulary) -> tuple[bool, bool]:
    """Whether `expr` surely, and whether it possibly, matches the slot: a scalar reading, made apart from the bitsets.

    An unknown address matches possibly, unless the set holds or misses the whole range it lies in (DESIGN, Endpoints).
    """
    if isinstance(expr, And):
        answers = [judge(part, slot, vocabulary) for part in expr.parts]
        return all(must for must, _ in answers), all(may for _, may in answers)
    if isinstance(expr, Or):
        answers = [judge(part, slot, vocabulary) for part in expr.parts]
        return any(must for must, _ in answers), any(may for _, may in answers)
    if isinstance(expr, Not):
        must, may = judge(expr.inner, slot, vocabulary)
        return not may, not must
    if isinstance(expr, Maybe):
        return False, judge(expr.inner, slot, vocabulary)[1]
    if isinstance(expr, Everything):
        return True, True
    if isinstance(expr, Nobody):
        return False, False
    if isinstance(expr, Is):
        found = slot.identity in expr.identities
        return found, found
    answers = [leaf(expr, persona, vocabulary) for persona in slot.personas]
    return all(must for must, _ in answers), any(may for _, may in answers)


def leaf(expr: Expr, persona: Persona, vocabulary: Vocabulary) -> tuple[bool, bool]:
    """The same question of one persona, for expressions without parts."""
    if isinstance(expr, InAddresses):
        return _by_address(expr, persona, vocabulary)
    if isinstance(expr, Kind):
        found = persona.kind == expr.kind
    elif isinstance(expr, InNamespace):
        found = persona.kind == "pod" and persona.namespace == expr.namespace
    elif isinstance(expr, HasPort):
        found = (expr.name, expr.protocol, expr.number) in persona.ports
    elif isinstance(expr, Label):
        found = label_matches(expr, persona.attributes.get(expr.scope))
    else:
        found = False
    return found, found


def label_matches(label: Label, attributes: Mapping[str, str] | None) -> bool:
    """One requirement on one map of attributes; a missing map or key does not match."""
    value = None if attributes is None else attributes.get(label.key)
    if value is None:
        return False
    if label.operator == "exists":
        return True
    if label.operator == "in":
        return value in label.values
    if label.operator == "prefix":
        return value.startswith(label.values)
    if label.operator == "suffix":
        return value.endswith(label.values)
    return any(part in value for part in label.values)


def _by_address(expr: InAddresses, persona: Persona, vocabulary: Vocabulary) -> tuple[bool, bool]:
    known = persona.addresses
    if persona.kind == "pod":
        if not expr.pods or not vocabulary.cidr_meets_pods:
            return False, False
        if known is None:
            return unknown_address(expr.addresses, vocabulary.pod_addresses)
    elif known is None:
        return unknown_address(expr.addresses, address_line.ALL)
    if not known:
        return False, False
    found = bool(intervals.intersect(expr.addresses, known))
    return found, found


def unknown_address(addresses: Intervals, within: Intervals | None) -> tuple[bool, bool]:
    """Whether a set surely, possibly holds an address of which only the range `within` is known (None: outside all).

    Where the range has IPv4, that family decides *surely*: what clusters without IPv6 do.
    """
    if within is None:
        return False, False
    first_family = intervals.intersect(within, address_line.ALL_V4) or within
    return intervals.covers(addresses, first_family), bool(intervals.intersect(addresses, within))
