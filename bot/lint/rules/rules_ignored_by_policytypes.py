"""NP031: rules of a direction that the policy is not about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import ERROR, WARNING, Draft, Edit, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP031",
    name="rules-ignored-by-policytypes",
    severity=ERROR,
    detects="Egress rules where `policyTypes` names Ingress alone, and the reverse.",
    why="The rules have no effect at all: the direction stays open.",
    bad="""\
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  egress:
    - to: [{podSelector: {matchLabels: {app: db}}}]
""",
    fix="Name the direction in policyTypes, or remove the rules.",
    good="""\
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress, Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app: db}}}]
""",
    fixable=True,
)


def check(context: Context) -> Iterator[Draft]:
    """Every direction with rules that does not count; an empty list was more likely meant as *nothing*."""
    for view in context.views:
        for direction, name in (("ingress", "Ingress"), ("egress", "Egress")):
            rules = view.spec.get(direction)
            if direction in view.types or type(rules) is not list:
                continue
            if rules:
                message = (
                    f"{words.count(len(rules), f'{direction} rule')} without effect: policyTypes does not name {name}"
                )
                edit = Edit("append", ("spec", "policyTypes"), name)
                yield Draft(RULE, ERROR, view.object, ("spec", direction), message, f"add {name} to policyTypes", edit)
            else:
                message = f"`{direction}: []` denies nothing: policyTypes does not name {name}"
                yield Draft(RULE, WARNING, view.object, ("spec", direction), message, f"add {name} to policyTypes")
