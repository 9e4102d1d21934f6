"""CIDRs in, intervals of one address line out (IPv4 first, IPv6 after it), and back to words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.policies import intervals
from bot.policies.intervals import Intervals

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

V6 = 1 << 32
ALL_V4: Intervals = ((0, V6 - 1),)
ALL_V6: Intervals = ((V6, V6 + (1 << 128) - 1),)
ALL: Intervals = intervals.normal(ALL_V4 + ALL_V6)


def parse_address(text: str) -> int:
    """The point of an IPv4 or IPv6 address. Raises ValueError."""
    return parse_cidr(text)[0][0]


def parse_cidr(text: str) -> Intervals:
    """The interval of a CIDR or a single address; host bits are masked. Raises ValueError with a reason."""
    address, slash, length = text.partition("/")
    if ":" not in address:
        parts = address.split(".")
        if len(parts) != 4 or not all(p.isascii() and p.isdigit() and len(p) <= 3 and int(p) < 256 for p in parts):
            raise ValueError(f"{text!r} is not an IPv4 or IPv6 CIDR")
        value, bits, offset = int.from_bytes(bytes(map(int, parts)), "big"), 32, 0
    else:
        import ipaddress

        try:
            value, bits, offset = int(ipaddress.IPv6Address(address)), 128, V6
        except ValueError:
            value = -1
        if value < 0 or "%" in address:
            raise ValueError(f"{text!r} is not an IPv4 or IPv6 CIDR")
    if slash:
        if not (length.isascii() and length.isdigit()) or len(length) > 3 or int(length) > bits:
            raise ValueError(f"{text!r} has no prefix length between 0 and {bits}")
        prefix = int(length)
    else:
        prefix = bits
    first = value >> (bits - prefix) << (bits - prefix)
    return ((offset + first, offset + first + (1 << (bits - prefix)) - 1),)


def host_bits(text: str) -> bool:
    """Whether a CIDR that parses has bits set beyond its prefix."""
    return "/" in text and parse_cidr(text)[0][0] != parse_cidr(text.partition("/")[0])[0][0]


def words(addresses: Intervals) -> list[str]:
    """Each interval as a CIDR, or as `first-last` where no one CIDR fits."""
    return [_word(first, last) for first, last in addresses for first, last in _by_family(first, last)]


def cidrs(addresses: Intervals) -> list[str]:
    """The fewest CIDRs that make up the set, in order."""
    import ipaddress

    out: list[str] = []
    for first, last in addresses:
        for low, high in _by_family(first, last):
            out.extend(str(net) for net in ipaddress.summarize_address_range(_address(low), _address(high)))
    return out


def _by_family(first: int, last: int) -> list[tuple[int, int]]:
    return [(first, V6 - 1), (V6, last)] if first < V6 <= last else [(first, last)]


def _address(point: int) -> IPv4Address | IPv6Address:
    import ipaddress

    return ipaddress.IPv4Address(point) if point < V6 else ipaddress.IPv6Address(point - V6)


def address_word(point: int) -> str:
    """One address of the line, as people write it."""
    return str(_address(point))


def _word(first: int, last: int) -> str:
    size = last - first + 1
    bits = size.bit_length() - 1
    width = 32 if first < V6 else 128
    if size == 1 << bits and (first if first < V6 else first - V6) % size == 0:
        return f"{_address(first)}/{width - bits}"
    return f"{_address(first)}-{_address(last)}"
