"""What lint found in; its lines for a terminal and a comment, and its part of a JSON document, out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bot.gate.verdict import lint_fails
from bot.report import sides
from bot.report.escape import code, plain, prose
from bot.report.words import number

if TYPE_CHECKING:
    from bot.lint.finding import Finding, Lint
    from bot.report.text import Line
    from bot.review import Environment, Linted, Review, Side

ICONS = {"error": "❌", "warning": "⚠️", "info": "🔵"}
_STYLES = {"error": "error", "warning": "warning", "info": "note"}
MOST = 50


def document(finding: Finding) -> dict[str, Any]:
    """A finding as JSON."""
    out = finding._asdict()
    out["lines"] = list(finding.lines)
    return out


def compared(lint: Lint) -> dict[str, Any]:
    """A comparison as JSON."""
    return {
        "new": [document(one) for one in lint.new],
        "fixed": [document(one) for one in lint.fixed],
        "unchanged": [document(one) for one in lint.unchanged],
    }


def counts(lint: Lint) -> str:
    """`2 new, 1 fixed, 5 unchanged`; nothing for nothing."""
    parts = ((lint.new, "new"), (lint.fixed, "fixed"), (lint.unchanged, "unchanged"))
    return ", ".join(f"{len(found):,} {word}" for found, word in parts if found)


def blocking(value: Review) -> list[tuple[Finding, Environment]]:
    """The new errors that fail the gate."""
    return [
        (one, environment)
        for environment in value.environments
        if environment.lint is not None and lint_fails(environment.lint.new, value.fail_on)
        for one in environment.lint.new
        if one.severity == "error"
    ]


def lines(found: Sequence[Finding], most: int = MOST) -> list[Line]:
    """Each finding with its place and its fix."""
    out: list[Line] = []
    for one in found[:most]:
        out += [
            [(_STYLES[one.severity], f"{one.severity}[{one.rule}]"), ("", f": {plain(one.message.replace('`', ''), 1000)}")],
            [("dim", "  --> "), ("place", plain(sides.place(one.file, one.lines))), ("dim", f"  {plain(one.object)}")],
            [("dim", "   = fix: "), ("", plain(one.fix.replace("`", ""), 1000))],
        ]
    if len(found) > most:
        out.append([("dim", f"and {number(len(found) - most, 'more finding')} (--format json has all)")])
    return out


def summary(found: Sequence[Finding]) -> str:
    """`3 findings: 1 error, 2 warnings`."""
    parts = [
        number(sum(one.severity == severity for one in found), noun) if noun != "for information" else ""
        for severity, noun in (("error", "error"), ("warning", "warning"))
    ]
    told = sum(one.severity == "info" for one in found)
    shown = [part for part in parts if not part.startswith("0 ")] + ([f"{told:,} for information"] if told else [])
    return f"{number(len(found), 'finding')}{': ' if shown else ''}{', '.join(shown)}"


def table(
    lint: Lint, base: Side, head: Side, place: Callable[[Finding, Side], str], most: int, length: int
) -> str:
    """The rows of a comment: new ones first, with what mends them, then what is mended. `place`: where a finding is, on that side."""
    rows = [(ICONS[one.severity] + " new", one, head) for one in lint.new]
    rows += [("✅ fixed", one, base) for one in lint.fixed]
    out = ["| | Rule | Where | What |", "|:-:|---|---|---|"]
    for word, one, side in rows[:most]:
        words = prose(one.message, length)
        if side is head and one.fix:
            words += f". {prose(one.fix[0].upper() + one.fix[1:], length)}"
        out.append(f"| {word} | {code(one.rule)} {one.name} | {place(one, side)} | {words} |")
    text = "\n".join(out)
    if len(rows) > most:
        text += f"\n\nand {number(len(rows) - most, 'more finding')} (`netreach diff --format json` has all)."
    return text


def page(value: Linted) -> str:
    """The markdown of a whole run of lint."""
    out = [f"### netreach lint: {summary(value.findings)}"]
    if value.findings:
        out.append("\n".join(["| | Rule | Where | What | Fix |", "|:-:|---|---|---|---|", *(_row(one) for one in value.findings)]))
    return "\n\n".join(out) + "\n"


def _row(one: Finding) -> str:
    where = code(sides.place(one.file, one.lines), 120)
    return f"| {ICONS[one.severity]} | {code(one.rule)} {one.name} | {where} | {prose(one.message)} | {prose(one.fix)} |"
