"""A review or listing in, a Graphviz graph out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.report import graph
from bot.report.escape import plain
from bot.report.graph import Edge

if TYPE_CHECKING:
    from bot.review import Listing, Review

STYLES = {
    "opened": 'color="red"',
    "widened": 'color="orange"',
    "narrowed": 'color="blue", style="dashed"',
    "closed": 'color="darkgreen", style="dashed"',
    "open": 'color="black"',
}


def review(value: Review) -> str:
    """The groups of changed paths."""
    return drawn(graph.review(value))


def listing(value: Listing) -> str:
    """The open paths."""
    return drawn(graph.listing(value))


def drawn(edges: Sequence[Edge]) -> str:
    """The graph, nodes in the order they appear."""
    nodes = {name: f"n{index}" for index, name in enumerate(dict.fromkeys(name for edge in edges for name in edge[:2]))}
    lines = ["digraph netreach {", "  rankdir=LR;", '  node [shape="box", style="rounded", fontname="sans-serif"];']
    lines += [f"  {node} [label={_quoted(name)}];" for name, node in nodes.items()]
    lines += [
        f"  {nodes[e.source]} -> {nodes[e.destination]} [label={_quoted(e.label)}, {STYLES[e.change]}];" for e in edges
    ]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = plain(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
