"""NP011: a peer that matches no workload."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import ERROR, WARNING, Draft, Edit, Rule
from bot.lint.matching import namespaces_of
from bot.lint.near import Near, labels_asked, near_miss
from bot.lint.operators import is_given, is_negated, pods_of
from bot.lint.written import value_at
from bot.policies.model import Label

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer
    from bot.policies.model import Expr

RULE = Rule(
    id="NP011",
    name="peer-selects-nothing",
    severity=ERROR,
    detects="A peer whose podSelector matches no workload where it looks. An error where one label is nearly that of "
    "a workload (a typo), a warning otherwise. Left alone: namespaces whose workloads are not in the repository, "
    "pods that operators make, labels that pods are given when they are made, and a switch (`redis-client: true`) "
    "that no workload has yet.",
    why="The allow rule opens nothing, and who was meant stays locked out; in a deny rule, who was meant stays let in.",
    bad="""\
ingress:
  - from:
      - podSelector: {matchLabels: {app: fronted}}
""",
    fix="Use a label that the pods have.",
    good="""\
ingress:
  - from:
      - podSelector: {matchLabels: {app: frontend}}
""",
    fixable=True,
)
_SWITCHES = frozenset({"true", "yes", "enabled", "allow", "allowed"})


def check(context: Context) -> Iterator[Draft]:
    """Every peer that asks for labels in namespaces that are known, and finds nothing."""
    if not context.snapshot.workloads:
        return
    for peer in context.peers:
        other = peer.other
        if not labels_asked(other) or context.selected(other) or context.in_other_namespaces(peer):
            continue
        where = context.namespaces(other)
        known = [workload for name in where for workload in context.in_namespace(name)]
        if not known or context.unseen(other, where):
            continue
        near = near_miss(other, known, context.speller)
        asked = words.selector(other)
        if near is not None:
            message = (
                f"`{asked}` matches none of {words.count(len(known), 'workload')} there; did you mean `{near.meant}`?"
            )
            yield Draft(RULE, ERROR, peer.object, peer.path, message, f"`{near.meant}`", _edit(peer, near), asked)
        elif (
            namespaces_of(other) is not None
            and not is_given(other, known)
            and not is_negated(other, known)
            and not _is_opt_in(context, other)
            and not context.is_beside_namespaces(peer)
            and not context.snapshot.unread
            and all(context.in_namespace(name) for name in where)
            and not any(name in pods_of(context) for name in where)
        ):
            places = words.listed([f"`{name}`" for name in where])
            message = f"`{asked}` matches none of {words.count(len(known), 'workload')} in {places}"
            yield Draft(RULE, WARNING, peer.object, peer.path, message, about=asked)


def _is_opt_in(context: Context, expr: Expr) -> bool:
    """Whether it asks for a switch (`redis-client: "true"`) that no workload has yet: clients are to set it."""
    used = context.once(
        "label keys", lambda: {key for workload in context.snapshot.workloads for key in workload.labels}
    )
    return any(
        isinstance(part, Label)
        and part.key not in used
        and (part.operator == "exists" or _SWITCHES.issuperset(part.values))
        for part in labels_asked(expr) or ()
    )


def _edit(peer: Peer, near: Near) -> Edit | None:
    if near.key != near.meant_key:
        return None
    for at in (
        (*peer.path, "podSelector", "matchLabels", near.key),
        (*peer.path, "pods", "podSelector", "matchLabels", near.key),
    ):
        if value_at(peer.object.value, at) == near.value:
            return Edit("set", at, near.meant_value)
    return None
