"""What a review is judged by and one environment's difference in; the rows marked, rules, expectations and audit judged, out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.gate.rules import NEWLY, NOTHING, Gated
from bot.gate.verdict import rule_fails
from bot.reachability.change import Change

if TYPE_CHECKING:
    from bot.config import Config
    from bot.gate.audit import AuditChange
    from bot.gate.expectations import Expectation
    from bot.gate.expected import Expected
    from bot.manifests.snapshot import Snapshot
    from bot.policies.model import Lowered
    from bot.reachability.analysis import Difference


class Terms(NamedTuple):
    """What counts for every environment: all of it from the base side.

    `renewed`: ids of rules that the head's config drops or changes, so that a dead one can be mended. `whole`: every environment
    of the config is looked at. `day`: gives the day that entries expire by; asked only where there are entries.
    """

    config: Config | None
    expectations: tuple[str, tuple[Expectation, ...]] | None
    renewed: frozenset[str]
    fail_on: tuple[str, ...]
    whole: bool
    day: Callable[[], str]


class Outcome(NamedTuple):
    """The rows with what they break and what allows them; `failed`: the gate fails for more than a row."""

    changes: tuple[Change, ...]
    gated: Gated | None
    expected: Expected | None
    audit: tuple[AuditChange, ...]
    failed: bool


def terms(
    config: Config | None,
    base: Mapping[str, bytes],
    head: Mapping[str, bytes],
    fail_on: tuple[str, ...],
    whole: bool,
    day: Callable[[], str],
) -> Terms:
    """`base`, `head`: the files of the side that settings come from, and of the other. Raises UsageError."""
    from bot.sources.select import EXPECTATION_FILES

    expected = None
    if any(name in base for name in EXPECTATION_FILES):
        from bot.gate.expected import expectations_of

        expected = expectations_of(base)
    renewed = _renewed(config, head) if config is not None and config.rules else frozenset[str]()
    return Terms(config, expected, renewed, fail_on, whole, day)


def _renewed(config: Config, head: Mapping[str, bytes]) -> frozenset[str]:
    from bot.config import parse
    from bot.errors import UsageError
    from bot.sources.select import find_config

    try:
        found = find_config(head)
        after = parse(*found) if found is not None else None
    except UsageError:
        return frozenset()
    if after is None:
        return frozenset()
    known = {(rule.id, rule.action, rule.match) for rule in after.rules}
    same = config.groups == after.groups
    return frozenset(rule.id for rule in config.rules if not same or (rule.id, rule.action, rule.match) not in known)


def judge(
    by: Terms,
    base: Snapshot,
    head: Snapshot,
    lowered: Lowered,
    found: Difference,
    complete: Sequence[str],
    alone: Callable[[Snapshot], Lowered],
) -> Outcome:
    """`alone`: lowers one side as if there were no other. Raises UsageError."""
    changes, gated, expected = found.changes, None, None
    failed = False
    if by.config is not None and (by.config.rules or by.config.allow):
        from bot.gate.allow import marked
        from bot.gate.rules import judge as judge_rules

        gated = judge_rules(by.config, base, head, lowered, by.day() if by.config.allow else "", complete)
        gated = gated._replace(
            rules=tuple(
                one._replace(fails=one.status == NEWLY and rule_fails(one.rule.severity, by.fail_on))
                for one in gated.rules
            )
        )
        changes = marked(changes, found.endpoints, by.config, gated, (base, head), lowered.vocabulary)
        failed = any(one.fails for one in gated.rules)
    if by.expectations is not None:
        from bot.gate.expected import compare

        file, expectations = by.expectations
        expected = compare(file, expectations, (base, alone(base)), (head, alone(head)))
        failed = failed or (expected.fails and rule_fails("block", by.fail_on or ("rule",)))
    return Outcome(changes, gated, expected, _audited(base, head, lowered), failed)


def _audited(base: Snapshot, head: Snapshot, lowered: Lowered) -> tuple[AuditChange, ...]:
    if base is head:
        return ()
    from bot.gate.audit import changes

    return changes(base, head, lowered)


def dead(by: Terms, environments: Sequence[Gated | None]) -> frozenset[str]:
    """The rules that match nothing in any environment, and fail for it."""
    if not by.whole:
        return frozenset()
    judged = [one for gated in environments if gated is not None for one in gated.rules]
    alive = {one.rule.id for one in judged if one.status != NOTHING}
    return frozenset(
        one.rule.id
        for one in judged
        if one.rule.id not in alive | by.renewed and rule_fails(one.rule.severity, by.fail_on)
    )


def failing(gated: Gated, ids: frozenset[str]) -> Gated:
    """The same with these rules as failures."""
    return gated._replace(rules=tuple(one._replace(fails=one.fails or one.rule.id in ids) for one in gated.rules))
