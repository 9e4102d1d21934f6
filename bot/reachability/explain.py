"""One concrete path in, what each checkpoint decides of it and because of which rule out: a scalar walk of the same Chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import Checkpoint, Isolation, Origin, Policy, Rule, Section, Tier, Vocabulary, home
from bot.policies.traffic import CLIENT_PORT, Traffic
from bot.reachability.slots import Slot, judge

if TYPE_CHECKING:
    from bot.policies.dns_rules import Lookup
    from bot.policies.http_rules import Request
    from bot.policies.l7 import L7, Payload

Placed = tuple[int, Policy, Section]
OPEN, POSSIBLE, CLOSED = "open", "possible", "closed"


class Probe(NamedTuple):
    """One connection (and, above it, one request): the point of the traffic line, a source port (None: a client's), an L7 request."""

    point: int
    source_port: int | None = None
    request: Request | Lookup | Payload | None = None


class Step(NamedTuple):
    """What one checkpoint decides: `allow` and `deny` say whether each is possible; `why` the rule or end of tier that did it."""

    checkpoint: Checkpoint
    allow: bool
    deny: bool
    why: tuple[Reason, ...]

    @property
    def verdict(self) -> str:
        """open, possible or closed."""
        return CLOSED if not self.allow else POSSIBLE if self.deny else OPEN


class Reason(NamedTuple):
    """A rule that decided (`rule`), the end of a tier for pairs isolated there (`isolated_by`), or, with neither, that nothing did.

    `limited`: the requests of the rule's L7 rules are allowed there, and no others.
    """

    action: str
    tier: Tier | None = None
    policy: Policy | None = None
    rule: Rule | None = None
    number: int = 0
    isolated_by: tuple[tuple[Policy, Origin], ...] = ()
    sure: bool = True
    limited: bool = False


class Walk:
    """A scalar reading of one side's Chain, with the policies found by the endpoints they name."""

    def __init__(self, checkpoints: Sequence[Checkpoint], policies: Sequence[Policy], vocabulary: Vocabulary) -> None:
        self.checkpoints = checkpoints
        self.vocabulary = vocabulary
        subjects = {checkpoint.name: checkpoint.subject for checkpoint in checkpoints}
        self._sections: dict[tuple[str, str], dict[str | None, list[Placed]]] = {}
        for order, policy in enumerate(policies):
            for section in policy.sections:
                where = _home(section, subjects.get(section.checkpoint, "neither"))
                homes = self._sections.setdefault((section.checkpoint, section.tier), {})
                homes.setdefault(where, []).append((order, policy, section))

    def _near(
        self, checkpoint: Checkpoint, tier: Tier, source: Slot, destination: Slot
    ) -> list[tuple[Policy, Section]]:
        """The sections of a tier, in order, but for those about pods of other namespaces."""
        homes = self._sections.get((checkpoint.name, tier.name), {})
        spaces = {p.namespace for p in (destination if checkpoint.subject == "destination" else source).personas}
        found = [placed for where in (None, *spaces) for placed in homes.get(where, ())]
        return [(policy, section) for _, policy, section in sorted(found, key=lambda placed: placed[0])]

    def steps(self, source: Slot, destination: Slot, probe: Probe) -> tuple[Step, ...]:
        """Every checkpoint's decision, in the order a packet meets them."""
        return tuple(self._step(checkpoint, source, destination, probe) for checkpoint in self.checkpoints)

    def _step(self, checkpoint: Checkpoint, source: Slot, destination: Slot, probe: Probe) -> Step:
        state = _Progress()
        for tier in checkpoint.tiers:
            sections = self._near(checkpoint, tier, source, destination)
            for rank in sorted({section.rank for _, section in sections}):
                if not state.undecided:
                    break
                alike = [(policy, section) for policy, section in sections if section.rank == rank]
                if tier.commutes:
                    self._together(state, tier, alike, sections, source, destination, probe)
                else:
                    self._each(state, tier, alike, source, destination, probe)
            self._close(state, tier, sections, source, destination)
        if state.undecided:
            state.allow.append(Reason("allow"))
        return Step(checkpoint, bool(state.allow), bool(state.deny), tuple(state.allow + state.deny))

    def _matches(self, rule: Rule, source: Slot, destination: Slot, probe: Probe) -> tuple[bool, bool]:
        if not _contains(rule.traffic, probe):
            return False, False
        sure_from, may_from = judge(rule.source, source, self.vocabulary)
        if not may_from:
            return False, False
        sure_to, may_to = judge(rule.destination, destination, self.vocabulary)
        return sure_from and sure_to, may_to

    def _together(
        self,
        state: _Progress,
        tier: Tier,
        alike: list[tuple[Policy, Section]],
        sections: list[tuple[Policy, Section]],
        source: Slot,
        destination: Slot,
        probe: Probe,
    ) -> None:
        """All rules of the rank at once. An allow with L7 rules lets a request through only if it, or another one, allows it.

        Nothing limits pairs that no policy isolates in the tier, where the rest is allowed too.
        """
        found = [
            (Reason(rule.action, tier, policy, rule, number, sure=sure), sure)
            for policy, section in alike
            for number, rule in enumerate(section.rules, 1)
            for sure, may in (self._matches(rule, source, destination, probe),)
            if may
        ]
        if not found:
            return
        limited = [
            (reason, reason.rule.l7) for reason, _ in found if reason.rule is not None and reason.rule.l7 is not None
        ]
        isolated = bool(limited) and bool(self._isolated_by(sections, source, destination)[0])
        if isolated and not self._lifted(found, limited[0][1]):
            passing = [
                reason._replace(limited=True)
                for reason, l7 in limited
                if probe.request is None or l7.matches(probe.request)
            ]
            (state.allow if passing else state.deny).extend(passing or [reason for reason, _ in limited])
        elif found[0][0].action == "pass":
            state.passed = True
        else:
            (state.allow if found[0][0].action == "allow" else state.deny).extend(
                sorted((reason for reason, _ in found), key=lambda reason: not reason.sure)
            )
        if any(sure for _, sure in found):
            state.undecided = False

    @staticmethod
    def _lifted(found: list[tuple[Reason, bool]], l7: L7) -> bool:
        """Whether a rule without L7 allows everything beside L7 ones; a DNS rule yields only to one that names its very port."""
        plain = [reason.rule for reason, _ in found if reason.rule is not None and reason.rule.l7 is None]
        return any(rule.exact for rule in plain) if l7.kind == "dns" else bool(plain)

    def _each(
        self,
        state: _Progress,
        tier: Tier,
        alike: list[tuple[Policy, Section]],
        source: Slot,
        destination: Slot,
        probe: Probe,
    ) -> None:
        """First match in each policy; policies of one rank may each come first."""
        decided = False
        for policy, section in alike:
            for number, rule in enumerate(section.rules, 1):
                sure, may = self._matches(rule, source, destination, probe)
                if not may:
                    continue
                reason = Reason(rule.action, tier, policy, rule, number, sure=sure)
                if rule.action == "pass":
                    state.passed = True
                else:
                    (state.allow if rule.action == "allow" else state.deny).append(reason)
                if sure:
                    decided = True
                    break
        if decided:
            state.undecided = False

    def _close(
        self, state: _Progress, tier: Tier, sections: list[tuple[Policy, Section]], source: Slot, destination: Slot
    ) -> None:
        if state.undecided and tier.end != "pass":
            by, surely = self._isolated_by(sections, source, destination)
            if by:
                (state.deny if tier.end == "deny" else state.allow).append(
                    Reason(tier.end, tier, isolated_by=tuple(by), sure=surely)
                )
                state.undecided = not surely
        state.undecided = state.undecided or state.passed
        state.passed = False

    def _isolated_by(
        self, sections: list[tuple[Policy, Section]], source: Slot, destination: Slot
    ) -> tuple[list[tuple[Policy, Origin]], bool]:
        """What isolates a pair in a tier, and whether it surely does."""
        by: list[tuple[Policy, Origin]] = []
        surely = False
        for policy, section in sections:
            for isolation in section.isolates:
                sure_from, may_from = judge(isolation.source, source, self.vocabulary)
                sure_to, may_to = judge(isolation.destination, destination, self.vocabulary)
                if may_from and may_to:
                    by.append((policy, isolation.origin))
                    surely = surely or (sure_from and sure_to)
        return by, surely


def _home(section: Section, subject: str) -> str | None:
    """The one namespace that a section's subjects are in, where its expressions say so."""
    if subject == "neither":
        return None
    ends: list[Rule | Isolation] = [*section.rules, *section.isolates]
    found = {home(end.destination if subject == "destination" else end.source) for end in ends}
    return found.pop() if len(found) == 1 else None


class _Progress:
    """What may still be open in the walk, and what has been said so far."""

    __slots__ = ("allow", "deny", "passed", "undecided")

    def __init__(self) -> None:
        self.undecided = True
        self.passed = False
        self.allow: list[Reason] = []
        self.deny: list[Reason] = []


def _contains(traffic: Traffic, probe: Probe) -> bool:
    source = CLIENT_PORT if probe.source_port is None else probe.source_port
    return any(
        box.first <= probe.point <= box.last and box.source_first <= source <= box.source_last for box in traffic
    )


def verdict(steps: Sequence[Step]) -> str:
    """A path is open when every checkpoint allows it surely, closed when one surely does not."""
    found = {step.verdict for step in steps}
    return CLOSED if CLOSED in found else POSSIBLE if POSSIBLE in found else OPEN
