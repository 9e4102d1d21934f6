"""Styled lines in, colours on a terminal out (the only user of Rich)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from bot.report.text import Line

COLOURS = {
    "title": "bold",
    "error": "bold red",
    "warning": "yellow",
    "note": "cyan",
    "incomplete": "bold magenta",
    "good": "green",
    "place": "blue",
    "dim": "dim",
}


def write(lines: Iterable[Line], stream: TextIO) -> None:
    """Print the lines; markup inside them is not read."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in lines:
        console.print(Text.assemble(*((text, COLOURS.get(style, "")) for style, text in line)))
