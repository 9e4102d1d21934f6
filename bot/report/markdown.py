"""A review in, the body of the pull request's comment out: at most BUDGET bytes, the worst never cut (docs/comment.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot import __version__
from bot.gate.verdict import blocks
from bot.report import graph, lead, mermaid, sides, wording
from bot.report.escape import code, plain, prose, target
from bot.report.fold import folded
from bot.report.quiet import quiet, sentence
from bot.report.words import (
    Names,
    Part,
    cause_name,
    cause_words,
    change_ports,
    headline,
    number,
    path_cell,
    request_words,
)

if TYPE_CHECKING:
    from bot.lint.finding import Finding
    from bot.reachability.change import Cause, Change, Decision
    from bot.review import Audit, Environment, Linted, Review, Side
    from bot.sources import Unread

BUDGET = 60_000
MOST_ROWS = 20
NOTES = 5
FEWEST_EDGES = 3
MOST_EDGES = 25
ICONS = {"pass": "✅", "allowed": "✅", "look": "⚠️", "blocked": "❌", "incomplete": "🟠"}
VERDICTS = {"open": "allowed", "possible": "possibly allowed", "closed": "denied", "absent": "not there"}


class Level(NamedTuple):
    """How much of everything is shown: one step of the ladder from all of it to what must never be cut.

    `rows` beside the blocked ones; `blocked`: the most blocked rows; `evidence`: rows with a witness; `names`: parts in
    a cell, each at most `length` characters; `merged`: one row for each pair of namespaces; `items`: of every other list.
    """

    rows: int = MOST_ROWS
    blocked: int = 1_000_000
    evidence: int = MOST_ROWS
    names: int = 6
    length: int = 300
    merged: bool = False
    picture: bool = True
    policies: bool = True
    items: int = 20


def _ladder() -> Iterator[Level]:
    level = Level()
    yield level
    level = level._replace(picture=False)
    for evidence in (MOST_ROWS, 10, 5, 2, 0):
        yield level._replace(evidence=evidence)
    level = level._replace(evidence=0, policies=False, items=5)
    yield level
    level = level._replace(merged=True, names=3, length=80)
    for rows in (MOST_ROWS, 10, 5, 2, 0):
        yield level._replace(rows=rows)
    level = level._replace(rows=0, items=2)
    for blocked in (1_000_000, 200, 100, 50, 20, 5, 1):
        yield level._replace(blocked=blocked, names=2, length=40)


class Page(NamedTuple):
    """The review with what every part of the page needs to know."""

    review: Review
    link: str | None
    level: Level


def review(value: Review, link: str | None = None, budget: int = BUDGET) -> str:
    """The comment's body, at most `budget` bytes of UTF-8.

    `link`: the address below which the repository's files stand by commit (`https://github.com/o/r/blob`); without it,
    places are text.
    """
    value = folded(value)
    levels = list(_ladder())
    text = _page(Page(value, link, levels[0]))
    if len(text.encode("utf-8")) <= budget:
        return text
    too_long, fits = 0, len(levels) - 1
    text = _page(Page(value, link, levels[fits]))
    while fits - too_long > 1:
        middle = (too_long + fits) // 2
        page = _page(Page(value, link, levels[middle]))
        if len(page.encode("utf-8")) <= budget:
            fits, text = middle, page
        else:
            too_long = middle
    return text


def _page(page: Page) -> str:
    value = page.review
    blocks_of_text = [f"### {ICONS[value.verdict]} netreach: {_headline(value)}"]
    blocks_of_text += _notes(value.notes, page)
    blocks_of_text.append(f"{_counts(value)} {_lint_words(value)}".rstrip())
    silent = quiet(value)
    for environment in value.environments:
        if all(environment is not one for one in silent):
            blocks_of_text += _environment(environment, page)
    if silent:
        words, alike = sentence(silent, lambda name: code(name, 60))
        blocks_of_text.append(f"{ICONS['pass']} Unchanged: {words}{f'; {alike}' if alike else ''}.")
    blocks_of_text.append(_footer(page))
    return "\n\n".join(block for block in blocks_of_text if block) + "\n"


def _notes(notes: Sequence[str], page: Page) -> list[str]:
    most = min(page.level.items, NOTES)
    shown = [f"**Note:** {prose(note, page.level.length)}" for note in notes[:most]]
    return [*shown, f"and {number(len(notes) - most, 'more note')}."] if len(notes) > most else shown


def lint(value: Linted) -> str:
    """One side's mistakes, or those of a comparison, as a table."""
    from bot.report import linted

    return linted.page(value)


