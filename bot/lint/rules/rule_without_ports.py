"""NP020: a rule for some peers that lets every port through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.context import item_of
from bot.lint.finding import WARNING, Draft, Path, Rule
from bot.lint.near import labels_asked
from bot.lint.rules.ports_list_split import is_half
from bot.policies import addresses as address_line
from bot.policies.intervals import covers
from bot.policies.model import InAddresses

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer

RULE = Rule(
    id="NP020",
    name="rule-without-ports",
    severity=WARNING,
    detects="A rule that allows certain peers, and names no ports. Rules for the whole own namespace are left alone.",
    why="It allows every port and protocol, debug and admin ports that come later too.",
    bad="""\
ingress:
  - from:
      - podSelector: {matchLabels: {app: web}}
""",
    fix="List the ports that the pods listen on.",
    good="""\
ingress:
  - from:
      - podSelector: {matchLabels: {app: web}}
    ports:
      - {protocol: TCP, port: 8080}
""",
)


def check(context: Context) -> Iterator[Draft]:
    """Every such rule, once, whatever number of peers it has."""
    everything = context.lowered.vocabulary.universe
    seen: set[tuple[int, Path]] = set()
    for peer in context.peers:
        rule = peer.rules[0]
        if rule.traffic != everything or rule.action != "allow" or rule.l7 is not None or not _is_certain(peer):
            continue
        at = (id(peer.object), item_of(peer.path))
        if at in seen or is_half(context, peer.object, at[1]):
            continue
        seen.add(at)
        target = peer.subject if peer.direction == "ingress" else peer.other
        numbers = {port.number for workload in context.selected(target) for port in workload.ports}
        fix = f"list the ports; those pods declare {words.ports(numbers)}" if 0 < len(numbers) <= 8 else ""
        yield Draft(RULE, WARNING, peer.object, at[1], "no ports are named, so every port and protocol is allowed", fix)


def _is_certain(peer: Peer) -> bool:
    """Whether it allows somebody in particular: pods by a label, or some addresses (other rules speak of the rest)."""
    other = peer.other
    if isinstance(other, InAddresses):
        return not covers(other.addresses, address_line.ALL_V4) and not covers(other.addresses, address_line.ALL_V6)
    return bool(labels_asked(other) or labels_asked(other, "namespace"))
