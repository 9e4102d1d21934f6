"""A review in, the workflow commands that make GitHub Actions show it at the lines out (Workflow commands, docs.github.com)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.report.annotations import Annotation, findings
from bot.report.escape import plain

if TYPE_CHECKING:
    from bot.review import Review

# Actions shows ten of each level for a step.
MOST_EACH = 10
MOST = 20
_COMMANDS = {"failure": "error", "warning": "warning", "notice": "notice"}


def review(value: Review, most: int = MOST) -> str:
    """At most `most` commands, ten of a level, one a line; how many were left out comes last."""
    out: list[str] = []
    shown = dict.fromkeys(_COMMANDS, 0)
    left = 0
    for row in findings(value):
        level = row.annotation.level
        if shown[level] >= MOST_EACH or len(out) >= most:
            left += 1
            continue
        shown[level] += 1
        out.append(command(row.annotation))
    if left and out:
        out.append(f"{left:,} more remarks are not shown at their lines: the summary has them.")
    return "".join(f"{line}\n" for line in out)


def command(value: Annotation) -> str:
    """One workflow command, on one line whatever the texts hold."""
    properties = []
    if value.file:
        properties.append(f"file={_property(value.file)}")
        if value.first:
            properties += [f"line={value.first}", f"endLine={value.last}"]
    if value.title:
        properties.append(f"title={_property(plain(value.title))}")
    return f"::{_COMMANDS[value.level]} {','.join(properties)}::{data(value.message)}"


def data(text: str) -> str:
    """The message of a command."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return data(text).replace(":", "%3A").replace(",", "%2C")
