"""NP115: a whole entity of Cilium as a peer, at every port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import INFO, WARNING, Draft, Rule
from bot.lint.written import value_at

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP115",
    name="cilium-entity-wide",
    severity=WARNING,
    detects="An allow rule for the entity `all`, `cluster` or `world` without ports. For information only where it "
    "lets in traffic of pods that are exposed.",
    why="`all` is every endpoint and address there is, `cluster` every pod and node, `world` every address "
    "outside: with no port named, hardly anything is left to isolate.",
    bad="""\
egress:
  - toEntities: [world]
""",
    fix="Name the ports, or peers in place of the entity.",
    good="""\
egress:
  - toEntities: [world]
    toPorts: [{ports: [{port: "443", protocol: TCP}]}]
""",
)
_WIDE = {
    "all": "every endpoint and address there is",
    "cluster": "every pod and node of the cluster",
    "world": "every address outside of it",
}


def check(context: Context) -> Iterator[Draft]:
    """Every such entity."""
    for peer in context.peers:
        if len(peer.path) < 2 or peer.path[-2] not in ("fromEntities", "toEntities") or peer.rules[0].action != "allow":
            continue
        name = value_at(peer.object.value, peer.path)
        rule = value_at(peer.object.value, peer.path[:-2])
        if name not in _WIDE or type(rule) is not dict or rule.get("toPorts") or rule.get("icmps"):
            continue
        if value_at(peer.object.value, (*peer.path[:-4], f"{peer.direction}Deny")):
            continue  # an allow of everything that deny rules are cut out of
        exposed = peer.direction == "ingress" and any(
            context.exposed().get(slot) for slot in context.subjects(peer.policy, "ingress")
        )
        word = "from" if peer.direction == "ingress" else "to"
        severity = INFO if exposed and name != "cluster" else WARNING
        yield Draft(
            RULE,
            severity,
            peer.object,
            peer.path,
            f"every port and protocol {word} `{name}`: {_WIDE[name]}",
            about=str(name),
        )
