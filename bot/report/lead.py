"""A review in; what its first line says out: the verdict in words, and the worst row there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.gate.verdict import blocks
from bot.report.words import number

if TYPE_CHECKING:
    from bot.reachability.change import Change
    from bot.review import Environment, Review


def verdict(value: Review) -> str:
    """`needs a look`."""
    if value.verdict == "pass":
        return "no path opened or closed"
    if value.verdict == "incomplete":
        places = sum(len(environment.incomplete) for environment in value.environments)
        return f"incomplete. {number(places, 'place')} could not be read, so this is not a pass"
    return {"blocked": "blocked", "look": "needs a look", "allowed": "changed and allowed"}[value.verdict]


def worst(value: Review) -> tuple[Change, Environment] | None:
    """The row that is told first, and its environment; none where the verdict says all."""
    if value.verdict in ("pass", "incomplete"):
        return None
    return min(rows(value), key=lambda row: _hurt(row[0], value), default=None)


def rows(value: Review) -> list[tuple[Change, Environment]]:
    """Every row of every environment."""
    return [(change, environment) for environment in value.environments for change in environment.changes]


def _hurt(change: Change, value: Review) -> tuple[bool, bool, bool]:
    """What is worth a headline first: what blocks, what opens, what is about pods that are there. Else the order of the rows."""
    gains = change.change in ("opened", "widened")
    return not blocks(change, value.fail_on), bool(change.endpoint) or not gains, change.hypothetical == change.paths
