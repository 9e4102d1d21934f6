"""NP012: a podSelector without namespaceSelector, and the pods live elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import ERROR, Draft, Edit, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP012",
    name="peer-in-other-namespace",
    severity=ERROR,
    detects="A peer of a podSelector alone that matches no pod in the policy's own namespace, while pods with these "
    "labels are in another.",
    why="A podSelector without namespaceSelector looks into the policy's own namespace alone, so the rule opens "
    "nothing.",
    bad="""\
metadata: {name: api, namespace: backend}
spec:
  ingress:
    - from:
        - podSelector: {matchLabels: {app: web}}   # web is in frontend
""",
    fix="Name the namespace beside the podSelector, in the same item.",
    good="""\
metadata: {name: api, namespace: backend}
spec:
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: frontend}}
          podSelector: {matchLabels: {app: web}}
""",
    fixable=True,
)


def check(context: Context) -> Iterator[Draft]:
    """Every such peer; where many namespaces have such pods, nobody can tell which was meant."""
    for peer in context.peers:
        elsewhere = context.in_other_namespaces(peer)
        if not elsewhere:
            continue
        names = sorted({workload.namespace for workload in elsewhere})
        asked = words.selector(peer.other)
        places = words.listed([f"`{name}`" for name in names])
        message = (
            f"`{asked}` matches no pod in `{peer.object.namespace}`; {words.workloads(elsewhere)} in {places} would"
        )
        selector = {"matchLabels": {"kubernetes.io/metadata.name": names[0]}}
        edit = Edit("set", (*peer.path, "namespaceSelector"), selector) if len(names) == 1 else None
        fix = f"add `namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {names[0]}}}}}` to the same item"
        yield Draft(RULE, ERROR, peer.object, peer.path, message, fix, edit, asked)
