"""NP002: two items of a peer list that were meant as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint import words
from bot.lint.finding import ERROR, WARNING, Draft, Edit, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context, Item, Peer, View

RULE = Rule(
    id="NP002",
    name="peer-list-split",
    severity=ERROR,
    detects="A `namespaceSelector` and a `podSelector` as two items of `from` or `to`, side by side. An error where the "
    "podSelector matches no pod in the policy's own namespace and does match in the selected ones.",
    why="Two items are OR: every pod of those namespaces, and those pods of the policy's own namespace. One item "
    "with both is AND. One dash makes the difference.",
    bad="""\
ingress:
  - from:
      - namespaceSelector: {matchLabels: {team: web}}
      - podSelector: {matchLabels: {app: frontend}}
""",
    fix="Remove the dash before the second selector, so that both stand in one item.",
    good="""\
ingress:
  - from:
      - namespaceSelector: {matchLabels: {team: web}}
        podSelector: {matchLabels: {app: frontend}}
""",
    fixable=True,
)
_FIELDS = {"ingress": "from", "egress": "to"}


def check(context: Context) -> Iterator[Draft]:
    """Every such pair of neighbours."""
    peers: dict[tuple[int, object], Peer] = {}
    for view in context.views:
        for item in view.items:
            if len(item.peers) > 1:
                if not peers:
                    peers = {(id(peer.policy), peer.path): peer for peer in context.peers}
                yield from _item(context, view, item, peers)


def _item(context: Context, view: View, item: Item, peers: dict[tuple[int, object], Peer]) -> Iterator[Draft]:
    field = _FIELDS[item.direction]
    listed = item.value[field]
    for at, (first, second) in enumerate(zip(listed, listed[1:], strict=False)):
        if not _is_pair(first, second):
            continue
        by_namespace, by_pod = (at, at + 1) if first.get("namespaceSelector") is not None else (at + 1, at)
        pods = peers.get((id(view.policy), (*item.path, field, by_pod)))
        spaces = peers.get((id(view.policy), (*item.path, field, by_namespace)))
        if pods is None or spaces is None or not listed[by_pod]["podSelector"]:
            continue
        elsewhere = context.selected(spaces.other)
        joined = [w for w in elsewhere if context.matches(pods.other, w.labels)]
        own = context.selected(pods.other)
        if own and (by_pod < by_namespace or (elsewhere and not joined)):
            continue
        sure = bool(joined) and not own
        if not sure and by_pod < by_namespace:
            continue
        either = len({w.key for w in (*elsewhere, *own)})
        matching = f"{words.count(either, 'workload')} {'matches' if either == 1 else 'match'}"
        now = f"now {matching}, as one item {len({w.key for w in joined})}"
        message = f"a namespaceSelector and a podSelector as two items mean either of them ({now})"
        path = (*item.path, field, at + 1)
        yield Draft(
            RULE,
            ERROR if sure else WARNING,
            view.object,
            path,
            message,
            "remove the dash before the second selector, so that both stand in one item",
            Edit("join", path) if sure else None,
        )


def _is_pair(first: Any, second: Any) -> bool:
    if type(first) is not dict or type(second) is not dict:
        return False
    kinds = [
        {key for key in ("namespaceSelector", "podSelector", "ipBlock") if peer.get(key) is not None}
        for peer in (first, second)
    ]
    return kinds in ([{"namespaceSelector"}, {"podSelector"}], [{"podSelector"}, {"namespaceSelector"}])
