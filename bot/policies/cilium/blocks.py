"""CIDRs and CIDR groups of Cilium policies in, the addresses outside the cluster that they mean out.

A CIDR matches what is outside the cluster only, never a pod, node or health endpoint, whatever its address: pkg/policy/types
`selector.go`, CIDRSelector.Matches.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from bot.policies import addresses, intervals
from bot.policies.intervals import Intervals
from bot.policies.model import Expr, InAddresses, Label, disjunction

ANYWHERE = "anywhere"
"""Scope of an endpoint outside the cluster whose address nobody knows: by `ipv4` or `ipv6`, whether only /0 holds it."""
_FAMILIES = (("ipv4", addresses.ALL_V4), ("ipv6", addresses.ALL_V6))


@lru_cache(maxsize=65536)
def parse(text: str) -> Intervals | None:
    """The addresses of a CIDR, host bits masked, as Go's net.ParseCIDR reads it; None for what it refuses."""
    address, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit() or (len(length) > 1 and length[0] == "0"):
        return None
    if ":" not in address and any(len(part) > 1 and part[0] == "0" for part in address.split(".")):
        return None
    try:
        return addresses.parse_cidr(text)
    except ValueError:
        return None


def outside(entries: Iterable[tuple[Intervals, Intervals]]) -> Expr:
    """What is in any of the entries, each a CIDR without its `except`. A /0 holds the addresses that nobody knows too."""
    found: list[tuple[int, int]] = []
    anywhere: list[Expr] = []
    for block, holes in entries:
        found.extend(intervals.subtract(block, holes) if holes else block)
        anywhere.extend(Label(ANYWHERE, family, "exists") for family, whole in _FAMILIES if block == whole)
    if not found and not anywhere:
        return disjunction(())
    return disjunction((InAddresses(intervals.normal(found), pods=False), *anywhere))
