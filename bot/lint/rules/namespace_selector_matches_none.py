"""NP013: a namespaceSelector that matches no namespace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import ERROR, WARNING, Draft, Edit, Rule
from bot.lint.matching import namespaces_of
from bot.lint.near import labels_asked
from bot.policies.model import Expr, Label

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer

RULE = Rule(
    id="NP013",
    name="namespace-selector-matches-none",
    severity=ERROR,
    detects="A namespaceSelector that matches no namespace of the repository, where a namespace of that name is there "
    "without the label, or one that is nearly it. A warning where namespaces have the label with other values.",
    why="Namespaces are matched by their labels, not by their names; only `kubernetes.io/metadata.name` is always "
    "there.",
    bad="""\
from:
  - namespaceSelector: {matchLabels: {name: monitoring}}   # no namespace has the label `name`
""",
    fix="Select the namespace by `kubernetes.io/metadata.name`.",
    good="""\
from:
  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
""",
    fixable=True,
)
_NAME = "kubernetes.io/metadata.name"


def check(context: Context) -> Iterator[Draft]:
    """Every peer that looks into no namespace."""
    known = context.snapshot.namespaces
    nearly: dict[str, str | None] = {}
    for peer in context.peers:
        named = namespaces_of(peer.other)
        if named is not None:
            if not any(name in known for name in named):
                for name in named:
                    if name not in nearly:
                        nearly[name] = next((other for other in known if context.speller.is_typo(name, other)), None)
                    meant = nearly[name]
                    if meant is not None:
                        yield _finding(
                            peer, ERROR, f"there is no namespace `{name}`; did you mean `{meant}`?", _NAME, name, meant
                        )
                        break
            continue
        asked = labels_asked(peer.other, "namespace")
        if asked and not context.namespaces(peer.other):
            yield from _unmatched(context, peer, asked)


def _unmatched(context: Context, peer: Peer, asked: list[Expr]) -> Iterator[Draft]:
    known = context.snapshot.namespaces
    for part in asked:
        if not isinstance(part, Label) or part.operator != "in":
            continue
        for value in part.values:
            if value in known and part.key not in known[value].labels:
                declared = known[value].object is not None
                if declared or "name" in part.key:  # the labels of one that is not declared here are not known
                    message = f"no namespace has the label `{part.key}: {value}`; the namespace `{value}` does not"
                    yield _finding(peer, ERROR if declared else WARNING, message, part.key, value, value)
                return
            for other in known.values():
                own = other.labels.get(part.key, "")
                if own and context.speller.is_typo(value, own):
                    message = f"no namespace has the label `{part.key}: {value}`; did you mean `{part.key}: {own}`?"
                    yield Draft(RULE, ERROR, peer.object, peer.path, message, f"`{part.key}: {own}`", about=part.key)
                    return
    first = next((part for part in asked if isinstance(part, Label)), None)
    if first is not None and any(first.key in other.labels for other in known.values() if other.object is not None):
        message = f"`{words.selector(peer.other, 'namespace')}` selects no namespace of this repository"
        yield Draft(
            RULE, WARNING, peer.object, peer.path, message, "use a label that the namespace has", about=first.key
        )


def _finding(peer: Peer, severity: str, message: str, key: str, value: str, meant: str) -> Draft:
    at = (*peer.path, "namespaceSelector", "matchLabels")
    labels: object = peer.object.value
    for step in at:
        labels = (
            labels[step]
            if type(labels) is list and isinstance(step, int)
            else labels.get(step)
            if type(labels) is dict
            else None
        )
    edit = Edit("set", at, {_NAME: meant}) if labels == {key: value} else None
    return Draft(RULE, severity, peer.object, peer.path, message, f"select it by `{_NAME}: {meant}`", edit, value)
