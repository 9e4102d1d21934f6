"""NP140: what is ignored without a reason, or ignores nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import TYPE_CHECKING

from bot.lint import registry
from bot.lint.finding import WARNING, Draft, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.lint.suppress import Suppression

RULE = Rule(
    id="NP140",
    name="suppression-unused",
    severity=WARNING,
    detects="A `netreach/ignore` annotation or a `# netreach: ignore[...]` comment that gives no reason, names no rule "
    "that there is, or ignores nothing any more.",
    why="A suppression without a reason cannot be judged by the next reader, and takes no effect. One that outlived "
    "its finding hides the next one.",
    bad="""\
metadata:
  name: api
  annotations:
    netreach/ignore: NP020
""",
    fix="Give a reason in brackets, or remove the suppression.",
    good="""\
metadata:
  name: api
  annotations:
    netreach/ignore: NP020[the mesh picks its ports at start]
""",
)


def of(found: Iterable[Suppression], used: Set[Suppression], off: frozenset[str]) -> Iterator[Draft]:
    """One finding for each suppression that does nothing; one of a rule that is switched off is left alone."""
    for one in found:
        entry = registry.BY_ID.get(one.rule) or registry.BY_NAME.get(one.rule)
        if entry is None:
            words = f"there is no rule {one.rule[:60]}, so nothing is ignored"
        elif not one.reason:
            words = f"{entry.id} is to be ignored, but no reason is given: it is not ignored"
        elif one in used or entry.id in off or entry.name in off:
            continue
        else:
            words = f"{entry.id} is to be ignored ({one.reason[:100]}), and there is no such finding"
        fix = f"{entry.id if entry else 'RULE'}[reason]" if not one.reason else "remove it"
        path = one.path or ("#", one.line)
        yield Draft(RULE, WARNING, one.object, path, words, fix, about=one.rule)


def check(context: Context) -> Iterable[Draft]:
    """Nothing: suppressions are judged after all rules."""
    return ()
