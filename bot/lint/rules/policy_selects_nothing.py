"""NP010: a policy that selects no workload."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import ERROR, INFO, WARNING, Draft, Edit, Path, Rule
from bot.lint.matching import namespaces_of
from bot.lint.near import Near, labels_asked, near_miss
from bot.lint.operators import is_given, is_negated, may_match, pods_of
from bot.policies.model import Expr, Policy

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object

RULE = Rule(
    id="NP010",
    name="policy-selects-nothing",
    severity=ERROR,
    detects="A policy whose selector matches no workload of its namespace. An error where one label is nearly that of a "
    "workload (a typo), a warning otherwise; for information only where the namespace's pods are made by an "
    "operator or are not in the repository.",
    why="A policy that selects nothing protects nothing, and what it was meant to isolate stays open.",
    bad="""\
spec:
  podSelector: {matchLabels: {app: workerr}}
""",
    fix="Use a label that the pods have.",
    good="""\
spec:
  podSelector: {matchLabels: {app: worker}}
""",
    fixable=True,
)


def check(context: Context) -> Iterator[Draft]:
    """Every policy that selects something by labels and finds nothing."""
    if not context.snapshot.workloads:
        return
    for policy in context.chain.policies:
        subject = None if policy.object is None else context.subject(policy)
        if subject is None or not labels_asked(subject) or context.selected(subject):
            continue
        assert policy.object is not None
        where = context.namespaces(subject)
        if context.unseen(subject, where):
            continue
        yield from _finding(context, policy, policy.object, subject, where)


def _finding(context: Context, policy: Policy, obj: Object, subject: Expr, where: list[str]) -> Iterator[Draft]:
    known = [workload for name in where for workload in context.in_namespace(name)]
    path = context.selector_path(policy)
    asked = words.selector(subject)
    near = near_miss(subject, known, context.speller)
    if near is not None:
        message = f"`{asked}` selects none of {words.count(len(known), 'workload')}; did you mean `{near.meant}`?"
        yield Draft(RULE, ERROR, obj, path, message, f"`{near.meant}`", _edit(obj, path, near), asked)
        return
    if is_given(subject, known) or is_negated(subject, known):
        return
    named = namespaces_of(subject)
    place = f"in `{named[0]}`" if named and len(named) == 1 else "in this repository"
    operated = any(name in pods_of(context) for name in where)
    if operated and any(may_match(context, name, subject) for name in where if any(pods_of(context).get(name, ()))):
        return
    if not known or operated or context.snapshot.unread:
        why = (
            "an operator or an application makes pods there"
            if operated
            else "what could not be read may hold its pods"
            if known
            else "none of its workloads are in the repository"
        )
        yield Draft(RULE, INFO, obj, path, f"`{asked}` selects no workload {place}; {why}", about=asked)
    else:
        message = f"`{asked}` selects none of {words.count(len(known), 'workload')} {place}"
        yield Draft(RULE, WARNING, obj, path, message, about=asked)


def _edit(obj: Object, path: Path, near: Near) -> Edit | None:
    """The typo put right, where it stands in matchLabels."""
    if near.key != near.meant_key:
        return None
    at = (*path, "matchLabels", near.key)
    value: object = obj.value
    for step in at:
        value = value.get(step) if type(value) is dict else None
    return Edit("set", at, near.meant_value) if value == near.value else None
