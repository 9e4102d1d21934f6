"""Snapshots, their chains and the lint settings in; findings of one side, or what a comparison adds and mends, out."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from bot.errors import UsageError
from bot.lint import registry
from bot.lint.context import Context, Run
from bot.lint.finding import SEVERITIES, Draft, Finding, Lint, docs, title
from bot.lint.near import is_typo
from bot.lint.suppress import apply
from bot.lint.written import value_at

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot
    from bot.policies.model import Lowered

MOST = 10_000


class Ignored(Protocol):
    """Rules, by id or name, that are left out in files of these globs."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Globs of files."""

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules."""


class Settings(Protocol):
    """What of the config lint looks at: rules that are off, severities other than their own, and what is ignored in some files."""

    @property
    def disable(self) -> tuple[str, ...]:
        """Rules that are switched off."""

    @property
    def severity(self) -> tuple[tuple[str, str], ...]:
        """Rule to severity, `off` among them."""

    @property
    def ignore(self) -> Sequence[Ignored]:
        """What is left out in some files."""


def lint(snapshot: Snapshot, lowered: Lowered, config: Settings | None = None) -> tuple[Finding, ...]:
    """Everything that is wrong on one side, worst first. `lowered`: as made of this snapshot twice."""
    context = Context(Run(snapshot, snapshot, lowered), True)
    found = drafts([context], config)[0]
    return tuple(sorted((_finding(draft, context, config) for draft in found), key=order))


def compare(
    base: Snapshot, head: Snapshot, lowered: Lowered, config: Settings | None = None, narrowed: bool = True
) -> Lint:
    """What the head adds, mends and leaves. A finding is the same one wherever its lines and its place in a list are.

    `narrowed`: what is left only of the objects that differ; else everywhere.
    """
    if base is head:
        return Lint((), (), ())
    # What is made here lives as long as both sides do; to look at all of them for garbage meanwhile costs more than the rules.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _compare(Run(base, head, lowered, narrowed), config)
    finally:
        if collecting:
            gc.enable()


def _compare(run: Run, config: Settings | None) -> Lint:
    base = run.snapshots[0]
    before, after = Context(run, False), Context(run, True)
    old, new = drafts([before, after], config)
    added, gone, kept = _matched(old, new)

    def shown(found: Sequence[Draft], context: Context) -> tuple[Finding, ...]:
        return tuple(sorted((_finding(draft, context, config) for draft in found), key=order))

    if run.scope is not None:
        kept = [draft for draft in kept if draft.object not in base.where]
    return Lint(shown(added, after), shown(gone, before), shown(kept, after))


def drafts(contexts: Sequence[Context], config: Settings | None = None) -> list[list[Draft]]:
    """What is found on each side, suppressed ones left out."""
    off = _off(config)
    found: list[list[Draft]] = [[] for _ in contexts]
    for entry in registry.wanted(contexts, off):
        check = registry.check(entry)
        for context, own in zip(contexts, found, strict=True):
            sight = context.alone if entry.alone else context
            own.extend(draft for draft in check(sight) if context.is_told(draft.object))
    left = [apply(context, own[:MOST], off) for context, own in zip(contexts, found, strict=True)]
    if config is not None and config.ignore:
        left = [_outside(context, own, config.ignore) for context, own in zip(contexts, left, strict=True)]
    return left


def _outside(context: Context, found: list[Draft], ignored: Sequence[Ignored]) -> list[Draft]:
    """What is not ignored for the file that it is in (or that this was rendered from)."""
    from bot.sources.select import matcher

    entries = [(frozenset(one.rules), matcher(one.paths)) for one in ignored]

    def is_ignored(draft: Draft) -> bool:
        return any(
            not rules.isdisjoint((draft.rule.id, draft.rule.name)) and matches(_place(draft, context)[0])
            for rules, matches in entries
        )

    return [draft for draft in found if not is_ignored(draft)]


def _off(config: Settings | None) -> frozenset[str]:
    """The rules that are switched off. Raises UsageError for one that there is not."""
    if config is None:
        return frozenset()
    for key, names in (
        ("disable", config.disable),
        ("severity", [name for name, _ in config.severity]),
        ("ignore", [name for one in config.ignore for name in one.rules]),
    ):
        for name in names:
            if name not in registry.BY_ID and name not in registry.BY_NAME:
                near = next((known for known in (*registry.BY_ID, *registry.BY_NAME) if is_typo(name, known)), None)
                hint = f"; did you mean {near}?" if near else ""
                raise UsageError(f"the config's lint.{key}: there is no rule {name}{hint}")
    return frozenset((*config.disable, *(name for name, severity in config.severity if severity == "off")))


def _finding(draft: Draft, context: Context, config: Settings | None) -> Finding:
    rule = draft.rule
    severity = draft.severity
    for name, chosen in config.severity if config is not None else ():
        if name in (rule.id, rule.name):
            severity = chosen
    file, lines = _place(draft, context)
    return Finding(
        rule.id,
        rule.name,
        severity,
        title(draft.object),
        file,
        lines,
        draft.message,
        draft.fix or rule.fix,
        docs(rule.id),
    )


def _place(draft: Draft, context: Context) -> tuple[str, tuple[int, int]]:
    if draft.path[:1] == ("#",):
        file, start = context.snapshot.where[draft.object]
        line = start + int(draft.path[1]) - 1
        return file, (line, line)
    file, lines = context.snapshot.location(draft.object, draft.path)
    if not draft.path:
        first = context.snapshot.line(draft.object)[1]
        return file, (first, lines[1])
    return file, lines


def order(finding: Finding) -> tuple[int, str, int, str, str]:
    """Worst first, then by place."""
    return SEVERITIES.index(finding.severity), finding.file, finding.lines[0], finding.rule, finding.message


def _matched(old: list[Draft], new: list[Draft]) -> tuple[list[Draft], list[Draft], list[Draft]]:
    """(added, gone, kept): first by the identical object, then by what is written at the place, then by the place."""
    kept: list[Draft] = []
    for same in (_by_object, _by_value, _by_place):
        known: dict[object, list[Draft]] = {}
        for draft in old:
            known.setdefault(same(draft), []).append(draft)
        rest = []
        for draft in new:
            twins = known.get(same(draft))
            if twins:
                twins.pop()
                kept.append(draft)
            else:
                rest.append(draft)
        new, old = rest, [draft for twins in known.values() for draft in twins]
        if not new or not old:
            break
    return new, old, kept


def _by_object(draft: Draft) -> object:
    return draft.rule.id, id(draft.object), draft.path, draft.about


def _by_value(draft: Draft) -> object:
    path = tuple(step for step in draft.path if not isinstance(step, int))
    written = value_at(draft.object.value, draft.path) if draft.path else None
    return draft.rule.id, draft.object.key, path, draft.about, repr(written)[:10_000]


def _by_place(draft: Draft) -> object:
    return draft.rule.id, draft.object.key, draft.path, draft.about
