"""One side's walk of one concrete path in, decisions in words with file and lines out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.policies.model import Origin
from bot.policies.traffic import PROTOCOL_NAMES
from bot.reachability.change import Decision
from bot.reachability.endpoints import Row
from bot.reachability.explain import CLOSED, OPEN, POSSIBLE, Probe, Reason, Step, Walk, verdict
from bot.reachability.exposures import CHECKPOINT as EXPOSURE
from bot.reachability.facts import Names
from bot.reachability.slots import Slot
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot

_ORDER = {CLOSED: 0, POSSIBLE: 1, OPEN: 2}
ABSENT = "absent"
MOST = 6


class Judge:
    """Decides concrete paths on either side of a world by the scalar walk."""

    def __init__(self, world: World, names: Names) -> None:
        self.world = world
        self.names = names
        self._walks: dict[bool, Walk] = {}

    def walk(self, head: bool) -> Walk:
        """The scalar walk of one side."""
        found = self._walks.get(head)
        if found is None:
            vocabulary = self.world.lowered.vocabulary
            found = self._walks[head] = Walk(self.world.checkpoints[head], self.world.policies(head), vocabulary)
        return found

    def decide(self, source: Row, destination: Row, probe: Probe, head: bool) -> tuple[str, tuple[Decision, ...]]:
        """The verdict (open, possible, closed, or absent where an end is not there) and each checkpoint's part in it."""
        slots = self.world.universe.slots
        best: tuple[int, str, tuple[Step, ...], Slot, Slot] | None = None
        for i in source.head if head else source.base:
            for j in destination.head if head else destination.base:
                steps = self.walk(head).steps(slots[i], slots[j], probe)
                found = verdict(steps)
                if best is None or _ORDER[found] > best[0]:
                    best = (_ORDER[found], found, steps, slots[i], slots[j])
        if best is None:
            gone = source if not (source.head if head else source.base) else destination
            return ABSENT, (Decision("", ABSENT, f"{self.names.id_of(gone)} is not there"),)
        snapshot = self.world.snapshots[head]
        ends = (self.names.id_of(source), self.names.id_of(destination))
        kinds = (source.kind, destination.kind)
        return best[1], tuple(_decision(step, snapshot, ends) for step in best[2] if _is_telling(step, kinds))


def _is_telling(step: Step, kinds: tuple[str, str]) -> bool:
    """Whether there is a question at all.

    Not of a host on the way that nothing guards, not where an Ingress leads to if none is there, not what policies an address or
    a name has.
    """
    if step.checkpoint is EXPOSURE:
        return kinds[0] == "exposure"
    decided = any(reason.rule is not None or reason.isolated_by for reason in step.why)
    if step.checkpoint.subject == "neither":
        return decided
    return decided or kinds[step.checkpoint.subject == "destination"] not in ("addresses", "fqdn")


def _decision(step: Step, snapshot: Snapshot, ends: tuple[str, str]) -> Decision:
    """The deciding reason of a step: for a closed one what denies, for an open one what allows."""
    wanted = ("deny",) if step.verdict == CLOSED else ("allow",)
    reasons = [reason for reason in step.why if reason.action in wanted] or list(step.why)
    # Where one without L7 rules is among them, that one says the most.
    reason = min(reasons, key=lambda one: one.rule is not None and one.rule.l7 is not None)
    subject = {"source": ends[0], "destination": ends[1]}.get(step.checkpoint.subject, "")
    text, origin = _words(reason, step, subject)
    if step.verdict == POSSIBLE:
        others = [r for r in step.why if r.action != reason.action]
        text = f"possible: {text}" + (f"; or {_words(others[0], step, subject)[0]}" if others else "")
    if origin is None or origin.object is None:
        return Decision(step.checkpoint.name, step.verdict, text)
    file, lines = snapshot.location(origin.object, origin.path)
    return Decision(step.checkpoint.name, step.verdict, text, file, lines, path_words(origin.path))


def _words(reason: Reason, step: Step, subject: str) -> tuple[str, Origin | None]:
    if reason.rule is not None and reason.policy is not None:
        if step.verdict == CLOSED and reason.rule.l7 is not None:
            return (
                f"denied: no request rule of {reason.policy.title}{_rule_number(reason)} allows this",
                reason.rule.origin,
            )
        verb = {"allow": "allowed by", "deny": "denied by"}[reason.action]
        return f"{verb} {reason.policy.title}{_rule_number(reason)}{_requests(reason)}", reason.rule.origin
    if reason.isolated_by:
        # The one with the fewest rules isolates for its own sake: a default deny.
        policy, origin = min(reason.isolated_by, key=lambda one: sum(len(part.rules) for part in one[0].sections))
        others = len(reason.isolated_by) - 1
        verb = "denied" if reason.action == "deny" else "allowed"
        if not subject:
            on = f" and {others} more are" if others else " is"
            return f"{verb}: {policy.title}{on} on the way and no rule allows this", origin
        select = f" and {others} more select" if others else " selects"
        return f"{verb}: {policy.title}{select} {subject} and no rule allows this", origin
    return f"allowed: no policy decides {step.checkpoint.name}{' of ' if subject else ''}{subject}", None


def _rule_number(reason: Reason) -> str:
    numbers = [part for part in reason.rule.origin.path if isinstance(part, int)] if reason.rule is not None else []
    return f", rule {numbers[0] + 1}" if numbers else ""


def _requests(reason: Reason) -> str:
    """`, only GET /api, POST /orders`: what of requests the rule lets through."""
    if not reason.limited or reason.rule is None or reason.rule.l7 is None:
        return ""
    words = reason.rule.l7.words
    more = f" and {len(words) - MOST} more" if len(words) > MOST else ""
    return f", only {', '.join(words[:MOST])}{more}"


def path_words(path: tuple[str | int, ...]) -> str:
    """A path in an object, as people write it: `spec.egress[1].to[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def point_words(point: int) -> str:
    """A point of the traffic line as `8080/tcp`, or `icmp type 8 code 0`."""
    protocol, port = point >> 16, point & 0xFFFF
    name = PROTOCOL_NAMES.get(protocol, str(protocol)).lower()
    return f"{name} type {port >> 8} code {port & 0xFF}" if name.startswith("icmp") else f"{port}/{name}"
