"""Annotations, workflow commands and SARIF."""

from __future__ import annotations

import json
import re

import pytest

from bot.report import annotations as remarks
from bot.report import github, sarif
from bot.report.annotations import Annotation
from bot.review import Review
from tests.report import reviews

AT_HEAD = reviews.BLOCKED._replace(behind=0)


def test_the_most_severe_first_at_the_lines_of_the_head():
    found = remarks.review(AT_HEAD)
    assert [row.level for row in found] == ["failure", "failure", "warning", "notice"]
    deleted, widened = found[0], found[2]
    # default-deny is deleted: its file is not there any more, the workload that is left without it is.
    assert (deleted.file, deleted.first) == ("k8s/payments/pay-api.yaml", 1)
    assert (widened.file, widened.first, widened.last) == ("k8s/shop/egress.yaml", 12, 15)
    assert widened.title == "Opens 360 paths: shop/* (24) to batch/* (15), all ports"
    assert "shop/allow-egress widened (k8s/shop/egress.yaml:12-15)" in widened.message
    assert "netreach explain --base 9f31c02be415" in widened.message


def test_no_lines_where_a_merge_may_have_moved_them():
    assert {(row.first, row.last) for row in remarks.review(reviews.BLOCKED)} == {(0, 0)}
    assert "line=" not in github.review(reviews.BLOCKED)


def test_what_could_not_be_read_is_an_error_unless_that_only_warns():
    value = reviews.INCOMPLETE._replace(behind=0)
    assert [row.level for row in remarks.review(value)][:2] == ["failure", "failure"]
    assert remarks.review(value._replace(on_incomplete="warn"))[0].level == "warning"


@pytest.mark.parametrize("most", [0, 1, 2, 50])
def test_the_last_one_counts_the_rest(most: int):
    value = reviews.randomly(3, 120)
    found = remarks.review(value, most)
    assert len(found) == most
    if most > 1:
        assert re.fullmatch(r"and [\d,]+ more", found[-1].title)


def test_ten_of_a_level():
    text = github.review(reviews.randomly(3, 120), 20)
    commands = [line for line in text.splitlines() if line.startswith("::")]
    assert len(commands) <= 20
    assert all(
        sum(line.startswith(f"::{level} ") for line in commands) <= 10 for level in ("error", "warning", "notice")
    )


def test_commands_are_escaped():
    nasty = Annotation("failure", "a:b,c%\n.yaml", 3, 4, "t: x, %\r\n::error::", "m: a, b%\r\n::stop-commands::x")
    assert github.command(nasty) == (
        "::error file=a%3Ab%2Cc%25%0A.yaml,line=3,endLine=4,title=t%3A x%2C %25\\r\\n%3A%3Aerror%3A%3A"
        "::m: a, b%25%0D%0A::stop-commands::x"
    )


def test_hostile_names_stay_on_one_line():
    for line in github.review(reviews.hostile()).splitlines():
        assert line.startswith(("::error ", "::warning ", "::notice ")) or "more remark" in line


@pytest.mark.parametrize(
    "value", [AT_HEAD, reviews.LOOK, reviews.PASS, reviews.INCOMPLETE, reviews.TWO, reviews.hostile()]
)
def test_sarif(value: Review):
    text = sarif.review(value)
    assert text == sarif.review(value)
    (run,) = json.loads(text)["runs"]
    rules = run["tool"]["driver"]["rules"]
    prints = [result["partialFingerprints"]["netreach/v1"] for result in run["results"]]
    assert len(prints) == len(remarks.findings(value))
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uri"].isascii()
        assert 1 <= place["region"]["startLine"] <= place["region"]["endLine"]


def test_fingerprints_outlive_moved_lines():
    moved = AT_HEAD._replace(
        environments=tuple(
            one._replace(
                changes=tuple(
                    row._replace(causes=tuple(cause._replace(lines=(90, 99)) for cause in row.causes))
                    for row in one.changes
                )
            )
            for one in AT_HEAD.environments
        )
    )
    first, second = (
        [row["partialFingerprints"] for row in json.loads(sarif.review(value))["runs"][0]["results"]]
        for value in (AT_HEAD, moved)
    )
    assert first == second
    assert len({json.dumps(row) for row in first}) == len(first)
