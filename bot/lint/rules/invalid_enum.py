"""NP081: a word that the API does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import ERROR, Draft, Edit, Rule
from bot.lint.written import value_at

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.policies.model import Problem

RULE = Rule(
    id="NP081",
    name="invalid-enum",
    severity=ERROR,
    detects="A policy type, protocol, action, operator, tier or entity that there is not (`ingress` for `Ingress`, "
    "protocol `HTTP`), and `In` or `NotIn` without values. Schemas do not catch all of them.",
    why="The API server refuses the whole policy, or the CNI never enforces it: what it was to isolate stays open.",
    bad="""\
policyTypes: [ingress]
""",
    fix="Write one of the words that the API has.",
    good="""\
policyTypes: [Ingress]
""",
    fixable=True,
)
_FIELDS = frozenset(
    {
        *(
            "policyTypes",
            "types",
            "protocol",
            "notProtocol",
            "operator",
            "action",
            "tier",
            "defaultAction",
            "stagedAction",
        ),
        *("fromEntities", "toEntities", "family", "mode", "mismatch"),
    }
)
_WORDS = (
    "Ingress",
    "Egress",
    "TCP",
    "UDP",
    "SCTP",
    "In",
    "NotIn",
    "Exists",
    "DoesNotExist",
    "Allow",
    "Deny",
    "Pass",
    "Log",
    "Accept",
)


def check(context: Context) -> Iterator[Draft]:
    """Each of them that made the API server, or Calico or Cilium, refuse a policy."""
    for problem in context.problems:
        if problem.refused and _is_word(problem):
            value = value_at(problem.object.value, problem.path)
            meant = _meant(value, problem.reason) if type(value) is str else None
            fix = f"`{meant}`" if meant else ""
            edit = Edit("set", problem.path, meant) if meant else None
            yield Draft(
                RULE,
                ERROR,
                problem.object,
                problem.path,
                f"{problem.reason}; the policy is refused",
                fix,
                edit,
                problem.reason,
            )


def _meant(value: str, reason: str) -> str | None:
    """The word in its own letters; what one admin API calls Allow, the other calls Accept."""
    for other, word in (("allow", "Accept"), ("accept", "Allow")):
        if value.lower() == other and f" {word}," in reason:
            return word
    return next((word for word in _WORDS if value.lower() == word.lower() and value != word), None)


def _is_word(problem: Problem) -> bool:
    named = [step for step in problem.path if isinstance(step, str)]
    if not named or problem.reason.startswith(("unknown field", "must be a ")):
        return False
    return named[-1] in _FIELDS or ("when the operator is" in problem.reason) or named[-2:-1] == ["matchExpressions"]
