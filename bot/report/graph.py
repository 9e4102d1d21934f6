"""A review or listing in, the edges of a picture out: sets of endpoints as nodes, so that a picture stays readable."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.report.fold import folded
from bot.report.words import Names, change_ports, plain_set, state

if TYPE_CHECKING:
    from bot.review import Environment, Listing, Review


class Edge(NamedTuple):
    """From one named set to another. `change`: opened, closed, widened, narrowed, or open for a listing."""

    source: str
    destination: str
    label: str
    change: str


def review(value: Review) -> list[Edge]:
    """An edge for each group of changed paths, in the order of the report."""
    out: list[Edge] = []
    for one in folded(value).environments:
        prefix = f"{one.name}: " if len(value.environments) > 1 else ""
        out += environment(one, prefix)
    return out


def environment(value: Environment, prefix: str = "") -> list[Edge]:
    """The edges of one environment, the name of every node after `prefix`."""
    names = Names(value.endpoints, value.sizes)
    out: list[Edge] = []
    for change in value.changes:
        source, destination = (prefix + plain_set(names.parts(ids), 3) for ids in (change.sources, change.destinations))
        out.append(Edge(source, destination, f"{change.change} {change_ports(change, value.universe)}", change.change))
    return out


def listing(value: Listing) -> list[Edge]:
    """An edge for each open path."""
    return [
        Edge(path.source, path.destination, state(path.open, path.possible, value.universe), "open")
        for path in value.paths
    ]