def audit(value: Audit) -> str:
    """One side's namespaces as a table."""
    from bot.report.gated import counted, direction_words

    icons = {"OK": "✅", "WARN": "⚠️", "FAIL": "❌"}
    counts = ", ".join(f"{count} {name}" for name, count in counted(value.namespaces).items())
    lines = [
        f"### netreach audit: {counts}",
        "",
        "| | Namespace | Ingress | Egress | Workloads |",
        "|:-:|---|---|---|--:|",
    ]
    for one in value.namespaces:
        parts = [prose(direction_words(part), 300) for part in (one.ingress, one.egress)]
        lines.append(
            f"| {icons[one.status]} {one.status} | {code(one.namespace)} | {' | '.join(parts)} | {one.workloads} |"
        )
    lines += [
        f"\n**Could not be read**: {code(sides.place(row.file, row.lines))}: {prose(row.reason)}"
        for row in value.incomplete
    ]
    return "\n".join(lines) + "\n"


def _headline(value: Review) -> str:
    """The verdict and the worst thing in words, fit for the subject of an e-mail."""
    words = lead.verdict(value)
    first = lead.worst(value)
    rows = lead.rows(value)
    if value.verdict == "blocked" and "lint-error" in value.fail_on and not any(blocks(row, value.fail_on) for row, _ in rows):
        from bot.report.linted import blocking

        for error, _ in blocking(value)[:1]:
            words += f". {error.rule}: {prose(error.message, 300)} ({code(sides.place(error.file, error.lines), 120)})"
    if first is None:
        return words
    change, environment = first
    where = f" in {code(environment.name, 60)}" if len(value.environments) > 1 else ""
    parts = headline(change, Names(environment.endpoints, environment.sizes), environment.universe)
    sentence = " ".join(_part(part, 80, icon=False) for part in parts)
    return f"{words}. {sentence[0].upper()}{sentence[1:]}{where}"


def _counts(value: Review) -> str:
    rows = lead.rows(value)
    workloads = sum(environment.workloads for environment in value.environments)
    policies = sum(environment.policies for environment in value.environments)
    compared = f"{number(workloads, 'workload')} and {number(policies, 'policy', 'policies')} compared."
    if not rows:
        touched = sum(len(environment.changed_objects) for environment in value.environments)
        if value.verdict == "incomplete":
            return f"What could be compared shows no change. {compared}"
        return (
            f"{number(touched, 'changed object')}, without any effect on what is reachable. {compared}"
            if touched
            else compared
        )
    totals = {
        kind: sum(getattr(environment.totals, kind) for environment in value.environments)
        for kind in value.environments[0].totals._fields
    }
    verbs = [
        f"{verb} {totals[kind]:,}"
        for verb, kind in (("opens", "opened"), ("closes", "closed"), ("changes the ports of", "changed"))
        if totals[kind]
    ]
    sentences = []
    if verbs:
        first, _, count = verbs[0].rpartition(" ")
        verbs[0] = f"{first} {count} {'path' if count == '1' else 'paths'}"
        listed = verbs[0] if len(verbs) == 1 else f"{', '.join(verbs[:-1])} and {verbs[-1]}"
        extra = [f"{totals['possible']:,} only possible"] if totals["possible"] else []
        extra += [f"{totals['hypothetical']:,} with pods that are not in Git"] if totals["hypothetical"] else []
        more = f" ({', '.join(extra)})" if extra else ""
        sentences.append(f"This pull request **{listed}**{more}.")
    moved = sum(change.paths for change, _ in rows if change.endpoint)
    if moved:
        sentences.append(
            f"{number(moved, 'path')} {'belongs' if moved == 1 else 'belong'} to added or removed workloads."
        )
    stopped = sum(blocks(change, value.fail_on) for change, _ in rows)
    if stopped:
        fail = "fails" if stopped == 1 else "fail"
        sentences.append(f"{number(stopped, 'group')} of {len(rows)} {fail} the gate ({', '.join(value.fail_on)}).")
    return " ".join(sentences)


