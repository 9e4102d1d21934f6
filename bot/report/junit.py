"""A verification in, JUnit XML out: a test case for each expectation, as CI systems show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.report.escape import plain
from bot.report.sides import place
from bot.report.text import expected

if TYPE_CHECKING:
    from bot.review import Verification


def verification(value: Verification) -> str:
    """Failures for what does not hold or names an end that is not there; an error for what could not be read."""
    failed = len(value.failed) + len(value.unmatched)
    total, errors = value.total + len(value.incomplete), len(value.incomplete)
    counts = f'tests="{total}" failures="{failed}" errors="{errors}"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="netreach" {counts}>']
    lines.append(f'  <testsuite name="expectations" {counts}>')
    lines += [f"    {_case(row)}/>" for row in value.passed]
    for broken in value.failed:
        got = f"got {broken.got} (egress {broken.egress}, ingress {broken.ingress})"
        lines += _problem(broken.expectation, "failure", got, broken.why)
    for missing in value.unmatched:
        why = str(missing.get("why", ""))
        lines += _problem(missing, "failure", f"unmatched: {why}", why)
    for row in value.incomplete:
        lines.append(f'    <testcase classname="netreach.incomplete" name="{_text(place(row.file, row.lines))}">')
        lines += [f'      <error message="{_text(row.reason)}"/>', "    </testcase>"]
    return "\n".join([*lines, "  </testsuite>", "</testsuites>", ""])


def _problem(row: Mapping[str, object], tag: str, message: str, why: str) -> list[str]:
    body = f'      <{tag} message="{_text(message)}">{_text(why)}</{tag}>'
    return [f"    {_case(row)}>", body, "    </testcase>"]


def _case(row: Mapping[str, object]) -> str:
    return f'<testcase classname="netreach.expectations" name="{_text(expected(row))}"'


def _text(text: str) -> str:
    from xml.sax.saxutils import escape

    return escape(plain(text, 1000), {'"': "&quot;", "\n": " "})
