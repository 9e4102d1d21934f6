"""The environments of a review in; those that nothing is to be said of, and one sentence on all of them, out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bot.report.words import number

if TYPE_CHECKING:
    from bot.review import Environment, Review

NAMED = 10


def quiet(review: Review) -> list[Environment]:
    """Where no path, policy, finding, rule or note differs, if there are other environments."""
    return [one for one in review.environments if _is_quiet(one)] if len(review.environments) > 1 else []


def _is_quiet(value: Environment) -> bool:
    if value.verdict != "pass" or value.changes or value.changed_objects or value.incomplete or value.notes:
        return False
    if (
        value.staged is not None
        or value.later is not None
        or (value.lint is not None and (value.lint.new or value.lint.fixed))
    ):
        return False
    if value.gated is None and value.expected is None and not value.audit:
        return True
    from bot.report.gated import told

    return not told(value)


def sentence(found: Sequence[Environment], shown: Callable[[str], str]) -> tuple[str, str]:
    """How many they are and their names, and what they have that is alike on both sides. `shown`: how a name is written."""
    names = ", ".join(shown(one.name) for one in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    places, remarks = sum(len(one.coverage) for one in found), sum(len(one.remarks) for one in found)
    rest = [f"{number(places, 'place')} not read on either side"] if places else []
    rest += [f"{number(remarks, 'note')} before and after alike"] if remarks else []
    return f"{number(len(found), 'environment')} ({names}{more})", ", ".join(rest)