def _lint_words(value: Review) -> str:
    """How many mistakes the change brings, and whether they stop it."""
    found = [one for environment in value.environments if environment.lint is not None for one in environment.lint.new]
    if not found:
        return ""
    from bot.report.linted import blocking

    errors = number(sum(one.severity == "error" for one in found), "error")
    if failing := len(blocking(value)):
        errors += f", which {'fails' if failing == 1 else 'fail'} the gate"
    return f"{number(len(found), 'new lint finding')}{'' if errors.startswith('0 ') else f' ({errors})'}."


def _environment(value: Environment, page: Page) -> list[str]:
    out = (
        [f"#### {ICONS[value.verdict]} {code(value.name)}: {_VERDICT_WORDS[value.verdict]}"]
        if len(page.review.environments) > 1
        else []
    )
    out += _notes(value.notes, page)
    if value.incomplete:
        out.append(_incomplete(value.incomplete, page))
    rows = list(value.changes)
    if rows:
        names = Names(value.endpoints, value.sizes)
        stopping = [row for row in rows if blocks(row, page.review.fail_on)]
        quiet = rows[len(stopping) :]
        shown = stopping[: page.level.blocked] + ([] if page.level.merged else quiet[: page.level.rows])
        table = [_row(row, value, names, page) for row in shown]
        left = stopping[page.level.blocked :] + ([] if page.level.merged else quiet[page.level.rows :])
        if page.level.merged:
            merged, rest = _merged(quiet, names, page)
            table += merged
            left += rest
        if table:
            out.append(
                "\n".join(["| | Change | From | To | Ports | Why | Paths |", "|:-:|---|---|---|---|---|--:|", *table])
            )
        if any(row.hypothetical for row in shown):
            out.append("<sub>+ paths with pods that are not in Git, but that the selectors would match.</sub>")
        if left:
            paths = number(sum(row.paths for row in left), "path")
            out.append(f"and {number(len(left), 'more group')}, {paths} (`netreach diff --format json` has all).")
        out.append(_unblock(stopping, page))
        out.append(_evidence(shown, value, names, page))
        out.append(_policies(value, page))
        if page.level.picture:
            out.append(_picture(value))
    out += _asides(value, page)
    out.append(_gated(value, page))
    out.append(_lint(value, page))
    out.append(_coverage(value, page))
    return out


def _gated(value: Environment, page: Page) -> str:
    """What the rules, allow entries, expectations and the audit come to: failures are never cut."""
    if value.gated is None and value.expected is None and not value.audit:
        return ""
    from bot.report.gated import told

    icons = {"error": "❌", "warning": "⚠️", "note": "🔵", "good": "✅"}
    rows = told(value)
    kept = max(page.level.items, min(sum(row.style == "error" for row in rows), 20))
    lines = [
        f"- {icons[row.style]} {code(row.label, 120)}: {prose(row.text, page.level.length)}"
        + (f". {code(row.witness, 200)}" if row.witness and page.level.evidence else "")
        for row in rows[:kept]
    ]
    if len(rows) > kept:
        lines.append(f"- and {number(len(rows) - kept, 'more line')}")
    if not rows or any(row.style == "error" for row in rows):
        return "\n".join(lines)
    return _details("Rules and audit", number(len(rows), "line"), "\n".join(lines))


