"""A review in, short remarks that each belong to lines of a file out, the most severe first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from bot.gate.verdict import blocks, lint_fails
from bot.report import sides
from bot.report.escape import plain
from bot.report.fold import folded
from bot.report.words import Names, cause_name, cause_words, change_ports, number, plain_set

if TYPE_CHECKING:
    from bot.lint.finding import Finding as Mistake
    from bot.reachability.change import Cause, Change
    from bot.review import Environment, Review

LONGEST_TITLE = 255
LONGEST_MESSAGE = 8_000
LEVELS = ("failure", "warning", "notice")


class Annotation(NamedTuple):
    """`level`: failure, warning or notice. `file` is "" where no file of the head is to blame; lines are 1-based, 0 for none known."""

    level: str
    file: str
    first: int
    last: int
    title: str
    message: str


class Finding(NamedTuple):
    """An annotation with what it is about: a row of an environment, a mistake that lint found, a rule or expectation that is broken
    (`broken`: which), or (none of these) something that could not be read.
    """

    annotation: Annotation
    environment: Environment
    change: Change | None
    mistake: Mistake | None = None
    broken: str = ""


def review(value: Review, most: int = 50) -> list[Annotation]:
    """At most `most` of them; where there are more, the last one says how many were left out."""
    found = [finding.annotation for finding in findings(value)]
    found += [remark for environment in value.environments for remark in _asides(environment, value)]
    if len(found) <= most:
        return found
    if most < 1:
        return []
    left = len(found) - most + 1
    rest = Annotation("notice", "", 0, 0, f"and {left:,} more", f"{number(left, 'more remark')}: the report has all.")
    kept = found[: most - 1]
    return [*kept, rest._replace(file=kept[-1].file, first=kept[-1].first, last=kept[-1].last) if kept else rest]


def findings(value: Review) -> list[Finding]:
    """What could not be read, and each row of the tables, the most severe first."""
    found = [row for environment in folded(value).environments for row in _environment(environment, value)]
    return sorted(found, key=lambda row: LEVELS.index(row.annotation.level))


def _asides(environment: Environment, value: Review) -> Iterator[Annotation]:
    """What policies would do that do nothing to what is there."""
    if environment.staged is None and environment.later is None:
        return
    from bot.report.aside import asides, summary

    for words, aside in asides(environment):
        for policy, file, lines in aside.policies:
            first, last = _lines(lines, value)
            title = plain(f"{policy} {words.of}", LONGEST_TITLE)
            yield Annotation("notice", file, first, last, title, summary(words, aside))


def _environment(environment: Environment, value: Review) -> Iterator[Finding]:
    prefix = f"{plain(environment.name, 60)}: " if len(value.environments) > 1 else ""
    for unread in environment.incomplete:
        level = "warning" if value.on_incomplete == "warn" else "failure"
        first, last = _lines(unread.lines, value)
        message = plain(unread.reason, 1000) + (f"\nSetting: {plain(unread.setting, 100)}" if unread.setting else "")
        title = f"{prefix}Could not be read, so this is not a pass"
        yield Finding(Annotation(level, unread.file, first, last, title, message), environment, None)
    yield from _broken(environment, value, prefix)
    yield from _mistakes(environment, value, prefix)
    names = Names(environment.endpoints, environment.sizes)
    for change in environment.changes:
        file, lines = _place(change, environment)
        first, last = _lines(lines, value)
        yield Finding(
            Annotation(
                _level(change, value),
                file,
                first,
                last,
                plain(prefix + _title(change, environment, names), LONGEST_TITLE),
                _message(change, environment, value),
            ),
            environment,
            change,
        )


def _broken(environment: Environment, value: Review, prefix: str) -> Iterator[Finding]:
    """Rules and expectations that fail the gate, at no line of the head: they are the base side's."""
    if environment.gated is None and environment.expected is None:
        return
    from bot.report.gated import told

    for one in told(environment):
        if one.style == "error":
            message = plain(one.text, 1500) + (f"\nWitness: {plain(one.witness, 500)}" if one.witness else "")
            title = plain(f"{prefix}Broken: {one.label}", LONGEST_TITLE)
            yield Finding(Annotation("failure", "", 0, 0, title, message), environment, None, None, one.label)


def _mistakes(environment: Environment, value: Review, prefix: str) -> Iterator[Finding]:
    """What lint found that is new; what is for information only stays in the report."""
    if environment.lint is None:
        return
    for one in environment.lint.new:
        if one.severity == "info":
            continue
        fails = one.severity == "error" and lint_fails((one,), value.fail_on)
        first, last = _lines(one.lines, value)
        title = plain(f"{prefix}{one.rule} {one.name}: {one.object}", LONGEST_TITLE)
        message = f"{plain(one.message.replace('`', ''), 2000)}\nFix: {plain(one.fix.replace('`', ''), 1000)}\n{one.docs}"
        level = "failure" if fails else "warning"
        yield Finding(Annotation(level, one.file, first, last, title, message), environment, None, one)


def _level(change: Change, value: Review) -> str:
    if blocks(change, value.fail_on):
        return "failure"
    return "warning" if change.change in ("opened", "widened") else "notice"


def _title(change: Change, environment: Environment, names: Names) -> str:
    verbs = {"opened": "Opens", "closed": "Closes", "widened": "Widens", "narrowed": "Narrows"}
    source, destination = (plain_set(names.parts(ids), 3) for ids in (change.sources, change.destinations))
    ports = change_ports(change, environment.universe)
    ports = f"{ports} ports" if ports == "all" else ports
    return f"{verbs[change.change]} {number(change.paths, 'path')}: {source} to {destination}, {ports}"


def _message(change: Change, environment: Environment, value: Review) -> str:
    lines = [_because(cause, change) for cause in change.causes[:5]]
    if len(change.causes) > 5:
        lines.append(f"and {len(change.causes) - 5} more objects")
    witness = change.witness
    request = f" {witness.request}" if witness.request else ""
    lines.append(
        f"Witness: {witness.source} -> {witness.destination} {witness.port}{request}."
        f" Before: {witness.before}. After: {witness.after}."
    )
    lines.append(sides.explain(value, witness, environment.name))
    return "\n".join(plain(line, 1500) for line in lines)[:LONGEST_MESSAGE]


def _because(cause: Cause, change: Change) -> str:
    kind, name = cause_name(cause)
    where = sides.place(cause.file, cause.lines) if cause.file else ""
    was = "was " if cause.side == "base" else ""
    return f"{kind} {name} {cause_words(cause, change.change)}".strip() + (f" ({was}{where})" if where else "")


def _place(change: Change, environment: Environment) -> tuple[str, tuple[int, int] | None]:
    """Where the head has what did it; for what was deleted, the workload that is left without it."""
    for cause in change.causes:
        if cause.side == "head" and cause.file:
            return cause.file, cause.lines
    for name in (*change.destinations, *change.sources):
        facts = environment.endpoints.get(name)
        if facts is not None and facts.file and facts.side != "base":
            return facts.file, (facts.line, facts.line)
    return "", None


def _lines(lines: tuple[int, int] | None, value: Review) -> tuple[int, int]:
    """None where a merge may have moved them: no line is better than a wrong one."""
    if lines is None or not lines[0] or (value.mode == "merge" and value.behind != 0):
        return 0, 0
    return lines
