"""The repository's expectations and both sides in; which do not hold, and whether that is this change's doing, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.gate.expectations import Expectation
from bot.gate.verify import Answers, check
from bot.sources.select import EXPECTATION_FILES

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot
    from bot.policies.model import Lowered


class Broken(NamedTuple):
    """An expectation that does not hold on the head. `newly`: it held on the base. `got`, `egress`, `ingress`: as in Answer."""

    expectation: Expectation
    newly: bool
    got: str
    egress: str
    ingress: str
    why: str


class Expected(NamedTuple):
    """What comes of a file of expectations. `unmatched`: those with an end that the head does not have, and whether the base had it."""

    file: str
    total: int
    held: int
    broken: tuple[Broken, ...]
    unmatched: tuple[tuple[Expectation, str, bool], ...]
    mended: int

    @property
    def fails(self) -> bool:
        """Whether this change broke something."""
        return any(one.newly for one in self.broken) or any(there for _, _, there in self.unmatched)


def expectations_of(contents: Mapping[str, bytes]) -> tuple[str, tuple[Expectation, ...]] | None:
    """The file of a side and what it expects; None where there is none. Raises UsageError."""
    from bot.gate.expectations import parse

    for name in EXPECTATION_FILES:
        if name in contents:
            return name, parse(name, contents[name])
    return None


def compare(
    file: str,
    expectations: Sequence[Expectation],
    base: tuple[Snapshot, Lowered],
    head: tuple[Snapshot, Lowered],
) -> Expected:
    """Each side with its own chain, lowered as if it were the only one."""
    before, after = check(expectations, *base), check(expectations, *head)
    held = _held(before)
    there = {id(one.expectation) for one in before.answers}
    broken = tuple(
        Broken(one.expectation, id(one.expectation) in held, one.got, one.egress, one.ingress, one.why)
        for one in after.answers
        if not one.held
    )
    unmatched = tuple((one, why, id(one) in there) for one, why in after.unmatched)
    mended = sum(one.held and id(one.expectation) not in held for one in after.answers)
    total = len(expectations)
    return Expected(file, total, total - len(broken) - len(unmatched), broken, unmatched, mended)


def _held(answers: Answers) -> set[int]:
    """By identity: one line of JSON may have them all."""
    return {id(one.expectation) for one in answers.answers if one.held}
