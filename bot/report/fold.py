"""The rows of a review in, the rows of a table out: what is only about pods that are not in Git goes with its likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.gate.verdict import blocks
from bot.reachability.change import Change
from bot.report.words import Names, anyone

if TYPE_CHECKING:
    from bot.review import Review


def folded(review: Review) -> Review:
    """The review with the rows that tables show; totals stay as they are."""
    environments = tuple(
        one._replace(changes=tuple(rows(one.changes, Names(one.endpoints, one.sizes), review.fail_on)))
        for one in review.environments
    )
    return review._replace(environments=environments)


def rows(changes: Sequence[Change], names: Names, fail_on: Sequence[str]) -> list[Change]:
    """Blocked rows first, else in the order given.

    A row that the review itself found alike to another one is added to that one (its number of paths). So is a row of pods
    that are not in Git alone, to the first row with known workloads that has the same change, traffic and causes. Neither
    happens where it blocks and that one does not, that one is allowed and it is not, or it speaks of any pod at all and that one does not.
    """
    ordered = sorted(changes, key=lambda row: not blocks(row, fail_on))
    known: dict[tuple[object, ...], int] = {}
    for index, row in enumerate(ordered):
        if row.hypothetical < row.paths:
            known.setdefault(_alike(row), index)
    kept = dict(enumerate(ordered))
    by_id = {row.id: index for index, row in enumerate(ordered)}
    for index, row in enumerate(ordered):
        place = by_id.get(row.alike)
        if place is None and row.hypothetical == row.paths:
            place = known.get(_alike(row))
        if place is None or place not in kept:
            continue
        like = kept[place]
        redder = blocks(row, fail_on) > blocks(like, fail_on) or (like.allowed_by and not row.allowed_by)
        if not redder and _anyone(row, names) <= _anyone(like, names):
            del kept[index]
            kept[place] = like._replace(paths=like.paths + row.paths, hypothetical=like.hypothetical + row.hypothetical)
    return list(kept.values())


def _alike(row: Change) -> tuple[object, ...]:
    traffic = (row.before, row.after, row.before_possible, row.after_possible)
    return (row.change, traffic, tuple((cause.object, cause.change) for cause in row.causes), row.endpoint)


def _anyone(row: Change, names: Names) -> set[str]:
    """The ends at which the row speaks of any pod in any namespace."""
    ends = (("from", row.sources), ("to", row.destinations))
    return {end for end, ids in ends if any(anyone(names.facts(name)) for name in ids)}
