"""NP051: a rule that another one makes superfluous."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.context import item_of
from bot.lint.covering import includes, peer_covers
from bot.lint.finding import INFO, Draft, Path, Rule
from bot.policies.model import And, Label, Or

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer, Run
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
            if id(item[0].policy) not in whole:
                for by in covering_items(context, items)[id(item)][:1]:
                    field = item_of(item[0].path)
                    message = f"all of this is allowed by {_name(by, item)} too"
                    yield Draft(RULE, INFO, item[0].object, field, message, "remove this rule")


Rules = list["list[Peer]"]


def by_namespace(context: Context) -> list[Rules]:
    """Namespace by namespace, the rules of its NetworkPolicies, each as the list of its peers.

    Of a comparison without the namespaces that have the same rules on both sides.
    """
    found, other = (_of_side(context.run, side) for side in (context.head, not context.head))
    if context.run.scope is None:
        return list(found.values())
    return [items for name, items in found.items() if [*map(id, items)] != [*map(id, other.get(name, ()))]]


def _of_side(run: Run, head: bool) -> dict[str, Rules]:
    at = ("rules_by_namespace", head)
    if at not in run.memo:
        out: dict[str, Rules] = {}
        for policy in run.chains[head].policies:
            if policy.object is not None and policy.object.kind == "NetworkPolicy" and not policy.staged:
                out.setdefault(policy.object.namespace, []).extend(_rules(run, policy))
        run.memo[at] = {namespace: items[:_MOST] for namespace, items in out.items()}
    return run.memo[at]  # type: ignore[no-any-return]


def _rules(run: Run, policy: Policy) -> Rules:
    """The rules of a policy of Kubernetes' own API; the identical ones on both sides."""
    at = ("rules", id(policy))
    if at not in run.memo:
        out: dict[Path, list[Peer]] = {}
        for peer in run.peers(policy):
            if peer.object.api_version.startswith("networking"):
                out.setdefault(item_of(peer.path), []).append(peer)
        run.memo[at] = list(out.values())
    return run.memo[at]  # type: ignore[no-any-return]


def covering_items(context: Context, items: Rules) -> dict[int, Rules]:
    """For each rule (by id), those that allow all that it does; of two equal ones the earlier alone."""
    memo = context.run.memo
    at = ("covering", tuple([id(item) for item in items]))
    if at not in memo:
        memo[at] = _covering_items(items)
    return memo[at]  # type: ignore[no-any-return]


def _covering_items(items: Rules) -> dict[int, Rules]:
    asked = [_asked(item) for item in items]
    covers: dict[tuple[int, int], bool] = {}

    def holds(outer: int, inner: int) -> bool:
        at = outer, inner
        if at not in covers:
            covers[at] = _may_cover(asked[outer], asked[inner]) and _covers(items[outer], items[inner])
        return covers[at]

    out: dict[int, Rules] = {}
    for inner, item in enumerate(items):
        direction = item[0].direction
        out[id(item)] = [
            other
            for outer, other in enumerate(items)
            if outer != inner
            and other[0].direction == direction
            and holds(outer, inner)
            and (outer < inner or not holds(inner, outer))
        ]
    return out


def _asked(item: list[Peer]) -> dict[tuple[str, str], set[str]] | None:
    """What a rule asks of the labels of its own pods, as far as values are named; None where it is no plain conjunction."""
    subject = item[0].subject
    parts = subject.parts if isinstance(subject, And) else (subject,)
    if any(isinstance(part, Or) for part in parts):
        return None
    return {
        (part.scope, part.key): set(part.values) for part in parts if isinstance(part, Label) and part.operator == "in"
    }


def _may_cover(outer: dict[tuple[str, str], set[str]] | None, inner: dict[tuple[str, str], set[str]] | None) -> bool:
    """False where the pods of `inner` are surely not all of `outer`: what the whole comparison would say too, at more cost."""
    if outer is None or inner is None:
        return True
    return all(key in inner and inner[key] <= values for key, values in outer.items())


def _covers(outer: list[Peer], inner: list[Peer]) -> bool:
    return all(any(peer_covers(one, peer) for one in outer) for peer in inner)


def redundant(context: Context, items: Rules) -> dict[int, list[Peer] | None]:
    """By id, the policies that neither open nor isolate anything which others do not, each with a rule that covers its first."""
    memo = context.run.memo
    at = ("redundant", tuple([id(item) for item in items]))
    if at not in memo:
        memo[at] = _redundant(items, covering_items(context, items))
    return memo[at]  # type: ignore[no-any-return]


def _redundant(items: Rules, covering: dict[int, Rules]) -> dict[int, list[Peer] | None]:
    rules: dict[int, Rules] = {}
    for item in items:
        rules.setdefault(id(item[0].policy), []).append(item)
    policies = sorted((own[0][0].policy for own in rules.values()), key=lambda one: one.key, reverse=True)
    gone: set[int] = set()
    for policy in policies:
        others = [one for one in policies if one is not policy and id(one) not in gone]
        if all(
            any(by[0].policy is not policy and id(by[0].policy) not in gone for by in covering[id(item)])
            for item in rules[id(policy)]
        ) and _is_isolated_by(policy, others):
            gone.add(id(policy))
    out: dict[int, list[Peer] | None] = {}
    for at in [id(policy) for policy in policies if id(policy) in gone]:
        out[at] = next((by for by in covering[id(rules[at][0])] if id(by[0].policy) not in gone), None)
    return out


def _is_isolated_by(policy: Policy, others: list[Policy]) -> bool:
    """Whether others isolate all that a policy does; not where it isolates nothing."""
    own = [(section.checkpoint, one) for section in policy.sections for one in section.isolates]
    return bool(own) and all(
        any(
            section.checkpoint == checkpoint
            and includes(other.source, one.source)
            and includes(other.destination, one.destination)
            for policy in others
            for section in policy.sections
            for other in section.isolates
        )
        for checkpoint, one in own
    )


def _name(by: list[Peer], item: list[Peer]) -> str:
    path = item_of(by[0].path)
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]
    return f"`{where}`" if by[0].object is item[0].object else f"`{where}` of {by[0].policy.title}"
