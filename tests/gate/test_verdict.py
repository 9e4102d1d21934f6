"""The gate: what blocks, which verdict outranks which, and the exit codes."""

from __future__ import annotations

import pytest

from bot import config
from bot.gate.verdict import FAIL_ON, blocks, exit_code, verdict, worst
from tests.report.reviews import change

OPENED = change("opened", ("a/x",), ("b/y",), severity="namespace")
EXPOSED = change("widened", ("internet",), ("b/y",), severity="internet")
CLOSED = change("closed", ("internet",), ("b/y",), severity="closed")


@pytest.mark.parametrize(
    ("fail_on", "blocked"),
    [
        ((), ()),
        (("rule",), ()),
        (("lint-error",), ()),
        (("internet",), (EXPOSED,)),
        (("any-opened",), (OPENED, EXPOSED)),
        (("any-change",), (OPENED, EXPOSED, CLOSED)),
        (("any-change", "never"), ()),
    ],
)
def test_what_blocks(fail_on: tuple[str, ...], blocked: tuple[object, ...]) -> None:
    assert set(fail_on) <= set(FAIL_ON)
    assert tuple(row for row in (OPENED, EXPOSED, CLOSED) if blocks(row, fail_on)) == blocked


def test_blocked_outranks_incomplete_which_outranks_the_rest() -> None:
    assert verdict([], False, ()) == "pass"
    assert verdict([OPENED], False, ()) == "look"
    assert verdict([OPENED], True, ()) == "incomplete"
    assert verdict([], True, ("any-opened",)) == "incomplete"
    assert verdict([CLOSED, OPENED], True, ("any-opened",)) == "blocked"
    assert worst(["pass", "look", "incomplete"]) == "incomplete"
    assert worst(["incomplete", "blocked", "pass"]) == "blocked"
    assert worst([]) == "pass"


def test_exit_codes() -> None:
    assert [exit_code(word) for word in ("pass", "allowed", "look", "blocked", "incomplete")] == [0, 0, 0, 1, 3]
    assert [exit_code(word, True) for word in ("pass", "allowed", "look", "blocked", "incomplete")] == [0, 1, 1, 1, 3]


def test_the_settings_file_knows_the_same_words() -> None:
    assert config.FAIL_ON == FAIL_ON