def _asides(value: Environment, page: Page) -> list[str]:
    """What policies would do that do nothing to what is there."""
    if value.staged is None and value.later is None:
        return []
    from bot.report import aside

    most, level = min(page.level.items, page.level.rows + 2), page.level
    found = aside.sections(value, most, lambda ids, names: _set(ids, names, level), level.length)
    return [_details(*one) for one in found]


def _lint(value: Environment, page: Page) -> str:
    if value.lint is None or not (value.lint.new or value.lint.fixed):
        return ""
    from bot.report import linted

    most = max(3, min(page.level.rows, 2 * page.level.items))
    review = page.review

    def place(one: Finding, side: Side) -> str:
        return _place(one.file, one.lines, side, page)

    table = linted.table(value.lint, review.base, review.head, place, most, page.level.length)
    return _details("Lint", linted.counts(value.lint), table)


_VERDICT_WORDS = {
    "pass": "no path opened or closed",
    "allowed": "changed and allowed",
    "look": "needs a look",
    "blocked": "blocked",
    "incomplete": "incomplete",
}


def _part(part: Part, length: int, icon: bool = True) -> str:
    if part.kind == "internet":
        return f"🌐 {part.text}"
    text = code(part.text, length) if part.kind == "code" else prose(part.text, length)
    return f"{part.lead}{text} ({part.size:,}){part.tail}" if part.size and icon else part.lead + text + part.tail


def _set(ids: Iterable[str], names: Names, level: Level, everything: bool = False) -> str:
    parts = names.parts(ids, everything)
    most = 40 if everything else level.names
    shown = [_part(part, level.length) for part in parts[:most]]
    if len(parts) > most:
        shown.append(f"{len(parts) - most:,} more")
    return ", ".join(shown)


def _row(change: Change, environment: Environment, names: Names, page: Page) -> str:
    stopping = blocks(change, page.review.fail_on)
    icon = "❌" if stopping else "✅" if change.allowed_by else "🟢" if change.change in ("closed", "narrowed") else "⚠️"
    what = f"**{change.change}**" + (
        " (new workload)" if "added" in change.endpoint else " (removed workload)" if change.endpoint else ""
    )
    why = _why(change, page)
    if stopping:
        why = f"{why}. " if why else ""
        why += (
            f"Breaks rule {code(change.rule, 120)}"
            if change.rule
            else f"Blocked by `fail-on: {', '.join(page.review.fail_on)}`"
        )
    elif change.allowed_by or change.rule:
        said = f"Allowed by {code(change.allowed_by, 200)}" if change.allowed_by else f"Breaks {code(change.rule, 120)}"
        why = f"{why}. {said}" if why else said
    cells = [icon, what, _set(change.sources, names, page.level), _set(change.destinations, names, page.level)]
    ports = prose(change_ports(change, environment.universe, "→"))
    if change.requests:
        ports += f": {code(request_words(change), 200)}"
    cells += [ports, why, path_cell(change)]
    return f"| {' | '.join(cells)} |"


def _why(change: Change, page: Page) -> str:
    known = [_cause(cause, change, page) for cause in change.causes[:3]]
    if len(change.causes) <= 2:
        return " and ".join(known)
    more = f" and {len(change.causes) - 3} more" if len(change.causes) > 3 else ""
    return f"several together ({len(change.causes)}): {', '.join(known)}{more}"


def _cause(cause: Cause, change: Change, page: Page) -> str:
    gone = cause.side == "base"
    kind, name = cause_name(cause)
    what = f"{kind} {code(name, page.level.length)} {prose(cause_words(cause, change.change), 60)}".lstrip()
    if not cause.file:
        return what
    where = _place(
        cause.file, cause.lines, page.review.base if gone else page.review.head, page, "was " if gone else ""
    )
    return f"{what}, {where}"


def _place(file: str, lines: tuple[int, int] | None, side: Side, page: Page, lead: str = "") -> str:
    """The place, linked to its commit; without lines where a merge may have moved them (the branch is behind)."""
    text = lead + code(sides.place(file, lines), page.level.length)
    if page.link is None or side.sha is None or not file:
        return text
    exact = side is page.review.base or page.review.mode != "merge" or not page.review.behind
    anchor = lines if exact and lines and lines[0] else None
    return f"[{text}]({target(page.link.rstrip('/') + '/' + side.sha, file, anchor)})"


