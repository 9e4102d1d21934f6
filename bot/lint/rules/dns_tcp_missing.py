"""NP004: DNS over UDP alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.context import item_of
from bot.lint.finding import INFO, Draft, Edit, Path, Rule
from bot.lint.written import value_at
from bot.policies.traffic import TCP, UDP, ports

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer

RULE = Rule(
    id="NP004",
    name="dns-tcp-missing",
    severity=INFO,
    detects="A rule that allows UDP 53 to cluster DNS, for pods of which no policy allows TCP 53 there.",
    why="An answer that is too long for a UDP packet is asked for again over TCP. Such names, long lists of "
    "endpoints among them, then do not resolve, now and then.",
    bad="""\
ports:
  - {protocol: UDP, port: 53}
""",
    fix="Allow TCP 53 beside UDP 53.",
    good="""\
ports:
  - {protocol: UDP, port: 53}
  - {protocol: TCP, port: 53}
""",
    fixable=True,
)
_UDP, _TCP = ports(UDP, 53, 53), ports(TCP, 53, 53)


def check(context: Context) -> Iterator[Draft]:
    """Every such rule, once."""
    seen: set[tuple[int, Path]] = set()
    for peer in context.peers:
        if (
            peer.direction != "egress"
            or peer.rules[0].action != "allow"
            or len(peer.rules) != 1
            or peer.rules[0].traffic != _UDP
        ):
            continue
        at = (id(peer.object), item_of(peer.path))
        udp, tcp = context.dns_allowed
        if at not in seen and context.bits(peer.subject) & context.isolated("egress") & udp & ~tcp:
            seen.add(at)
            message = "DNS is allowed over UDP, and not over TCP, which long answers need"
            yield Draft(RULE, INFO, peer.object, at[1], message, "allow TCP 53 too", _edit(peer, at[1]))


def _edit(peer: Peer, path: Path) -> Edit | None:
    value = value_at(peer.object.value, (*path, "ports"))
    if peer.object.kind != "NetworkPolicy" or type(value) is not list:
        return None
    return Edit("append", (*path, "ports"), {"protocol": "TCP", "port": 53})
