"""The check run on the local GitHub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.errors import GitError
from bot.github import checks
from bot.github.checks import Outcome
from bot.github.client import connect
from bot.report.annotations import Annotation
from tests.github.conftest import QUICK
from tests.github.local import REPOSITORY, Fault, GitHub
from tests.report import reviews

HEAD = "b7d4e117c0a2" + "0" * 28
ROWS = tuple(Annotation("warning", f"k8s/{i}.yaml", i, i, f"title {i}", f"message {i}") for i in range(1, 121))
PATCH = "PATCH .*/check-runs"


@pytest.fixture
def repository(github: GitHub) -> Iterator[object]:
    yield connect("ghs_actions", github.url, QUICK).get_repo(REPOSITORY)


def only(github: GitHub) -> dict:
    (run,) = github.runs.values()
    return run


def test_life_of_a_check(github: GitHub, repository):
    identity = checks.external_id(482, "9f31c02be415aaaa")
    assert identity == "pr:482;base:9f31c02be415;cfg:"
    run = checks.start(repository, HEAD, identity)
    assert checks.start(repository, HEAD, identity).id == run.id
    checks.progress(run, "comparing")
    assert only(github)["status"] == "in_progress"
    checks.finish(run, checks.outcome(reviews.BLOCKED, "https://github.com/o/r/blob"))
    assert (only(github)["status"], only(github)["conclusion"]) == ("completed", "failure")
    assert only(github)["output"]["title"].startswith("blocked. ")
    again = checks.start(repository, HEAD, identity)
    assert again.id != run.id


def test_120_annotations_three_requests_one_conclusion(github: GitHub, repository):
    run = checks.start(repository, HEAD, "x")
    checks.finish(run, Outcome("failure", "t", "s", ROWS))
    kept = github.annotations[run.id]
    assert [row["path"] for row in kept] == [row.file for row in ROWS]
    patches = [call.body for call in github.calls if call.method == "PATCH"]
    assert [len(body["output"]["annotations"]) for body in patches] == [50, 50, 20]
    assert ["conclusion" in body for body in patches] == [False, False, True]


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("status", [502, 0])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_fault_doubles_no_annotation(github: GitHub, repository, after: bool, status: int, at: int):
    run = checks.start(repository, HEAD, "x")
    for index in range(3):
        github.fail(Fault(PATCH, status, after=after) if index == at else Fault(PATCH, 200, delay=0.001))
    checks.finish(run, Outcome("success", "t", "s", ROWS))
    assert [row["path"] for row in github.annotations[run.id]] == [row.file for row in ROWS]
    assert only(github)["conclusion"] == "success"


def test_finish_after_a_crash_goes_on(github: GitHub, repository):
    run = checks.start(repository, HEAD, "x")
    first = Outcome("failure", "t", "s", ROWS[:50])
    checks._patch(run, {"status": "in_progress", "output": {"title": "t", "summary": "s", "annotations": [
        checks._annotation(row) for row in first.annotations]}})  # fmt: skip
    checks.finish(checks.start(repository, HEAD, "x"), Outcome("failure", "t", "s", ROWS))
    assert len(github.annotations[run.id]) == 120


@pytest.mark.parametrize("status", [502, 0])
def test_created_once(github: GitHub, repository, status: int):
    github.fail(Fault("POST .*/check-runs", status, after=True))
    checks.start(repository, HEAD, "x")
    only(github)


def test_cancel(github: GitHub, repository):
    run = checks.start(repository, HEAD, "x")
    checks.cancel(run, "superseded by c90e3f2")
    assert only(github)["conclusion"] == "cancelled"
    checks.cancel(run, "again")
    assert only(github)["output"]["title"] == "superseded by c90e3f2"


def test_conclusions():
    assert [checks.conclusion(v) for v in ("pass", "allowed", "look", "blocked", "incomplete", "?")] == [
        "success", "success", "neutral", "failure", "failure", "failure"]  # fmt: skip
    assert checks.conclusion("incomplete", "warn") == "neutral"
    assert checks.worse(["success", "neutral"]) == "neutral"
    assert checks.worse(["neutral", "failure", "success"]) == "failure"
    assert checks.failed(GitError("no `x`")).conclusion == "failure"


@pytest.mark.parametrize("review", [reviews.BLOCKED, reviews.LOOK, reviews.PASS, reviews.INCOMPLETE, reviews.hostile()])
def test_outcomes_are_taken(github: GitHub, repository, review):
    run = checks.start(repository, HEAD, "x")
    checks.finish(run, checks.outcome(review))
    assert len(only(github)["output"]["summary"]) <= 65_535
