"""A review or listing in, a Mermaid flowchart out, as GitHub draws it in a comment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.report import graph
from bot.report.escape import plain
from bot.report.graph import Edge

if TYPE_CHECKING:
    from bot.review import Listing, Review

LONGEST = 80


def review(value: Review) -> str:
    """The groups of changed paths."""
    return drawn(graph.review(value))


def listing(value: Listing) -> str:
    """The open paths."""
    return drawn(graph.listing(value))


def drawn(edges: Sequence[Edge], most: int | None = None) -> str:
    """The flowchart of the first `most` edges (all: None); how many were left out stands in it as a comment."""
    shown = edges[:most]
    nodes = {name: f"n{index}" for index, name in enumerate(dict.fromkeys(name for edge in shown for name in edge[:2]))}
    lines = ["flowchart LR", *(f'  {node}["{_escaped(name)}"]' for name, node in nodes.items())]
    for edge in shown:
        arrow = "-.->" if edge.change in ("closed", "narrowed") else "-->"
        lines.append(f'  {nodes[edge.source]} {arrow}|"{_escaped(edge.label)}"| {nodes[edge.destination]}')
    if len(shown) < len(edges):
        lines.append(f"  %% and {len(edges) - len(shown)} more")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Only letters, digits and harmless signs stand for themselves; Mermaid reads `#35;` as a character's number."""
    return "".join(
        c if c.isascii() and (c.isalnum() or c in " ./,-()*:") else f"#{ord(c)};" for c in plain(text, LONGEST)
    )
