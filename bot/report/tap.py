"""A verification in, the Test Anything Protocol (version 14, https://testanything.org) out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.report.escape import plain
from bot.report.sides import place
from bot.report.text import expected

if TYPE_CHECKING:
    from bot.review import Verification


def verification(value: Verification) -> str:
    """What holds first; a line for each expectation, and the reason below one that does not."""
    rows = [(True, expected(row), "") for row in value.passed]
    rows += [
        (False, expected(row.expectation), f"got {row.got} (egress {row.egress}, ingress {row.ingress}); {row.why}")
        for row in value.failed
    ]
    rows += [(False, expected(row), f"unmatched: {row.get('why', '')}") for row in value.unmatched]
    rows += [(False, f"read {place(row.file, row.lines)}", row.reason) for row in value.incomplete]
    lines = ["TAP version 14", f"1..{len(rows)}"]
    for number, (held, name, why) in enumerate(rows, 1):
        # A `#` would begin a directive such as `# SKIP`, which turns a failure into a pass.
        name = plain(name, 1000).replace("\\", "\\\\").replace("#", "\\#")
        lines.append(f"{'ok' if held else 'not ok'} {number} - {name}")
        if why:
            lines.append(f"# {plain(why, 1000)}")
    return "\n".join(lines) + "\n"
