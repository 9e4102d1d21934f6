"""What staged policies would do if they were enforced in; that, in words and values of reports, out.

It stands apart from what a change opens and closes: staged policies enforce nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bot.report import sides
from bot.report.escape import code, prose
from bot.report.escape import plain as clean
from bot.report.fold import rows
from bot.report.words import Names, cause_name, change_ports, number, plain_set

if TYPE_CHECKING:
    from bot.reachability.change import Change
    from bot.review import Environment, Staged

Line = list[tuple[str, str]]
MOST = 20
VERBS = {"opened": "open", "closed": "close", "widened": "widen", "narrowed": "narrow"}


def summary(staged: Staged) -> str:
    """`if enforced, this would close 3 paths and open 1`."""
    pronoun = "this" if len(staged.policies) == 1 else "these"
    counts = {"opened": 0, "closed": 0, "changed": 0}
    for row in staged.changes:
        counts[row.change if row.change in counts else "changed"] += row.paths
    said = [
        f"{verb} {number(counts[kind], 'path')}"
        for kind, verb in (("opened", "open"), ("closed", "close"), ("changed", "change the ports of"))
        if counts[kind]
    ]
    listed = " and ".join(said) if len(said) < 3 else f"{said[0]}, {said[1]} and {said[2]}"
    return f"if enforced, {pronoun} would {listed or 'change no path'}"


def lines(value: Environment) -> list[Line]:
    """The staged policies, and a line for each group of paths that they would open or close."""
    staged = value.staged
    if staged is None:
        return []
    out: list[Line] = []
    for title, file, at in staged.policies[:MOST]:
        place = clean(sides.place(file, at))
        out += [
            [("note", "staged"), ("title", f": {clean(title)} enforces nothing")],
            [("dim", "  --> "), ("place", place)],
        ]
    if len(staged.policies) > MOST:
        out.append([("dim", f"and {len(staged.policies) - MOST} more staged policies")])
    names = Names(staged.endpoints, value.sizes)
    shown = rows(staged.changes, names, ())
    out += [[("dim", "   |")], [("dim", "   = "), ("", summary(staged))]]
    for row in shown[:MOST]:
        ends = [clean(plain_set(names.parts(ids)), 1000) for ids in (row.sources, row.destinations)]
        verb = VERBS[row.change]
        ports = clean(change_ports(row, value.universe), 1000)
        out.append(
            [("dim", f"   = would {verb} "), ("", f"{ends[0]} -> {ends[1]}  {ports}"), ("dim", f"  {_paths(row)}")]
        )
        out.append([("dim", "         because of "), ("place", clean(_because(row), 1000))])
    if len(shown) > MOST:
        out.append([("dim", f"   and {number(len(shown) - MOST, 'more group')} (--format json has all)")])
    return out


def section(
    value: Environment, most: int, cell: Callable[[tuple[str, ...], Names], str], length: int
) -> tuple[str, str] | None:
    """(summary, body) for the comment; None where nothing is staged. `cell`: a set of endpoints as Markdown."""
    staged = value.staged
    if staged is None:
        return None
    names = Names(staged.endpoints, value.sizes)
    shown = rows(staged.changes, names, ())
    body = [
        f"- {code(title, length)} enforces nothing ({code(sides.place(file, at), length)})"
        for title, file, at in staged.policies[:most]
    ]
    if len(staged.policies) > most:
        body.append(f"- and {number(len(staged.policies) - most, 'more staged policy', 'more staged policies')}")
    if shown:
        body += ["", "| Would | From | To | Ports | Because of | Paths |", "|---|---|---|---|---|--:|"]
    for row in shown[:most]:
        ends = [cell(ids, names) for ids in (row.sources, row.destinations)]
        ports = prose(change_ports(row, value.universe, "→"))
        known = row.paths - row.hypothetical
        paths = (
            f"{known:,} +{row.hypothetical:,}" if known and row.hypothetical else f"{'' if known else '+'}{row.paths:,}"
        )
        body.append(f"| {VERBS[row.change]} | {' | '.join(ends)} | {ports} | {code(_because(row), length)} | {paths} |")
    if len(shown) > most:
        body += ["", f"and {number(len(shown) - most, 'more group')} (`netreach diff --format json` has all)."]
    return summary(staged), "\n".join(body)


def _paths(row: Change) -> str:
    known = row.paths - row.hypothetical
    also = f"{', and ' if known else ''}{row.hypothetical:,} with pods not in Git" if row.hypothetical else ""
    return f"({number(known, 'path') if known else ''}{also})"


def _because(row: Change) -> str:
    return ", ".join(
        " ".join(part for part in (*cause_name(cause), cause.path, sides.place(cause.file, cause.lines)) if part)
        for cause in row.causes[:3]
    )


def document(value: Environment, endpoints: Callable[[Any], Any], change: Callable[[Change], Any]) -> dict[str, Any]:
    """The field of the report; nothing where nothing is staged. The other two make the values of endpoints and changes."""
    staged = value.staged
    if staged is None:
        return {}
    policies = [{"object": title, "file": file, "lines": list(at)} for title, file, at in staged.policies]
    return {
        "staged": {
            "policies": policies,
            "endpoints": endpoints(staged.endpoints),
            "changes": [change(row) for row in staged.changes],
        }
    }