def _merged(rows: Sequence[Change], names: Names, page: Page) -> tuple[list[str], list[Change]]:
    """One row for each kind of change and pair of namespaces; also the groups that have no row."""
    groups: dict[tuple[str, str, str], list[Change]] = {}
    for row in rows:
        ends = [
            ", ".join(sorted({names.facts(name).namespace or names.facts(name).kind for name in ids}))
            for ids in (row.sources, row.destinations)
        ]
        groups.setdefault((row.change, ends[0], ends[1]), []).append(row)
    table = []
    left: list[Change] = []
    for index, ((change, source, destination), members) in enumerate(groups.items()):
        if index >= page.level.rows:
            left += members
            continue
        icon = "🟢" if change in ("closed", "narrowed") else "⚠️"
        cells = [
            icon,
            f"**{change}**",
            code(source, page.level.length),
            code(destination, page.level.length),
            "several",
            number(len(members), "group"),
        ]
        table.append(f"| {' | '.join(cells)} | {sum(member.paths for member in members):,} |")
    return table, left


def _unblock(stopping: Sequence[Change], page: Page) -> str:
    """What to do about the rows that block, where an object did it."""
    verbs = {"removed": "restore", "added": "drop or narrow"}
    advice = {
        f"{verbs.get(cause.change, 'take back the change of')} {code(cause_name(cause)[1], page.level.length)}": None
        for row in stopping
        for cause in row.causes[:1]
    }
    if not advice:
        return ""
    more = f", and {number(len(advice) - 3, 'more object')}" if len(advice) > 3 else ""
    allow = ", or allow it under `allow:` in `.netreach.yml` with an owner and an expiry date"
    return f"**To unblock:** {', '.join(list(advice)[:3])}{more}{allow}."


def _evidence(rows: Sequence[Change], environment: Environment, names: Names, page: Page) -> str:
    shown = rows[: page.level.evidence]
    if not shown:
        return ""
    parts = []
    for row in shown:
        witness = row.witness
        icon = "❌ " if blocks(row, page.review.fail_on) else ""
        port, _, protocol = witness.port.partition("/")
        ends = (_part(names.parts([end], True)[0], page.level.length) for end in (witness.source, witness.destination))
        lines = [
            f"**{icon}{' → '.join(ends)} {prose(f'{protocol.upper()} {port}'.strip(), 60)}**"
            + (f" {code(witness.request, 120)}" if witness.request else ""),
            "",
            "| | Verdict | Decided by |",
            "|---|---|---|",
        ]
        for title, verdict, decisions, side in (
            ("before", witness.before, witness.decided_before, page.review.base),
            ("after", witness.after, witness.decided_after, page.review.head),
        ):
            cells = [f"{title} ({code(sides.short(side), 60)})", VERDICTS.get(verdict, prose(verdict))]
            lines.append(f"| {' | '.join(cells)} | {_decided(verdict, decisions, side, page)} |")
        for title, ids in (("From", row.sources), ("To", row.destinations)):
            if len(ids) <= 40 and any(part.lead or part.kind == "words" for part in names.parts(ids)[: len(ids) - 1]):
                lines += ["", f"{title}: {_set(ids, names, page.level, everything=True)}"]
        lines += ["", f"Check it yourself: {code(sides.explain(page.review, witness, environment.name), 600)}"]
        parts.append("\n".join(lines))
    what = (
        "one witness for each change"
        if len(shown) == len(environment.changes)
        else f"a witness for {len(shown)} of {len(environment.changes)} changes"
    )
    return _details("Evidence", f"{what}, before and after", "\n\n".join(parts))


def _decided(verdict: str, decisions: Iterable[Decision], side: Side, page: Page) -> str:
    kept = [row for row in decisions if verdict != "closed" or row.verdict != "open"]
    return "; ".join(
        f"{prose(row.checkpoint, 60)} {prose(row.text)}".lstrip()
        + (f", {_place(row.file, row.lines, side, page)}" if row.file else "")
        for row in kept
    )


