"""`toPorts` and `icmps` of a Cilium rule in, what they name in numbers and by name out, one item for each set of L7 rules.

Source: pkg/policy/api/l4.go, icmp.go, rule_validation.go (PortProtocol.sanitize), pkg/policy/rule.go (mergeL4Filter).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.cilium.schema import ICMP_V4, ICMP_V6
from bot.policies.selectors import Path
from bot.policies.traffic import ICMP, ICMPV6, NOTHING, SCTP, TCP, UDP, Box, Traffic, ports, union

if TYPE_CHECKING:
    from bot.policies.l7 import L7

UNIVERSE: Traffic = union(
    *(ports(protocol, 1) for protocol in (TCP, UDP, SCTP)), *(ports(protocol) for protocol in (ICMP, ICMPV6))
)
"""What Cilium polices unless extended protocols are switched on: the rest it drops."""
_PROTOCOLS = {"TCP": (TCP,), "UDP": (UDP,), "SCTP": (SCTP,), "ANY": (TCP, UDP, SCTP), "": (TCP, UDP, SCTP)}
Single = tuple[int, int]


class Item(NamedTuple):
    """What one rule says of ports: those in numbers, those by (name, protocol), the L7 rules there, and where it says so.

    `single` are the ports among them that are named alone: what lifts DNS rules on the very same port. `unsure`: what of it
    only a setting outside the manifests decides.
    """

    traffic: Traffic
    names: tuple[tuple[str, int], ...] = ()
    l7: L7 | None = None
    path: Path = ()
    single: tuple[Single, ...] = ()
    unsure: str = ""


EVERY_PORT = Item(UNIVERSE)


@lru_cache(maxsize=4096)
def number(text: str) -> int | None:
    """The number of a port as the agent reads it (strconv.ParseUint, base 0); None for a name. ValueError: neither."""
    if _is_service_name(text):
        return None
    if not text:
        raise ValueError("port must be specified")
    digits = text.replace("_", "") if text[0] != "_" and text[-1] != "_" and "__" not in text else ""
    base = 8 if digits.startswith("0") and len(digits) > 1 else 10
    if (
        not digits.isascii()
        or not digits.isdigit()
        or (base == 8 and set(digits) & {"8", "9"})
        or int(digits, base) > 0xFFFF
    ):
        raise ValueError(f'unable to parse port: "{text[:80]}" is neither a port number nor a name')
    return int(digits, base)


def _is_service_name(text: str) -> bool:
    """RFC 6335, section 5.1: letters, digits and single hyphens inside, a letter among them."""
    if not 0 < len(text) <= 15 or text.isdigit() or not text.isascii() or "--" in text or "-" in (text[0], text[-1]):
        return False
    return text.replace("-", "").isalnum() and any(map(str.isalpha, text))


def read_ports(listed: Iterable[Mapping[str, object]]) -> Item:
    """The ports of one item of toPorts."""
    boxes: list[Box] = []
    names: dict[tuple[str, int], None] = {}
    single: list[Single] = []
    for port in listed:
        text, last = str(port.get("port") or ""), port.get("endPort")
        first = number(text)
        for protocol in _PROTOCOLS.get(str(port.get("protocol") or ""), ()):
            if first is None:
                names[(text.lower(), protocol)] = None
            elif first == 0:
                # With endPort too: cilium reads port "0" as every port whatever the end.
                boxes.extend(ports(protocol, 1))
            elif isinstance(last, int) and last > first:
                boxes.extend(ports(protocol, first, last))
            else:
                boxes.extend(ports(protocol, first, first))
                single.append((protocol, first))
    return Item(union(tuple(boxes)) if boxes else NOTHING, tuple(names), single=tuple(single))


def read_icmps(listed: Iterable[Mapping[str, object]]) -> Item:
    """The types of `icmps`, every code of each. Type 0 is port 0 to the agent, and so every type."""
    boxes: list[Box] = []
    for rule in listed:
        fields = rule.get("fields")
        for field in fields if isinstance(fields, list) else ():
            six = field.get("family") == "IPv6"
            protocol, known = (ICMPV6, ICMP_V6) if six else (ICMP, ICMP_V4)
            kind = str(field.get("type"))
            code = known[kind] if kind in known else int(kind)
            if code == 0:
                boxes.extend(ports(protocol))
            elif 0 < code < 256:
                boxes.extend(ports(protocol, code << 8, code << 8 | 0xFF))
    return Item(union(tuple(boxes)) if boxes else NOTHING)
