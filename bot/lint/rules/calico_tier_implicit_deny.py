"""NP123: a tier of Calico that drops what it was not meant to judge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint import words
from bot.lint.finding import WARNING, Draft, Rule
from bot.lint.overlap import subjects_meet
from bot.lint.rules.calico_global_scope import is_catch_all

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object
    from bot.policies.model import Policy

RULE = Rule(
    id="NP123",
    name="calico-tier-implicit-deny",
    severity=WARNING,
    detects="Policies in a tier of one's own whose defaultAction is Deny, none of which ends in a rule for "
    "everything else (`Pass`), where they deny only some traffic, or where later policies are never asked.",
    why="What no rule of a tier decides is dropped at its end for every pod that one of its policies selects: a "
    "policy that was to deny one address denies everything, and no NetworkPolicy after it can allow anything.",
    bad="""\
kind: GlobalNetworkPolicy
metadata: {name: security.no-metadata}
spec:
  tier: security
  egress:
    - {action: Deny, destination: {nets: [169.254.169.254/32]}}
""",
    fix="End the policy in `action: Pass`, or give the tier `defaultAction: Pass`.",
    good="""\
egress:
  - {action: Deny, destination: {nets: [169.254.169.254/32]}}
  - {action: Pass}
""",
)
_BUILT_IN = frozenset({"default", "kube-admin", "kube-baseline", "adminnetworkpolicy", "baselineadminnetworkpolicy"})
_FIELDS = {"ingress": "Ingress", "egress": "Egress"}


def check(context: Context) -> Iterator[Draft]:
    """Every policy of such a tier, by direction."""
    passing = {tier.name for tier in context.snapshot.by_kind("Tier") if _spec(tier).get("defaultAction") == "Pass"}
    tiers: dict[str, list[Policy]] = {}
    for policy in context.chain.policies:
        if policy.object is not None and "projectcalico.org" in policy.object.api_version and not policy.staged:
            tiers.setdefault(str(_spec(policy.object).get("tier") or "default"), []).append(policy)
    for tier, policies in tiers.items():
        if tier in _BUILT_IN or tier in passing:
            continue
        for direction in _FIELDS:
            yield from _of_tier(context, tier, direction, policies)


def _of_tier(context: Context, tier: str, direction: str, policies: list[Policy]) -> Iterator[Draft]:
    acting = [p for p in policies if any(section.checkpoint == direction for section in p.sections)]
    aware = [p for p in acting if any(_is_end(rule) for rule in _rules(p, direction))]
    for policy in acting:
        mine = context.subject(policy)
        rules = _rules(policy, direction)
        if policy in aware or mine is None or not rules or policy.object is None:
            continue
        if any(subjects_meet(context, mine, other) for other in map(context.subject, aware) if other is not None):
            continue
        later = [
            other
            for other, bits, _ in context.isolating(direction)
            if other.object is not None and other not in policies and bits & context.bits(mine)
        ]
        only_denies = all(rule.get("action") in ("Deny", "Log") for rule in rules if type(rule) is dict)
        if not only_denies and not later:
            continue
        message = (
            f"tier `{tier}` ends in a deny, and no rule passes on the {direction} that this policy does not decide"
        )
        if later:
            message += f": {words.listed([other.title for other in later], 2)} {'is' if len(later) == 1 else 'are'} never asked"
        else:
            message += ": all of it is dropped"
        yield Draft(RULE, WARNING, policy.object, ("spec", direction), message, about=direction)


def _is_end(rule: Any) -> bool:
    return type(rule) is dict and (rule.get("action") == "Pass" or (rule.get("action") != "Log" and is_catch_all(rule)))


def _rules(policy: Policy, direction: str) -> list[Any]:
    found = _spec(policy.object).get(direction) if policy.object is not None else None
    return found if type(found) is list else []


def _spec(obj: Object) -> dict[str, Any]:
    spec = obj.value.get("spec")
    return spec if type(spec) is dict else {}
