"""A review, listing, explanation or verification in, lines of styled text for people out.

A line is a list of (style, text) spans: `plain` joins them, `terminal.py` colours them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bot import __version__
from bot.gate.verdict import blocks, exit_code
from bot.report import lead, sides
from bot.report.escape import plain as clean
from bot.report.fold import folded
from bot.report.quiet import quiet, sentence
from bot.report.words import (
    Names,
    cause_name,
    cause_words,
    change_ports,
    headline,
    number,
    paths_beside,
    plain_set,
    request_words,
)

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object
    from bot.policies.model import Assumption
    from bot.reachability.change import Cause, Change, Decision
    from bot.review import Audit, Environment, Explanation, Linted, Listing, PolicyEffect, Review, Verification
    from bot.sources import Unread

Line = list[tuple[str, str]]
STYLES = {
    "blocked": "error",
    "look": "warning",
    "closed": "note",
    "incomplete": "incomplete",
    "pass": "good",
    "allowed": "good",
}
ALLOWED = {"open": "allowed", "possible": "possibly allowed", "closed": "denied", "absent": "not there"}
SNIPPET = 3
ROWS = 40
NOTES = 5


def plain(lines: Iterable[Line]) -> str:
    """The lines without any style."""
    return "".join("".join(text for _, text in line).rstrip() + "\n" for line in lines)


def review(value: Review, verbose: bool = False) -> list[Line]:
    """The review: each group of paths, why, one path that shows it, and the verdict. `verbose`: assumptions in full."""
    value = folded(value)
    environments = value.environments
    workloads = sum(environment.workloads for environment in environments)
    policies = sum(environment.policies for environment in environments)
    counts = f"{number(workloads, 'workload')}, {number(policies, 'policy', 'policies')}"
    lines: list[Line] = [
        [("title", f"netreach {__version__}: {_lead(value)}")],
        [("", f"  {clean(sides.compared(value))}   {counts}")],
    ]
    if sides.behind(value):
        lines.append([("dim", f"  {clean(sides.behind(value))}")])
    lines += [[("warning", "note: "), ("", clean(note))] for note in value.notes]
    silent = [] if verbose else quiet(value)
    for environment in environments:
        if all(environment is not one for one in silent):
            lines += _environment(environment, value, verbose)
    lines.append([])
    if silent:
        words, alike = sentence(silent, clean)
        lines += [[("good", "unchanged"), ("", f": {words}"), ("dim", f"; {alike} (--verbose has all)" if alike else "")], []]
    lines.append(_verdict(value))
    return lines


def _lead(value: Review) -> str:
    """The verdict, and the worst that changes."""
    first = lead.worst(value)
    if first is None:
        return lead.verdict(value)
    change, environment = first
    sentence = _title(change, Names(environment.endpoints, environment.sizes), environment)
    where = f" in {clean(environment.name)}" if len(value.environments) > 1 else ""
    return f"{lead.verdict(value)}. {sentence[0].upper()}{sentence[1:]}{where}"


def _title(change: Change, names: Names, environment: Environment) -> str:
    return " ".join(clean(part.plain()) for part in headline(change, names, environment.universe))


def _environment(value: Environment, whole: Review, verbose: bool) -> list[Line]:
    lines: list[Line] = []
    if len(whole.environments) > 1:
        lines += [[], [("title", f"environment {clean(value.name)}: {value.verdict}")]]
    lines += _notes(value.notes, verbose)
    names = Names(value.endpoints, value.sizes)
    texts = {
        (row.title, side): item
        for row in value.changed_objects
        for side, item in (("base", row.before), ("head", row.after))
    }
    for change in value.changes[:ROWS]:
        lines += [[], *_row(change, value, names, whole, texts)]
    if len(value.changes) > ROWS:
        rest = value.changes[ROWS:]
        hidden = sum(row.paths for row in rest)
        lines += [
            [],
            [
                (
                    "dim",
                    f"and {number(len(rest), 'more group')}, {number(hidden, 'path')} (--format json has all)",
                )
            ],
        ]
    lines += _gated(value)
    if value.staged is not None or value.later is not None:
        from bot.report import aside

        lines += aside.lines(value)
    if value.lint is not None and (value.lint.new or value.lint.fixed):
        from bot.report import linted

        lines += [[], *linted.lines(value.lint.new, ROWS), [("dim", f"lint: {linted.counts(value.lint)}")]]
    if value.incomplete:
        lines.append([])
        lines += _unread(value.incomplete, "incomplete")
    if value.coverage and verbose:
        lines += [[], *_unread(value.coverage, "unread on both sides")]
    lines.append([])
    if not value.changes:
        lines.append([("good", " no path opened or closed")])
    else:
        lines.append([("", " "), *_counts(value)])
    if value.coverage and not verbose:
        lines.append(
            [("dim", f" {number(len(value.coverage), 'place')} not read on either side (--verbose names them)")]
        )
    lines += _remarks(value.remarks, verbose, "before and after alike")
    lines += _assumptions(value.assumptions, verbose)
    return lines


def _gated(value: Environment) -> list[Line]:
    """What the rules, allow entries, expectations and the audit come to, where that is worth a line."""
    if value.gated is None and value.expected is None and not value.audit:
        return []
    from bot.report.gated import told

    lines: list[Line] = []
    for one in told(value)[:ROWS]:
        lines.append([(one.style, clean(one.label)), ("", f": {clean(one.text, 1000)}")])
        if one.witness:
            lines.append([("dim", "   = "), ("", clean(one.witness, 1000))])
    return [[], *lines] if lines else []


def _counts(value: Environment) -> Line:
    totals = value.totals
    stay = [row for row in value.changes if not row.endpoint]
    groups = {kind: sum(row.change in kinds for row in stay) for kind, kinds in _KINDS.items()}
    pieces: Line = []
    for kind, count, sign, style in (
        ("opened", totals.opened, "+", "warning"),
        ("changed", totals.changed, "~", "warning"),
        ("closed", totals.closed, "-", "note"),
    ):
        if count or groups[kind]:
            pieces += [(style, f"{sign} {count:,} {kind}"), ("", f" ({number(groups[kind], 'group')})   ")]
    extra = [f"{totals.possible:,} only possible"] if totals.possible else []
    extra += [f"{totals.hypothetical:,} with pods not in Git"] if totals.hypothetical else []
    if extra and pieces:
        pieces.append(("dim", f"of these {', '.join(extra)}   "))
    moved = [row for row in value.changes if row.endpoint]
    if moved:
        pieces.append(("dim", f"{number(sum(row.paths for row in moved), 'path')} of added or removed workloads"))
    return pieces


_KINDS = {"opened": ("opened",), "changed": ("widened", "narrowed"), "closed": ("closed",)}


def _row(
    change: Change,
    environment: Environment,
    names: Names,
    whole: Review,
    texts: Mapping[tuple[str, str], Object | None],
) -> list[Line]:
    style = (
        "error"
        if blocks(change, whole.fail_on)
        else "note"
        if change.change in ("closed", "narrowed") or change.allowed_by
        else "warning"
    )
    title = _title(change, names, environment)
    lines: list[Line] = [[(style, f"{style}[{change.change}]"), ("title", f": {title}")]]
    for index, cause in enumerate(change.causes[:6]):
        lines += _cause(cause, change, texts.get((cause.object, cause.side)) if index == 0 else None)
    if not change.causes and change.endpoint:
        lines.append(
            [("dim", "  --> "), ("", "a workload is new" if "added" in change.endpoint else "a workload is removed")]
        )
    if len(change.causes) > 6:
        lines.append([("dim", "  --> "), ("", f"and {len(change.causes) - 6} more objects together")])
    sources, destinations = (clean(plain_set(names.parts(ids)), 1000) for ids in (change.sources, change.destinations))
    witness = change.witness
    known = change.paths - change.hypothetical
    moved = "new workload" if "added" in change.endpoint else "removed workload" if change.endpoint else ""
    facts = [
        ("from", sources),
        ("to", destinations),
        ("ports", change_ports(change, environment.universe)),
        *([("asking", clean(request_words(change), 400))] if change.requests else []),
        (
            "paths",
            (f"{known:,}" if known else "")
            + paths_beside(change)
            + (f" ({moved})" if moved else "")
            + (" (not every pair of these ends)" if change.partial else ""),
        ),
        (
            "example",
            f"{clean(witness.source)} to {clean(witness.destination)} {clean(witness.port)}"
            + (f" {clean(witness.request)}" if witness.request else ""),
        ),
        *_decided("before", witness.before, witness.decided_before),
        *_decided("after", witness.after, witness.decided_after),
        ("explain", clean(sides.explain(whole, witness, environment.name), 1000)),
    ]
    facts += [("rule", f"breaks {clean(change.rule)}")] if change.rule else []
    facts += [("allowed", f"by {clean(change.allowed_by)}")] if change.allowed_by else []
    lines.append([("dim", "   |")])
    lines += [[("dim", "   = "), ("dim", f"{name:<7} "), ("", text)] for name, text in facts]
    return lines


def _decided(title: str, verdict: str, decisions: Iterable[Decision]) -> list[tuple[str, str]]:
    """What decided, a line each: for a closed path what denies, else every checkpoint."""
    reasons = [
        f"{row.checkpoint} {clean(row.text)}".lstrip()
        + (f" ({clean(sides.place(row.file, row.lines))})" if row.file else "")
        for row in decisions
        if verdict != "closed" or row.verdict != "open"
    ]
    first, *others = reasons or [ALLOWED.get(verdict, verdict)]
    return [(title, first), *(("", reason) for reason in others)]


def _cause(cause: Cause, change: Change, item: Object | None) -> list[Line]:
    where = clean(sides.place(cause.file, cause.lines))
    gone = " (before)" if cause.side == "base" else ""
    kind, name = cause_name(cause)
    what = f"{kind or 'NetworkPolicy' if cause.kind else ''} {name} {cause_words(cause, change.change)}".lstrip()
    inside = f", {clean(cause.path)}" if cause.path else ""
    if not cause.file:
        return [[("dim", "  --> "), ("", clean(what) + inside)]]
    return [[("dim", "  --> "), ("place", where + gone), ("", f"  {clean(what)}{inside}")], *_snippet(cause, item)]


def _snippet(cause: Cause, item: Object | None) -> list[Line]:
    """The first lines of the part of the object that did it."""
    if item is None or not cause.path:
        return []
    first, last = item.document.lines((*item.pointer, *steps(cause.path)))
    text = item.document.text.splitlines()[first - 1 : last][:SNIPPET]
    if not text:
        return []
    # What was rendered is not the text of the place that it is from.
    same = cause.lines[1] - cause.lines[0] == last - first
    lines: list[Line] = [[("dim", "   |")]]
    for offset, row in enumerate(text):
        lines.append([("dim", f"{cause.lines[0] + offset if same else '':>4} | "), ("", clean(row, 120))])
    if last - first >= SNIPPET:
        lines.append([("dim", "     | ...")])
    return lines


def steps(path: str) -> tuple[str | int, ...]:
    """`spec.egress[1].to[0]` as keys and indices."""
    return tuple(
        int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)(?![^\[]*\])|\[(\d+)\]", path)
    )


def _unread(rows: Iterable[Unread], title: str) -> list[Line]:
    style = "incomplete" if title == "incomplete" else "dim"
    lines: list[Line] = []
    for row in list(rows)[:ROWS]:
        setting = f" (setting: {clean(row.setting)})" if row.setting else ""
        lines.append(
            [
                (style, f"{title}: "),
                ("place", clean(sides.place(row.file, row.lines))),
                ("", f": {clean(row.reason)}{setting}"),
            ]
        )
    more = len(list(rows)) - ROWS
    return [*lines, [("dim", f"and {more} more")]] if more > 0 else lines


def _assumptions(rows: Iterable[tuple[Assumption, int]], verbose: bool) -> list[Line]:
    known = list(rows)
    if not known:
        return []
    if verbose:
        return [
            [
                ("dim", " assumed: "),
                ("", clean(row.text)),
                ("dim", f" ({number(paths, 'path')}{f'; setting: {clean(row.setting)}' if row.setting else ''})"),
            ]
            for row, paths in known
        ]
    return [[("dim", f" {number(len(known), 'assumption')} (--verbose names them)")]]


def _notes(notes: Sequence[str], verbose: bool) -> list[Line]:
    shown = notes if verbose else notes[:NOTES]
    lines: list[Line] = [[("warning", "note: "), ("", clean(note))] for note in shown]
    more = len(notes) - len(shown)
    return [*lines, [("dim", f"and {number(more, 'more note')} (--verbose has all)")]] if more else lines


def _remarks(remarks: Sequence[str], verbose: bool, where: str) -> list[Line]:
    if verbose:
        return _notes(remarks, verbose)
    return [[("dim", f" {number(len(remarks), 'note')} {where} (--verbose has all)")]] if remarks else []


def _verdict(value: Review) -> Line:
    code = exit_code(value.verdict, on_incomplete=value.on_incomplete)
    rows = [row for environment in value.environments for row in environment.changes]
    fail = "fails" if sum(blocks(row, value.fail_on) for row in rows) == 1 else "fail"
    stopped = sum(blocks(row, value.fail_on) for row in rows)
    places = sum(len(environment.incomplete) for environment in value.environments)
    words = {
        "pass": "nothing changes",
        "allowed": "changed, and allowed",
        "look": f"needs a look, {number(len(rows), 'group')} of changes",
        "blocked": _blocked(value, stopped, fail),
        "incomplete": f"{number(places, 'place')} could not be read, so this is not a pass",
    }
    return [(STYLES.get(value.verdict, ""), value.verdict), ("", f": {words[value.verdict]} (exit {code})")]


def _blocked(value: Review, stopped: int, fail: str) -> str:
    rows = [f"{number(stopped, 'group')} of changes {fail} the gate ({', '.join(value.fail_on)})"] if stopped else []
    rules = {one.rule.id for env in value.environments if env.gated for one in env.gated.rules if one.fails}
    rows += [f"{number(len(rules), 'rule')} broken: {clean(', '.join(sorted(rules)), 300)}"] if rules else []
    if any(one.expected is not None and one.expected.fails for one in value.environments):
        rows.append("expectations no longer hold")
    if "lint-error" in value.fail_on:
        from bot.report.linted import blocking

        if errors := blocking(value):
            rows.append(f"{number(len(errors), 'new lint error')} ({clean(', '.join(sorted({e.rule for e, _ in errors})), 300)})")
    return "; ".join(rows)


def effect(value: PolicyEffect) -> list[Line]:
    """What one policy selects, and what it opens and closes against the same cluster without it."""
    found = value.effect
    lines: list[Line] = [[("title", clean(found.title)), ("place", f"  {clean(sides.place(found.file, found.lines))}")]]
    for one in found.selected:
        verb = "isolates" if one.isolates else "selects, without isolating,"
        pods = ", ".join(one.pods[:20]) + (f" and {len(one.pods) - 20} more" if len(one.pods) > 20 else "")
        spaces = f" in {', '.join(one.namespaces[:10])}" if one.namespaces else ""
        lines.append(
            [("dim", f"  {one.checkpoint:<8} "), ("", clean(f"{verb} {pods or 'no pod in Git'}{spaces}", 2000))]
        )
    names = Names(found.endpoints, value.sizes)
    for title, kinds in (("opens", ("opened", "widened")), ("closes", ("closed", "narrowed"))):
        rows = [row for row in found.changes if row.change in kinds and not row.alike]
        lines += [[], [("title", f"{title} {number(sum(row.paths for row in rows), 'path')}")]]
        for row in rows[:ROWS]:
            ends = (clean(plain_set(names.parts(ids)), 1000) for ids in (row.sources, row.destinations))
            what = f"{' -> '.join(ends)}  {change_ports(row, value.universe)}"
            lines.append([("warning" if title == "opens" else "note", f"  {title:<7}"), ("", what)])
        if len(rows) > ROWS:
            lines.append([("dim", f"  and {number(len(rows) - ROWS, 'more group')} (--format json has all)")])
    return lines + _unread(value.incomplete, "incomplete")


def audit(value: Audit, verbose: bool = False) -> list[Line]:
    """Every namespace, a line each, and what is open in it."""
    from bot.report.gated import counted, direction_words

    styles = {"OK": "good", "WARN": "warning", "FAIL": "error"}
    width = max([len(clean(one.namespace)) for one in value.namespaces], default=0)
    lines = _notes(value.notes, verbose)
    for one in value.namespaces:
        lines.append([(styles[one.status], f"{one.status:<5}"), ("title", f"{clean(one.namespace):<{width}}  ")])
        lines[-1].append(("dim", number(one.workloads, "workload")))
        for name, part in (("ingress", one.ingress), ("egress", one.egress)):
            lines.append([("dim", f"     {name:<8}"), ("", clean(direction_words(part), 1000))])
            if verbose and part.policies:
                lines.append([("dim", "             by "), ("", clean(", ".join(part.policies), 1000))])
    lines += _unread(value.incomplete, "incomplete")
    counts = ", ".join(f"{count} {name}" for name, count in counted(value.namespaces).items())
    return [*lines, [("title", f"{number(len(value.namespaces), 'namespace')}: {counts}"), ("dim", f" ({value.cni})")]]


def lint(value: Linted) -> list[Line]:
    """Every finding with its place and its fix, and how many there are."""
    from bot.report import linted

    lines = linted.lines(value.findings)
    lines += _unread(value.incomplete, "incomplete")
    counts = f" ({linted.counts(value.compared)})" if value.compared is not None and linted.counts(value.compared) else ""
    return [*lines, [("title", linted.summary(value.findings)), ("dim", counts)]]


def listing(value: Listing, verbose: bool = False) -> list[Line]:
    """Every open path, in three aligned columns."""
    from bot.report import listed

    rows = [
        (clean(row.source), clean(row.destination), clean(row.ports, 1000), clean("; ".join(row.requests), 1000))
        for row in listed.rows(value)
    ]
    widths = [max([len(row[column]) for row in rows], default=0) for column in (0, 1)]
    lines = _notes(value.notes, verbose)
    for row in rows:
        ends = [("", f"{row[0]:<{widths[0]}}"), ("dim", " -> "), ("", f"{row[1]:<{widths[1]}}  ")]
        lines.append([*ends, ("place", row[2]), *([("", f"  {row[3]}")] if row[3] else [])])
    if any(f"{listed.ENTITY}*" in row[:2] for row in rows):
        lines.append([("dim", f" {clean(listed.legend(value), 1000)}")])
    lines += _unread(value.incomplete, "incomplete")
    if verbose:
        lines += _unread(value.coverage, "not read")
    lines.append([("title", f"{number(len(value.paths), 'open path')}"), ("dim", f" ({value.cni})")])
    return lines + _remarks(value.remarks, verbose, "on these manifests") + _assumptions(value.assumptions, verbose)


def explanation(value: Explanation, verbose: bool = False) -> list[Line]:
    """One path, side by side: the verdict and what each checkpoint said; what to look at where it is not open, or `verbose`."""
    lines: list[Line] = [[("title", f"{clean(value.source)} to {clean(value.destination)} {clean(value.port)}")]]
    for name, verdict, decisions in value.sides:
        style = {"open": "warning", "closed": "note"}.get(verdict, "incomplete")
        lines += [[], [("title", f"{clean(name)}: "), (style, ALLOWED.get(verdict, verdict))]]
        for row in decisions:
            style = {"open": "warning", "closed": "note"}.get(row.verdict, "incomplete")
            lines.append([("dim", f"  {clean(row.checkpoint)} ".replace("   ", "  ")), (style, clean(row.text))])
            if row.file:
                inside = f"  {clean(row.path)}" if row.path else ""
                lines.append([("dim", "    --> "), ("place", clean(sides.place(row.file, row.lines))), ("", inside)])
    lines += [[], *([("dim", "hint: "), ("", clean(hint))] for hint in value.hints)] if value.hints else []
    wanted = verbose or value.sides[-1][1] != "open"
    for number_, hint in enumerate(value.help if wanted else (), 1):
        lines += [[], [("title", f"{number_}. {clean(hint.title)}")]]
        lines += [[("dim", "   - "), ("", clean(row, 1000))] for row in hint.lines]
    for item in value.changed:
        from bot.report import wording

        words = wording.changed(item.before, item.after)
        lines += [[], [("title", f"{clean(item.title)} changed:")]] if words else []
        lines += [[("", f"  {clean(word.replace('`', ''))}")] for word in words]
    return lines + _unread(value.incomplete, "incomplete")


def verification(value: Verification, verbose: bool = False) -> list[Line]:
    """What does not hold, each with the reason, and how many hold."""
    lines: list[Line] = []
    for row in value.failed:
        lines.append([("error", "failed: "), ("title", expected(row.expectation))])
        lines.append([("dim", "   = "), ("", f"got {row.got} (egress {row.egress}, ingress {row.ingress})")])
        if row.why:
            lines.append([("dim", "   = "), ("", clean(row.why))])
    for missing in value.unmatched:
        lines.append(
            [("error", "unmatched: "), ("title", expected(missing)), ("", f": {clean(str(missing.get('why', '')))}")]
        )
    lines += _unread(value.incomplete, "incomplete")
    lines += _assumptions(value.assumptions, verbose)
    style = "good" if value.held == value.total else "error"
    lines.append([(style, f"{value.held:,} of {number(value.total, 'expectation')} held")])
    return lines


def expected(row: Mapping[str, object]) -> str:
    """An expectation in a line."""
    port = (
        f" {row.get('protocol', 'TCP')}" + (f" {row['port']}" if "port" in row else "")
        if "port" in row or "protocol" in row
        else ""
    )
    name = f" ({row['name']})" if row.get("name") else ""
    return clean(f"{row.get('from')} to {row.get('to')}{port}: {row.get('expect')} expected{name}")
