"""What policies would do that do nothing to what is there in; that, in words and values of reports, out.

It stands apart from what a change opens and closes: staged policies enforce nothing, and what Kyverno generates for what is created
later alone is in no namespace yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.report import sides
from bot.report.escape import code, prose
from bot.report.escape import plain as clean
from bot.report.fold import rows
from bot.report.words import Names, cause_name, change_ports, number, path_cell, paths_beside, plain_set

if TYPE_CHECKING:
    from bot.reachability.change import Change
    from bot.review import Aside, Environment

Line = list[tuple[str, str]]
MOST = 20
VERBS = {"opened": "open", "closed": "close", "widened": "widen", "narrowed": "narrow"}


class Words(NamedTuple):
    """How a kind of aside is called, what is said of its policies, and of what they would do; the last of one and of several."""

    label: str
    title: str
    of: str
    one: str
    several: str


STAGED = Words(
    "staged",
    "Staged policies",
    "enforces nothing",
    "if enforced, this would",
    "if enforced, these would",
)
LATER = Words(
    "later",
    "Only new namespaces",
    "changes nothing for what is there already (generateExisting or synchronize is false)",
    "in a namespace created after this change, it would",
    "in a namespace created after this change, they would",
)


def asides(value: Environment) -> list[tuple[Words, Aside]]:
    """What an environment has of them."""
    found = ((STAGED, value.staged), (LATER, value.later))
    return [(words, aside) for words, aside in found if aside is not None]


def summary(words: Words, aside: Aside) -> str:
    """`if enforced, this would close 3 paths and open 1`."""
    counts = {"opened": 0, "closed": 0, "changed": 0}
    for row in aside.changes:
        counts[row.change if row.change in counts else "changed"] += row.paths
    said = [
        f"{verb} {number(counts[kind], 'path')}"
        for kind, verb in (("opened", "open"), ("closed", "close"), ("changed", "change the ports of"))
        if counts[kind]
    ]
    listed = " and ".join(said) if len(said) < 3 else f"{said[0]}, {said[1]} and {said[2]}"
    return f"{words.one if len(aside.policies) == 1 else words.several} {listed or 'change no path'}"


def lines(value: Environment) -> list[Line]:
    """The policies of each kind, and a line for each group of paths that they would open or close."""
    return [line for words, aside in asides(value) for line in ([], *_lines(value, words, aside))]


def _lines(value: Environment, words: Words, aside: Aside) -> list[Line]:
    out: list[Line] = []
    for title, file, at in aside.policies[:MOST]:
        out += [
            [("note", words.label), ("title", f": {clean(title)} {words.of}")],
            [("dim", "  --> "), ("place", clean(sides.place(file, at)))],
        ]
    if len(aside.policies) > MOST:
        out.append([("dim", f"and {len(aside.policies) - MOST} more")])
    names = Names(aside.endpoints, value.sizes)
    shown = rows(aside.changes, names, ())
    out += [[("dim", "   |")], [("dim", "   = "), ("", summary(words, aside))]]
    for row in shown[:MOST]:
        ends = [clean(plain_set(names.parts(ids)), 1000) for ids in (row.sources, row.destinations)]
        ports = clean(change_ports(row, value.universe), 1000)
        said = f"{ends[0]} -> {ends[1]}  {ports}"
        out.append([("dim", f"   = would {VERBS[row.change]} "), ("", said), ("dim", f"  {_paths(row)}")])
        out.append([("dim", "         because of "), ("place", clean(_because(row), 1000))])
    if len(shown) > MOST:
        out.append([("dim", f"   and {number(len(shown) - MOST, 'more group')} (--format json has all)")])
    return out


Cell = Callable[[tuple[str, ...], Names], str]


def sections(value: Environment, most: int, cell: Cell, length: int) -> list[tuple[str, str, str]]:
    """(title, summary, body) of each kind for the comment. `cell`: a set of endpoints as Markdown."""
    return [
        (words.title, summary(words, aside), _body(value, words, aside, most, cell, length))
        for words, aside in asides(value)
    ]


def _body(value: Environment, words: Words, aside: Aside, most: int, cell: Cell, length: int) -> str:
    names = Names(aside.endpoints, value.sizes)
    shown = rows(aside.changes, names, ())
    body = [
        f"- {code(title, length)} {words.of} ({code(sides.place(file, at), length)})"
        for title, file, at in aside.policies[:most]
    ]
    if len(aside.policies) > most:
        body.append(f"- and {len(aside.policies) - most} more")
    if shown:
        body += ["", "| Would | From | To | Ports | Because of | Paths |", "|---|---|---|---|---|--:|"]
    for row in shown[:most]:
        ends = [cell(ids, names) for ids in (row.sources, row.destinations)]
        ports = prose(change_ports(row, value.universe, "→"))
        body.append(f"| {VERBS[row.change]} | {' | '.join(ends)} | {ports} | {code(_because(row), length)} | {path_cell(row)} |")
    if len(shown) > most:
        body += ["", f"and {number(len(shown) - most, 'more group')} (`netreach diff --format json` has all)."]
    return "\n".join(body)


def _paths(row: Change) -> str:
    known = row.paths - row.hypothetical
    return f"({number(known, 'path') if known else ''}{paths_beside(row)})"


def _because(row: Change) -> str:
    return ", ".join(
        " ".join(part for part in (*cause_name(cause), cause.path, sides.place(cause.file, cause.lines)) if part)
        for cause in row.causes[:3]
    )


def document(value: Environment, endpoints: Callable[[Any], Any], change: Callable[[Change], Any]) -> dict[str, Any]:
    """The fields of the report; nothing of a kind that there is not. The other two make the values of endpoints and changes."""
    return {
        words.label: {
            "policies": [{"object": title, "file": file, "lines": list(at)} for title, file, at in aside.policies],
            "endpoints": endpoints(aside.endpoints),
            "changes": [change(row) for row in aside.changes],
        }
        for words, aside in asides(value)
    }
