"""NP104: an allow rule that a policy before it denies, or a deny that one before it voids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import INFO, WARNING, Draft, Rule
from bot.lint.overlap import row, rules_meet, side, sure
from bot.lint.registry import ADMIN
from bot.reachability.endpoints import indices

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer

RULE = Rule(
    id="NP104",
    name="overridden-by-admin",
    severity=WARNING,
    detects="An allow rule of a namespace's own policy, all of which an AdminNetworkPolicy, a ClusterNetworkPolicy, "
    "a GlobalNetworkPolicy or a CiliumClusterwideNetworkPolicy denies whatever it says; and a policy that isolates "
    "pods whose traffic an admin policy or a GlobalNetworkPolicy allows whole before it is asked (for information "
    "only where it allows that of pods alone).",
    why="The namespace's owners see a rule that says one thing, and the cluster does another.",
    bad="""\
kind: AdminNetworkPolicy
spec:
  priority: 10
  ingress:
    - action: Deny
      from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: legacy}}}]
---
kind: NetworkPolicy
spec:
  ingress:
    - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: legacy}}}]
""",
    fix="Let the admin policy `Pass` such traffic to the namespace's own policies, or remove the rule that has "
    "no effect.",
)
_GLOBAL = (*ADMIN, "GlobalNetworkPolicy", "CiliumClusterwideNetworkPolicy")
_LOOKED_AT = 40


def check(context: Context) -> Iterator[Draft]:
    """Every rule and policy of a namespace that a cluster-wide one leaves without effect."""
    wide = [
        peer
        for peer in context.peers
        if peer.object.kind in _GLOBAL and peer.object.kind != "BaselineAdminNetworkPolicy"
    ]
    denies = [peer for peer in wide if peer.rules[0].action == "deny"]
    allows = [peer for peer in wide if peer.rules[0].action == "allow" and not peer.object.kind.startswith("Cilium")]
    if denies:
        for peer in context.peers:
            if peer.object.namespace and peer.rules[0].action == "allow":
                yield from _denied(context, peer, denies)
    if allows:
        yield from _voided(context, allows)


def _denied(context: Context, peer: Peer, denies: list[Peer]) -> Iterator[Draft]:
    slots = indices(context.bits(peer.subject))[:_LOOKED_AT]
    others = sure(context, peer.other)
    if not slots or not others:
        return
    before = [deny for deny in denies if deny.direction == peer.direction and rules_meet(context, deny, peer)]
    if not before or any(_passes(context, peer, slot, others) for slot in slots):
        return
    by = before[0].policy.title
    message = f"{by} denies all that this rule allows"
    yield Draft(RULE, WARNING, peer.object, peer.path, message, about=before[0].object.name)


def _passes(context: Context, peer: Peer, slot: int, others: int) -> bool:
    """Whether anything that the rule allows is allowed at its own end."""
    mask = 0
    for rule in peer.rules:
        mask |= context.mask_of(rule.traffic)
    return any(cell.mask & mask and (cell.open | cell.maybe) & others for cell in row(context, peer.direction, slot))


def _voided(context: Context, allows: list[Peer]) -> Iterator[Draft]:
    everything = context.lowered.vocabulary.universe
    whole = [
        peer for peer in allows if peer.rules[0].traffic == everything and not context.slots & ~context.bits(peer.other)
    ]
    for direction in ("ingress", "egress"):
        for policy, bits, origin in context.isolating(direction) if whole else ():
            obj = policy.object
            if obj is None or not obj.namespace:
                continue
            by = next((p for p in whole if p.direction == direction and not bits & ~context.bits(p.subject)), None)
            slots = indices(bits)[:_LOOKED_AT]
            if by is None or not all(_is_open(context, direction, slot, context.slots) for slot in slots):
                continue
            ends = "from" if direction == "ingress" else "to"
            if all(_is_open(context, direction, slot, side(context)) for slot in slots):
                severity, told = WARNING, f"allows all {direction} before this policy is asked: it isolates nothing"
            else:
                severity, told = (
                    INFO,
                    f"allows all traffic {ends} pods before this policy is asked: it isolates none of them",
                )
            yield Draft(
                RULE, severity, obj, origin.path, f"{by.policy.title} {told}", about=f"{direction} {by.object.name}"
            )


def _is_open(context: Context, direction: str, slot: int, ends: int) -> bool:
    return all(not ends & ~cell.open for cell in row(context, direction, slot))
