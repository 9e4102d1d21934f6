"""The rows of a review and the config in; the same rows with the rule that each breaks and the entries that allow it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bot.gate.ends import DeclaredPorts, End, declared_ports, end, traffic_to
from bot.gate.rules import IN_FORCE, NEWLY, Gated
from bot.policies.model import Vocabulary
from bot.policies.traffic import Traffic, intersect, subtract, union
from bot.reachability.change import Change, EndpointFacts

if TYPE_CHECKING:
    from bot.config import Config, Match
    from bot.manifests.snapshot import Snapshot


def marked(
    changes: Sequence[Change],
    endpoints: Mapping[str, EndpointFacts],
    config: Config,
    gated: Gated,
    sides: tuple[Snapshot, Snapshot],
    vocabulary: Vocabulary,
) -> tuple[Change, ...]:
    """Rows in their order. One is allowed only if entries in force answer for every path of it, whatever it opens or closes."""
    rules = [found.rule for found in gated.rules if found.status == NEWLY]
    entries = [found.entry for found in gated.allow if found.status == IN_FORCE]
    if not rules and not entries:
        return tuple(changes)
    pods, universe = vocabulary.pod_addresses, vocabulary.universe
    groups = dict(config.groups)
    declared = declared_ports(*sides)

    def ends(match: Match) -> tuple[End, End]:
        return end(match.source, groups, pods), end(match.destination, groups, pods)

    breaking = [(rule, *ends(rule.match)) for rule in sorted(rules, key=lambda rule: rule.severity != "block")]
    answering = [(entry.id, entry.match, *ends(entry.match)) for entry in entries]
    out = []
    for change in changes:
        facts = [[endpoints[name] for name in ids] for ids in (change.sources, change.destinations)]
        gained, lost, moved = moves(change)
        allowed = _allowed(facts, moved, answering, declared, universe) if moved else ""
        broken = None
        for rule, source, destination in breaking if not allowed else ():
            traffic = gained if rule.action == "deny" else lost
            if traffic and _breaks(rule.match, source, destination, facts, traffic, declared, universe):
                broken = rule
                break
        if broken is not None:
            change = change._replace(rule=broken.id, rule_severity=broken.severity)
        out.append(change._replace(allowed_by=allowed) if allowed else change)
    return tuple(out)


def moves(change: Change) -> tuple[Traffic, Traffic, Traffic]:
    """(gained, lost, either) of a row; where only the requests differ, the traffic that carries them."""
    before, after = union(change.before, change.before_possible), union(change.after, change.after_possible)
    gained = union(subtract(after, before), subtract(change.after, change.before))
    lost = union(subtract(before, after), subtract(change.before, change.after))
    wider = union(*(row.traffic for row in change.requests if row.wider != "no"))
    narrower = union(*(row.traffic for row in change.requests if row.narrower != "no"))
    gained, lost = union(gained, wider), union(lost, narrower)
    return gained, lost, union(gained, lost)


def _breaks(
    match: Match,
    source: End,
    destination: End,
    facts: Sequence[Sequence[EndpointFacts]],
    traffic: Traffic,
    declared: DeclaredPorts,
    universe: Traffic,
) -> bool:
    return any(map(source.touches, facts[0])) and any(
        destination.touches(one) and intersect(traffic, traffic_to(match, one, declared, universe, False))
        for one in facts[1]
    )


def _allowed(
    facts: Sequence[Sequence[EndpointFacts]],
    moved: Traffic,
    answering: Sequence[tuple[str, Match, End, End]],
    declared: DeclaredPorts,
    universe: Traffic,
) -> str:
    """The entries that answer for every pair, with commas; nothing where a pair is left."""
    sources = {tuple(source.holds(one) for _, _, source, _ in answering) for one in facts[0]}
    destinations = {
        tuple(
            traffic_to(match, one, declared, universe, False) if destination.holds(one) else ()
            for _, match, _, destination in answering
        )
        for one in facts[1]
    }
    used: dict[int, None] = {}
    for held in sources:
        for traffics in destinations:
            chosen = [at for at, holds in enumerate(held) if holds and intersect(moved, traffics[at])]
            if not chosen or subtract(moved, union(*(traffics[at] for at in chosen))):
                return ""
            used.update(dict.fromkeys(chosen))
    return ", ".join(answering[at][0] for at in sorted(used))
