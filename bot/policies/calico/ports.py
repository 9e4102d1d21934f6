"""Protocol, ICMP and ports of a Calico rule in; out, the traffic they say in numbers and the port names they look up.

Semantics: felix/rules/policy.go; api/pkg/lib/numorstring (`protocol.go`, `port.go`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from bot.policies.traffic import (
    ICMP,
    ICMPV6,
    LAST_PORT,
    NOTHING,
    PROTOCOLS,
    SCTP,
    TCP,
    UDP,
    Box,
    Traffic,
    intersect,
    ports,
    subtract,
    union,
)

WITH_PORTS = (TCP, UDP, SCTP)
UNIVERSE: Traffic = union(
    *(ports(number, 1 if number in WITH_PORTS else 0) for number in range(256)),
)
FAMILY_OF_NAME = {"ICMP": 4, "ICMPv6": 6}
_PORT = r"0*[1-9]\d{0,4}"


class Ports(NamedTuple):
    """A list of ports: intervals of numbers, and names. None stands for a list that is not there."""

    numbers: tuple[tuple[int, int], ...]
    names: tuple[str, ...]


class Kinds(NamedTuple):
    """Which traffic a rule is about before ports: `traffic`, and the family that its protocol's name limits it to (0: none)."""

    traffic: Traffic
    family: int


def protocol_number(value: object) -> int | None:
    """A protocol by one of Calico's names, exactly in that case, or by its number; None: neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 1 <= value <= 255 else None
    if isinstance(value, str):
        if value in PROTOCOLS:
            return PROTOCOLS[value]
        if value.isascii() and value.isdigit() and len(value) <= 3 and 1 <= int(value) <= 255:
            return int(value)
    return None


def read_port(value: object) -> tuple[int, int] | str | None:
    """One port: an interval for a number or `first:last`, text for a name, None for what is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return (value, value) if 1 <= value <= LAST_PORT else None
    if not isinstance(value, str):
        return None
    first, colon, last = value.partition(":")
    if re.fullmatch(_PORT, first) and (not colon or re.fullmatch(_PORT, last)):
        low, high = int(first), int(last if colon else first)
        return (low, high) if low <= high <= LAST_PORT else None
    if re.fullmatch(r"[a-zA-Z0-9_.-]{1,128}", value) and not value.isdigit() and not re.fullmatch(r"\d+-\d+", value):
        return value
    return None


def read_list(value: object) -> Ports | None:
    """`ports` or `notPorts`; what is malformed in it is left out (validation has refused it)."""
    if not isinstance(value, list) or not value:
        return None
    numbers: list[tuple[int, int]] = []
    names: dict[str, None] = {}
    for item in value:
        found = read_port(item)
        if isinstance(found, str):
            names[found] = None
        elif found is not None:
            numbers.append(found)
    return Ports(tuple(numbers), tuple(names))


def kinds(rule: Mapping[str, object]) -> Kinds:
    """Protocol, notProtocol, icmp and notICMP together."""
    declared = rule.get("protocol")
    traffic = _of(protocol_number(declared), protocol_number(rule.get("notProtocol")))
    icmp, not_icmp = rule.get("icmp"), rule.get("notICMP")
    if isinstance(icmp, dict):
        traffic = intersect(traffic, _icmp(icmp))
    if isinstance(not_icmp, dict):
        traffic = subtract(traffic, _icmp(not_icmp))
    return Kinds(traffic, FAMILY_OF_NAME.get(declared, 0) if isinstance(declared, str) else 0)


@lru_cache(maxsize=1024)
def _of(protocol: int | None, but: int | None) -> Traffic:
    traffic = UNIVERSE if protocol is None else intersect(UNIVERSE, ports(protocol))
    return traffic if but is None else subtract(traffic, ports(but))


def _icmp(fields: Mapping[str, object]) -> Traffic:
    kind, code = fields.get("type"), fields.get("code")
    if not isinstance(kind, int):
        return union(ports(ICMP), ports(ICMPV6))
    first, last = (kind << 8 | code, kind << 8 | code) if isinstance(code, int) else (kind << 8, kind << 8 | 0xFF)
    return union(ports(ICMP, first, last), ports(ICMPV6, first, last))


@lru_cache(maxsize=4096)
def protocols_with_ports(traffic: Traffic) -> tuple[int, ...]:
    """Of TCP, UDP and SCTP, those that some of the traffic is of."""
    return tuple(number for number in WITH_PORTS if intersect(traffic, ports(number)))


@lru_cache(maxsize=4096)
def at_destination(traffic: Traffic, numbers: tuple[tuple[int, int], ...]) -> Traffic:
    """The part of the traffic to one of these ports."""
    named = [ports(protocol, *pair) for protocol in protocols_with_ports(traffic) for pair in numbers]
    return intersect(traffic, union(*named)) if named else NOTHING


@lru_cache(maxsize=4096)
def at_source(traffic: Traffic, numbers: tuple[tuple[int, int], ...]) -> Traffic:
    """The part of the traffic from one of these ports."""
    boxes = [
        Box(protocol << 16, protocol << 16 | LAST_PORT, first, last)
        for protocol in protocols_with_ports(traffic)
        for first, last in numbers
    ]
    return intersect(traffic, union(tuple(boxes))) if boxes else NOTHING
