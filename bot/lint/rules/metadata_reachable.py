"""NP023: the cloud's metadata service within a range that is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.context import METADATA
from bot.lint.finding import ERROR, INFO, Draft, Rule
from bot.policies import addresses as address_line
from bot.policies.intervals import covers, intersect
from bot.policies.model import And, Expr, InAddresses
from bot.policies.traffic import TCP
from bot.reachability.numbered import lowest

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer
    from bot.policies.intervals import Intervals

RULE = Rule(
    id="NP023",
    name="metadata-reachable",
    severity=ERROR,
    detects="Egress to a range that holds the address of a cloud's metadata service (169.254.169.254, fd00:ec2::254, "
    "168.63.129.16, 169.254.170.2, 169.254.170.23), where the policies of the pods together let them reach it. "
    "For information only where port 80 is not allowed, and where the rule is for such addresses and little "
    "else.",
    why="The metadata service hands out the node's credentials to whoever asks. A pod that is taken over asks first "
    "there.",
    bad="""\
egress:
  - to:
      - ipBlock: {cidr: 0.0.0.0/0}
""",
    fix="Except 169.254.0.0/16 (and fd00:ec2::254/128, 168.63.129.16/32) from the range.",
    good="""\
egress:
  - to:
      - ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16, 168.63.129.16/32]}
""",
)
_LINK_LOCAL = address_line.parse_cidr("169.254.0.0/16")
_LOOKED_AT = 20
_WEB = TCP << 16 | 80


def check(context: Context) -> Iterator[Draft]:
    """Every rule by whose range some pod reaches it."""
    for peer in context.peers:
        if peer.direction != "egress" or peer.rules[0].action != "allow":
            continue
        ranges = _ranges(peer.other)
        held = [text for text in METADATA if ranges and covers(ranges, address_line.parse_cidr(text))]
        if held:
            yield from _finding(context, peer, ranges, held)


def _finding(context: Context, peer: Peer, ranges: Intervals, held: list[str]) -> Iterator[Draft]:
    pods = lowest(context.bits(peer.subject) & context.isolated("egress"), _LOOKED_AT)
    open_to = _open_to(context, peer, held, pods)
    if not open_to:
        return
    meant = covers(_LINK_LOCAL, ranges) or all(last - first < 256 for first, last in ranges)
    web = any(open_to.values())
    if not web and not meant:
        return
    shown = words.listed([text for text in open_to if open_to[text] or not web])
    port = "on port 80" if web else "though not on port 80"
    pod = context.pods[pods[0]].name
    message = f"`{pod}` may reach the metadata service ({shown}) {port}"
    yield Draft(RULE, INFO if meant or not web else ERROR, peer.object, peer.path, message)


def _open_to(context: Context, peer: Peer, held: list[str], pods: list[int]) -> dict[str, bool]:
    """Which of these addresses the pods reach for what the rule allows, and whether port 80 is in that."""
    allowing = context.allowing("egress")
    if allowing is not None and allowing.alone:
        web = any(box.first <= _WEB <= box.last for rule in peer.rules for box in rule.traffic)
        return dict.fromkeys(held, web) if pods else {}
    mask = 0
    for rule in peer.rules:
        mask |= context.mask_of(rule.traffic)
    out: dict[str, bool] = {}
    for text in held:
        target = sum(1 << slot for slot in context.address_slots(text))
        for slot in pods:
            web = bool(context.reached("egress", slot, _WEB) & target) and _has_web(context, mask)
            if web or context.opens("egress", slot, mask) & target:
                out[text] = out.get(text, False) or web
    return out


def _has_web(context: Context, mask: int) -> bool:
    atom = context.run.world.atoms.atom(_WEB)
    return atom is not None and bool(atom & mask)


def _ranges(expr: Expr) -> Intervals:
    parts = expr.parts if isinstance(expr, And) else (expr,)
    out: Intervals | None = None
    for part in parts:
        if not isinstance(part, InAddresses):
            return ()
        out = part.addresses if out is None else intersect(out, part.addresses)
    return out or ()