def _policies(value: Environment, page: Page) -> str:
    """What changed inside the objects that changed, those that flipped a verdict first."""
    if not page.level.policies:
        return ""
    guilty = {cause.object for change in value.changes for cause in change.causes}
    inside = [row for row in value.changed_objects if row.before is not None and row.after is not None]
    inside.sort(key=lambda row: row.title not in guilty)
    lines = []
    for row in inside[: page.level.items]:
        words = wording.changed(row.before, row.after)
        lines += [f"- {code(row.title)}", *(f"  - {prose(word)}" for word in words)] if words else []
    if len(inside) > page.level.items:
        lines.append(f"- and {len(inside) - page.level.items} more")
    return _details("What changed inside", number(len(inside), "object"), "\n".join(lines)) if lines else ""


def _picture(value: Environment) -> str:
    if not FEWEST_EDGES <= len(value.changes) <= MOST_EDGES:
        return ""
    edges = graph.environment(value)
    return _details("Picture", number(len(edges), "edge"), f"```mermaid\n{mermaid.drawn(edges, MOST_EDGES)}```")


def _incomplete(rows: Sequence[Unread], page: Page) -> str:
    settings = any(row.setting for row in rows)
    lines = ["| Where | What |" + (" Setting |" if settings else ""), "|---|---|" + ("---|" if settings else "")]
    for row in rows[: page.level.items]:
        setting = f" {code(row.setting, 60) if row.setting else ''} |" if settings else ""
        lines.append(
            f"| {_place(row.file, row.lines, page.review.head, page)} | {prose(row.reason, page.level.length)} |{setting}"
        )
    if len(rows) > page.level.items:
        lines += ["", f"and {number(len(rows) - page.level.items, 'more place')} that could not be read."]
    return "**Could not be read**, so nothing is known about what it says:\n\n" + "\n".join(lines)


def _coverage(value: Environment, page: Page) -> str:
    if not any((value.coverage, value.assumptions, value.changes, value.remarks)):
        return ""
    length, most = page.level.length, page.level.items
    unread = [
        f"{code(sides.place(row.file, row.lines), length)}: {prose(row.reason, length)}" for row in value.coverage
    ]
    assumed = [
        f"{prose(row.text, length)} ({number(paths, 'path')}{f'; setting {code(row.setting, 60)}' if row.setting else ''})"
        for row, paths in value.assumptions
    ]
    lines = [f"CNI: {code(value.cni)}.", ""]
    remarks = [prose(row, length) for row in value.remarks]
    for title, rows in (("Not read on either side", unread), ("Assumed", assumed), ("Noted", remarks)):
        lines += [f"- {title}: {row}" for row in rows[:most]]
        if len(rows) > most:
            lines.append(f"- {title}: {len(rows) - most:,} more")
    summary = [number(value.workloads, "workload"), number(value.policies, "policy", "policies")]
    summary += [f"{number(len(unread), 'place')} not read on either side"] if unread else []
    summary += [number(len(assumed), "assumption")] if assumed else []
    return _details("Coverage", ", ".join(summary), "\n".join(lines).rstrip())


def _details(title: str, summary: str, body: str) -> str:
    return f"<details>\n<summary><b>{title}</b>: {summary}</summary>\n\n{body}\n\n</details>"


def _footer(page: Page) -> str:
    value = page.review
    base, between, head = sides.compared_words(value)
    into = " into it" if "merge" in between else ""
    behind = f", {number(value.behind, 'commit')} behind {code(value.base.ref, 60)}" if value.behind else ""
    compared = f"Compared {code(base, 120)} {between} {code(head, 120)}{into}{behind}."
    link = f" --link {sides.quoted(page.link)}" if page.link else ""
    command = code(plain(sides.command(value) + link, 400), 400)
    return f"<sub>{compared} Locally: {command}. netreach {__version__}.</sub>"
