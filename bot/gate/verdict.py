"""Changes, what could not be read and what was set to fail in, the verdict and its exit code out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from bot.reachability.change import Change

FAIL_ON = ("rule", "lint-error", "internet", "any-opened", "any-change", "never")
"""What `--fail-on` may name. `never` switches the others off."""

class Severe(Protocol):
    """A finding of lint: error, warning or info."""

    @property
    def severity(self) -> str:
        """Which of them."""


_WORST_FIRST = ("blocked", "incomplete", "look", "allowed", "pass")


def blocks(change: Change, fail_on: Sequence[str]) -> bool:
    """Whether this row alone fails the gate. What an allow entry answers for does not."""
    if "never" in fail_on or change.allowed_by:
        return False
    if "any-change" in fail_on or ("rule" in fail_on and change.rule and change.rule_severity == "block"):
        return True
    opens = change.change in ("opened", "widened")
    return opens and ("any-opened" in fail_on or ("internet" in fail_on and change.severity == "internet"))


def verdict(changes: Iterable[Change], incomplete: bool, fail_on: Sequence[str], failed: bool = False) -> str:
    """`blocked` outranks `incomplete`, then `look` (something changed), `allowed` (and is answered for) and `pass` (nothing did).

    `failed`: a rule or an expectation is broken that `fail_on` makes a failure.
    """
    found = {"blocked" if blocks(change, fail_on) else "allowed" if change.allowed_by else "look" for change in changes}
    if failed:
        found.add("blocked")
    if incomplete:
        found.add("incomplete")
    return worst(found)


def rule_fails(severity: str, fail_on: Sequence[str]) -> bool:
    """Whether a broken rule of this severity fails the gate."""
    return severity == "block" and "rule" in fail_on and "never" not in fail_on


def lint_fails(found: Iterable[Severe], fail_on: Sequence[str]) -> bool:
    """Whether these findings of lint fail the gate: an error does where `lint-error` is asked for."""
    return "lint-error" in fail_on and "never" not in fail_on and any(one.severity == "error" for one in found)


def worst(verdicts: Iterable[str]) -> str:
    """The verdict of several environments together; none at all: `pass`."""
    return min(verdicts, key=_WORST_FIRST.index, default="pass")


def exit_code(verdict: str, any_difference: bool = False, on_incomplete: str = "fail") -> int:
    """1 for `blocked`, 3 for `incomplete` unless that only warns, else 0; with `any_difference` also 1 for what was let through."""
    if verdict == "incomplete" and on_incomplete == "fail":
        return 3
    return int(verdict == "blocked" or (any_difference and verdict != "pass"))
