"""NP051: a rule that another one makes superfluous."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.context import item_of
from bot.lint.covering import includes, peer_covers
from bot.lint.finding import INFO, Draft, Path, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer
    from bot.policies.model import Policy

RULE = Rule(
    id="NP051",
    name="redundant-rule",
    severity=INFO,
    detects="A rule of a NetworkPolicy all of which another single rule allows too, of the same policy or of another "
    "one for the same pods. What they mean is compared, for pods that are not in the repository too.",
    why="It opens nothing. Who removes it to close a path closes nothing.",
    bad="""\
ingress:
  - from: [{podSelector: {}}]
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 8080}]
""",
    fix="Remove the narrower rule, or the wider one where that was not meant.",
    good="""\
ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 8080}]
""",
)
_MOST = 200


def check(context: Context) -> Iterator[Draft]:
    """Every such rule; of two that say the same, the later one. One of a policy that is superfluous as a whole is redundant-policy."""
    for items in by_namespace(context):
        whole = redundant(context, items)
        for item in items:
            if id(item[0].policy) in whole:
                continue
            by = covering_item(items, item)
            if by is not None:
                field = item_of(item[0].path)
                yield Draft(RULE, INFO, item[0].object, field, f"all of this is allowed by {_name(by, item)} too", "remove this rule")


Rules = list["list[Peer]"]


def by_namespace(context: Context) -> list[Rules]:
    """Namespace by namespace, the rules of its NetworkPolicies, each as the list of its peers."""

    def make() -> list[Rules]:
        out: dict[str, dict[tuple[int, Path], list[Peer]]] = {}
        for peer in context.peers:
            if peer.object.kind == "NetworkPolicy" and peer.object.api_version.startswith("networking"):
                own = out.setdefault(peer.object.namespace, {})
                own.setdefault((id(peer.object), item_of(peer.path)), []).append(peer)
        return [list(items.values())[:_MOST] for items in out.values()]

    return context.once("rules_by_namespace", make)  # type: ignore[no-any-return]


def covering_item(items: Rules, item: list[Peer], skip: int = 0) -> list[Peer] | None:
    """The first rule that allows all that this one does; of two equal ones the earlier. `skip`: the id of a policy to leave out."""
    at = next(number for number, one in enumerate(items) if one is item)
    for number, other in enumerate(items):
        if other is item or id(other[0].policy) == skip or other[0].direction != item[0].direction:
            continue
        if _covers(other, item) and (number < at or not _covers(item, other)):
            return other
    return None


def _covers(outer: list[Peer], inner: list[Peer]) -> bool:
    return all(any(peer_covers(one, peer) for one in outer) for peer in inner)


def redundant(context: Context, items: Rules) -> dict[int, Policy]:
    """By id, the policies that neither open nor isolate anything which others do not: rule by rule, and pod by pod."""
    memo = context.run.memo
    at = ("redundant", tuple(id(item[0].policy) for item in items))
    if at not in memo:
        memo[at] = _redundant(items)
    return memo[at]  # type: ignore[no-any-return]


def _redundant(items: Rules) -> dict[int, Policy]:
    policies = {id(item[0].policy): item[0].policy for item in items}
    gone: dict[int, Policy] = {}
    for policy in sorted(policies.values(), key=lambda one: one.key, reverse=True):
        rest = [item for item in items if id(item[0].policy) not in gone]
        own = [item for item in rest if item[0].policy is policy]
        isolations = [(section.checkpoint, one) for section in policy.sections for one in section.isolates]
        others = [
            (section.checkpoint, one)
            for other in policies.values()
            if other is not policy and id(other) not in gone
            for section in other.sections
            for one in section.isolates
        ]
        if (
            all(covering_item(rest, item, id(policy)) is not None for item in own)
            and isolations
            and all(
                any(
                    name == checkpoint and includes(other.source, one.source) and includes(other.destination, one.destination)
                    for checkpoint, other in others
                )
                for name, one in isolations
            )
        ):
            gone[id(policy)] = policy
    return gone


def _name(by: list[Peer], item: list[Peer]) -> str:
    path = item_of(by[0].path)
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]
    return f"`{where}`" if by[0].object is item[0].object else f"`{where}` of {by[0].policy.title}"
