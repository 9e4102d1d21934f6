"""NP022: the whole address range as a peer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import INFO, WARNING, Draft, Rule
from bot.policies import addresses as address_line
from bot.policies.intervals import covers
from bot.policies.model import And, Expr, InAddresses

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP022",
    name="world-without-except",
    severity=WARNING,
    detects="An allow rule for 0.0.0.0/0 or ::/0 without `except`. For information only where it lets in traffic of "
    "pods that are exposed.",
    why="The range holds more than the internet: private networks, nodes, the cloud's metadata service and, with "
    "most CNIs, every pod.",
    bad="""\
egress:
  - to:
      - ipBlock: {cidr: 0.0.0.0/0}
""",
    fix="Except the private ranges and the metadata service.",
    good="""\
egress:
  - to:
      - ipBlock:
          cidr: 0.0.0.0/0
          except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16]
""",
)


def check(context: Context) -> Iterator[Draft]:
    """Every such peer of an allow rule, of whatever API."""
    for peer in context.peers:
        if peer.rules[0].action != "allow" or not is_world(peer.other):
            continue
        exposed = peer.direction == "ingress" and any(
            context.exposed().get(slot) for slot in context.subjects(peer.policy, "ingress")
        )
        what = "comes from any address" if peer.direction == "ingress" else "may go to any address"
        message = f"traffic {what}, those of private networks, nodes and pods included"
        yield Draft(RULE, INFO if exposed else WARNING, peer.object, peer.path, message)


def is_world(expr: Expr) -> bool:
    """Whether it is every address of a family, pods' or not."""
    parts = expr.parts if isinstance(expr, And) else (expr,)
    return all(
        isinstance(part, InAddresses)
        and (covers(part.addresses, address_line.ALL_V4) or covers(part.addresses, address_line.ALL_V6))
        for part in parts
    )
