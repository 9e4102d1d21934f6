"""The policies of one side and direction in; out, whether any allow rule opens some traffic between pods, without a World."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import Everything, home
from bot.policies.traffic import intersect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bot.lint.context import Peer, Run
    from bot.policies.model import Chain, Expr, Policy
    from bot.policies.traffic import Traffic
    from bot.reachability.numbered import Numbered


class Allow(NamedTuple):
    """One allow rule: the pods it is about, those at the other end, and what of traffic."""

    subject: Expr
    other: Expr
    traffic: Traffic


class Allowing:
    """The allow rules of a direction by the namespace of the pods that they are about."""

    def __init__(
        self,
        by_home: dict[str | None, list[Allow]],
        numbers: Numbered,
        memo: dict[tuple[int, int], tuple[object, bool]],
        alone: bool,
    ) -> None:
        """`alone`: nothing but these rules decides what isolated pods may do."""
        self.alone = alone
        self._by_home = by_home
        self._numbers = numbers
        self._memo = memo
        self._known: dict[tuple[int, int, int], tuple[Peer, bool | None]] = {}

    def about(self, namespace: str) -> Iterable[Allow]:
        """The rules that can be about pods of a namespace."""
        yield from self._by_home.get(namespace, ())
        yield from self._by_home.get(None, ())

    def every(self) -> Iterable[Allow]:
        """All of them."""
        for rules in self._by_home.values():
            yield from rules

    def opens(self, peer: Peer, namespaces: Iterable[str], pods: int, others: int) -> bool | None:
        """Whether any of `pods`, all isolated and in these namespaces, is let to any of `others` for anything that `peer` allows.

        None: it takes a World to tell.
        """
        at = id(peer), pods, others
        if at not in self._known:
            self._known[at] = (peer, self._opens(peer, namespaces, pods, others))
        return self._known[at][1]

    def _opens(self, peer: Peer, namespaces: Iterable[str], pods: int, others: int) -> bool | None:
        bits = self._numbers.bits
        unknown = False
        for namespace in namespaces:
            for rule in self.about(namespace):
                if not any(self._meet(rule.traffic, own.traffic) for own in peer.rules):
                    continue
                other = others if isinstance(rule.other, Everything) else bits(rule.other)
                if other is not None and not other & others:
                    continue
                subject = bits(rule.subject)
                if subject is not None and not subject & pods:
                    continue
                if subject is not None and other is not None:
                    return True
                unknown = True
        return None if unknown else False

    def _meet(self, left: Traffic, right: Traffic) -> bool:
        at = id(left), id(right)
        found = self._memo.get(at)
        if found is None:
            found = self._memo[at] = ((left, right), bool(intersect(left, right)))
        return found[1]


def allowing(run: Run, chain: Chain, direction: str) -> Allowing | None:
    """The rules of a chain, where there is but one tier that denies the rest, and in that a rule which allows is enough.

    What tiers before it allow is among them. What they deny is not: then the rules are not all that decides (`alone`).
    """
    numbers = run.numbered
    tiers = next((one.tiers for one in chain.checkpoints if one.name == direction), ())
    denying = [number for number, tier in enumerate(tiers) if tier.end == "deny"]
    if numbers is None or not denying or not tiers[denying[0]].commutes:
        return None
    names = {tier.name: number for number, tier in enumerate(tiers)}
    used: set[int] = set()
    opening: list[tuple[Policy, list[tuple[int, str, Allow]]]] = []
    known = run.memo.setdefault(("allows", direction), {})
    for policy in chain.policies:
        found = known.get(id(policy))
        if found is None:
            found = known[id(policy)] = (policy, _rules(policy, direction, names), _tiers(policy, direction, names))
        if policy.staged and found[2]:
            return None
        used |= found[2]
        if found[1]:
            opening.append(found)
    own = [number for number in denying if number in used] or denying[:1]
    if len(own) > 1:
        return None
    # Both sides share what they answer where they have the same rules.
    at = ("allowing", direction, own[0], used == {own[0]}, tuple([id(found[0]) for found in opening]))
    if at not in run.memo:
        out: dict[str | None, list[Allow]] = {}
        for found in opening:
            for tier, action, rule in found[1]:
                if tier == own[0] and action != "allow":
                    run.memo[at] = None
                    return None
                if tier <= own[0] and action == "allow":
                    out.setdefault(home(rule.subject), []).append(rule)
        run.memo[at] = Allowing(out, numbers, run.memo.setdefault(("traffic", direction), {}), used <= {own[0]})
    return run.memo[at]  # type: ignore[no-any-return]


def _rules(policy: Policy, direction: str, tiers: Mapping[str, int]) -> list[tuple[int, str, Allow]]:
    """(the number of its tier, its action, itself) of each rule."""
    out: list[tuple[int, str, Allow]] = []
    for section in policy.sections:
        if section.checkpoint == direction:
            for rule in section.rules:
                ends = (rule.source, rule.destination) if direction == "egress" else (rule.destination, rule.source)
                out.append((tiers[section.tier], rule.action, Allow(*ends, rule.traffic)))
    return out


def _tiers(policy: Policy, direction: str, tiers: Mapping[str, int]) -> set[int]:
    return {tiers[section.tier] for section in policy.sections if section.checkpoint == direction}
