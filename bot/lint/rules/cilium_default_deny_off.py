"""NP114: a Cilium policy that only allows, where nothing is denied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint.finding import INFO, Draft, Path, Rule
from bot.lint.written import specs

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.policies.model import Policy

RULE = Rule(
    id="NP114",
    name="cilium-default-deny-off",
    severity=INFO,
    detects="A Cilium rule with `enableDefaultDeny: false` in every direction that it speaks of, without deny rules, "
    "for pods that no other policy isolates.",
    why="It isolates nothing, and what it allows is allowed anyway: it has no effect until another policy "
    "isolates these pods.",
    bad="""\
spec:
  endpointSelector: {matchLabels: {app: web}}
  enableDefaultDeny: {ingress: false}
  ingress:
    - fromEndpoints: [{matchLabels: {app: proxy}}]
""",
    fix="Remove `enableDefaultDeny`, or isolate the pods with another policy.",
    good="""\
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
    - fromEndpoints: [{matchLabels: {app: proxy}}]
""",
)
_KINDS = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy")


def check(context: Context) -> Iterator[Draft]:
    """Every such spec."""
    for policy in context.chain.policies:
        obj = policy.object
        if obj is None or obj.kind not in _KINDS:
            continue
        for at, spec in specs(obj.value):
            directions = _directions(spec)
            if directions and not _is_isolated(context, policy, at, directions):
                told = " and ".join(directions)
                message = f"nothing isolates the {told} of these pods: what this allows is allowed without it"
                yield Draft(RULE, INFO, obj, (*at, "enableDefaultDeny"), message)


def _directions(spec: Any) -> list[str]:
    """The directions with rules, where default deny is off in each and nothing is denied."""
    posture = spec.get("enableDefaultDeny") if type(spec) is dict else None
    if type(posture) is not dict or spec.get("ingressDeny") or spec.get("egressDeny"):
        return []
    found = [direction for direction in ("ingress", "egress") if spec.get(direction)]
    return found if all(posture.get(direction) is False for direction in found) else []


def _is_isolated(context: Context, policy: Policy, at: Path, directions: list[str]) -> bool:
    """Whether another policy isolates any of its pods in any of the directions; of pods that are not in Git, whether it may."""
    for direction in directions:
        bits = 0
        for section in policy.sections:
            for rule in section.rules if section.checkpoint == direction else ():
                if rule.origin.path[: len(at)] == at:
                    bits |= context.bits(rule.source if direction == "egress" else rule.destination)
        isolated = context.isolated(direction)
        if bits & isolated or (not bits and (isolated or not context.slots)):
            return True
    return False
