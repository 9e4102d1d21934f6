"""The `ports` and `protocols` of admin policies in; out, what they say in numbers and the port names they look up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

from bot.policies.selectors import Flaw, Path, kind_of, mapping, sequence, unknown_fields
from bot.policies.terms import UNIVERSE, Terms
from bot.policies.traffic import NOTHING, SCTP, TCP, UDP, Traffic, union

Names = tuple[tuple[str, int], ...]
Read = tuple[Traffic, Names]
EVERY_PORT: Read = (UNIVERSE, ())
_ITEM = frozenset({"portNumber", "portRange", "namedPort"})
_NUMBER = frozenset({"protocol", "port"})
_RANGE = frozenset({"protocol", "start", "end"})
_PROTOCOL = frozenset({"tcp", "udp", "sctp", "destinationNamedPort"})
_NUMBERS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}


def read_ports(terms: Terms, items: object, path: Path, flaws: list[Flaw]) -> Read:
    """`ports` of v1alpha1: portNumber, portRange (TCP unless they say so), namedPort."""
    return _read(terms, items, _ITEM, _port, path, flaws)


def read_protocols(terms: Terms, items: object, path: Path, flaws: list[Flaw]) -> Read:
    """`protocols` of ClusterNetworkPolicy: tcp, udp and sctp with a destinationPort, destinationNamedPort."""
    return _read(terms, items, _PROTOCOL, _protocol, path, flaws)


_Item = Callable[[Terms, str, object, Path, "list[Flaw]"], Traffic]


def _read(terms: Terms, items: object, known: frozenset[str], read_item: _Item, path: Path, flaws: list[Flaw]) -> Read:
    """A named port is the destination pod's container port, its number and its protocol (`NamedPort`): any protocol's."""
    listed = sequence(items, path, flaws)
    if not listed:
        flaws.append(Flaw(path, "an empty list is not allowed; leave the field out to match every port"))
    parts: list[Traffic] = []
    names: dict[tuple[str, int], None] = {}
    for i, item in enumerate(listed):
        at = (*path, i)
        fields = {name: inner for name, inner in mapping(item, at, flaws).items() if inner is not None}
        if len(fields) != 1 or not fields.keys() <= known:
            unknown_fields(fields, known, at, flaws)
            if len(fields) != 1:
                flaws.append(Flaw(at, f"exactly one of {', '.join(sorted(known))} must be given"))
            continue
        ((name, inner),) = fields.items()
        if name in ("namedPort", "destinationNamedPort"):
            if not isinstance(inner, str) or not inner:
                flaws.append(Flaw((*at, name), "a port name is required"))
                continue
            names.update(dict.fromkeys((inner, protocol) for protocol in _NUMBERS.values()))
        else:
            parts.append(read_item(terms, name, inner, (*at, name), flaws))
    return (terms.name_numbers(union(*parts)) if any(parts) else NOTHING), tuple(names)


def _port(terms: Terms, name: str, value: object, path: Path, flaws: list[Flaw]) -> Traffic:
    fields = mapping(value, path, flaws)
    unknown_fields(fields, _NUMBER if name == "portNumber" else _RANGE, path, flaws)
    declared = fields.get("protocol")
    protocol = TCP
    if isinstance(declared, str) and declared in _NUMBERS:
        protocol = _NUMBERS[declared]
    elif declared == "":
        flaws.append(Flaw((*path, "protocol"), "an empty protocol is read as TCP", refused=False))
    elif declared is not None:
        flaws.append(Flaw((*path, "protocol"), "the protocol must be TCP, UDP or SCTP"))
    if name == "portNumber":
        number = _number(fields.get("port"), path, "port", flaws)
        return terms.traffic(protocol, number, number) if number else NOTHING
    return _range(terms, protocol, fields, path, flaws, strict=False)


def _protocol(terms: Terms, name: str, value: object, path: Path, flaws: list[Flaw]) -> Traffic:
    protocol = _NUMBERS[name.upper()]
    fields = mapping(value, path, flaws)
    unknown_fields(fields, frozenset({"destinationPort"}), path, flaws)
    at = (*path, "destinationPort")
    port = fields.get("destinationPort")
    if port is None:
        # The schema wants a property here; the overview of the API says that without one every port is meant.
        flaws.append(Flaw(path, f"without destinationPort this is read as every {name.upper()} port", refused=False))
        return terms.traffic(protocol, 1, 0xFFFF)
    fields = {key: inner for key, inner in mapping(port, at, flaws).items() if inner is not None}
    unknown_fields(fields, frozenset({"number", "range"}), at, flaws)
    if len(fields) != 1:
        flaws.append(Flaw(at, "exactly one of number and range must be given"))
        return NOTHING
    if "number" in fields:
        number = _number(fields["number"], at, "number", flaws)
        return terms.traffic(protocol, number, number) if number else NOTHING
    at = (*at, "range")
    inner = mapping(fields.get("range"), at, flaws)
    unknown_fields(inner, frozenset({"start", "end"}), at, flaws)
    return _range(terms, protocol, inner, at, flaws, strict=True)


def _range(
    terms: Terms, protocol: int, fields: dict[str, object], path: Path, flaws: list[Flaw], *, strict: bool
) -> Traffic:
    """`strict`: the schema refuses a start that is not below the end (v1alpha1 took any, which then matches nothing)."""
    start, end = _number(fields.get("start"), path, "start", flaws), _number(fields.get("end"), path, "end", flaws)
    if not start or not end:
        return NOTHING
    if start > end:
        flaws.append(Flaw((*path, "end"), f"end {end} is below start {start}: no port is in this range", refused=strict))
        return NOTHING
    if start == end and strict:
        flaws.append(Flaw((*path, "end"), "start must be below end; a range of one port is read as that port", refused=False))
    return terms.traffic(protocol, start, end)


def _number(value: object, path: Path, name: str, flaws: list[Flaw]) -> int:
    if _is_port(value):
        return value
    shown = "it is missing" if value is None else f"it is {kind_of(value)}"
    flaws.append(Flaw((*path, name) if value is not None else path, f"{name} must be a number between 1 and 65535; {shown}"))
    return 0


def _is_port(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 0xFFFF
