"""NP060: half of a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from bot.lint import words
from bot.lint.finding import ERROR, WARNING, Draft, Rule
from bot.lint.near import labels_asked
from bot.lint.reaching import isolator
from bot.policies.traffic import PROTOCOL_NAMES
from bot.reachability.endpoints import bits_at
from bot.reachability.numbered import lowest

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer

RULE = Rule(
    id="NP060",
    name="one-sided-allow",
    severity=ERROR,
    detects="An ingress rule for certain pods none of whose own egress policies let them go there, and the reverse. An "
    "error where the rule is new, a warning where it was there before.",
    why="A path is open only where the egress of the one end and the ingress of the other both allow it. Half of it "
    "opens nothing.",
    bad="""\
# backend: ingress from frontend/web to api on 8080. And in frontend:
kind: NetworkPolicy
metadata: {name: default-deny, namespace: frontend}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
""",
    fix="Add the other half.",
    good="""\
kind: NetworkPolicy
metadata: {name: web-to-api, namespace: frontend}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
    - to:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: backend}}
          podSelector: {matchLabels: {app: api}}
      ports: [{port: 8080}]
""",
)
_EACH = 12


class _Ends(NamedTuple):
    """Some pods in words, and the key of the workload that they all are, if it is one."""

    words: str
    only: tuple[str, str, str] | None


def check(context: Context) -> Iterator[Draft]:
    """Every allow rule for certain pods that the other end leaves without effect."""
    if not context.isolated("egress") or not context.isolated("ingress"):
        return
    for peer in context.halves():
        rule = peer.rules[0]
        if rule.action == "allow" and rule.l7 is None and labels_asked(peer.other):
            yield from _peer(context, peer)


def _peer(context: Context, peer: Peer) -> Iterator[Draft]:
    other = "egress" if peer.direction == "ingress" else "ingress"
    theirs, own = context.bits(peer.other), context.bits(peer.subject)
    # Only where every one of them is isolated can the rule open nothing.
    if not theirs or not own or theirs & ~context.isolated(other):
        return
    if _is_as_before(context, other, theirs, peer) or _is_opened(context, other, theirs, own, peer):
        return
    pods, mine = _ends(context, theirs), _ends(context, own)
    if pods.only is not None and pods.only == mine.only:
        return
    by = isolator(context, other, lowest(theirs, 1)[0])
    if by is not None:
        yield _finding(context, peer, pods, mine, f"{by.policy.title} isolates {'it' if pods.only else 'them'}")


def _ends(context: Context, bits: int) -> _Ends:
    memo = context.run.memo
    at = "ends", id(context.pods), bits
    if at not in memo:
        pods = context.workloads(bits)
        one = all(pod.key == pods[0].key for pod in pods)
        memo[at] = _Ends(words.workloads(pods), pods[0].key if one else None)
    return memo[at]  # type: ignore[no-any-return]


def _is_as_before(context: Context, direction: str, theirs: int, peer: Peer) -> bool:
    """Whether a comparison finds the same of the rule on the other side: nothing that it comes of differs."""
    run, opposite = context.run, context.opposite
    numbers = run.numbered
    if run.scope is None or numbers is None or numbers.sides[0] != numbers.sides[1] or not run.is_on_both(peer.policy):
        return False
    allowing = context.allowing(direction)
    return (
        allowing is not None and allowing is opposite.allowing(direction) and not theirs & ~opposite.isolated(direction)
    )


def _is_opened(context: Context, direction: str, theirs: int, own: int, peer: Peer) -> bool:
    """Whether the policies of any of some of these pods, all of them isolated, let anything of the rule through."""
    memo = context.run.memo
    at = "looked at", theirs
    if at not in memo:
        first = lowest(theirs, _EACH)
        memo[at] = first, bits_at(first), {context.pods[slot].namespace: None for slot in first}
    pods, bits, namespaces = memo[at]
    allowing = context.allowing(direction)
    if allowing is not None:
        found = allowing.opens(peer, namespaces, bits, own)
        if found is not None or not allowing.alone:
            return found is not False
    mask = 0
    for rule in peer.rules:
        mask |= context.mask_of(rule.traffic)
    return any(context.opens(direction, slot, mask) & own for slot in pods)


def _finding(context: Context, peer: Peer, pods: _Ends, mine: _Ends, why: str) -> Draft:
    ports = _ports(peer)
    known = context.run.snapshots[0].objects.get(peer.object.key) is peer.object
    if peer.direction == "ingress":
        message = f"{pods.words} may not send to {mine.words}{ports}: no egress rule allows it, and {why}"
        fix = f"allow the egress of {pods.words} to {mine.words}{ports}"
    else:
        lets = "lets" if pods.only else "let"
        message = f"{pods.words} {lets} nothing in from {mine.words}{ports}: no ingress rule allows it, and {why}"
        fix = f"allow the ingress of {pods.words} from {mine.words}{ports}"
    return Draft(RULE, WARNING if known else ERROR, peer.object, peer.path, message, fix)


def _ports(peer: Peer) -> str:
    boxes = [box for rule in peer.rules for box in rule.traffic]
    if len(boxes) != 1 or boxes[0].first != boxes[0].last:
        return ""
    protocol, number = boxes[0].first >> 16, boxes[0].first & 0xFFFF
    return f" on {PROTOCOL_NAMES.get(protocol, protocol)} {number}"
