"""Rows of pods that are not in Git alone go with their likes, and never hide more than they repeat."""

from __future__ import annotations

from bot.reachability.change import EndpointFacts
from bot.report.fold import rows
from bot.report.words import Names
from tests.report.reviews import ENDPOINTS, PRODUCTION, WIDENED, change

OTHER = EndpointFacts("any other pod in any other namespace", "hypothetical")
NAMES = Names(ENDPOINTS | {OTHER.id: OTHER})
KNOWN = change("opened", ("shop/svc-0",), ("batch/job-0",), causes=(WIDENED,))
ALONE = change("opened", (PRODUCTION.id,), ("batch/job-0",), causes=(WIDENED,), hypothetical=1)
ANYONE = change("opened", (OTHER.id,), ("batch/job-0",), causes=(WIDENED,), hypothetical=1)


def test_a_row_of_such_pods_alone_is_counted_beside_its_like() -> None:
    assert rows((ALONE, KNOWN), NAMES, ()) == [KNOWN._replace(paths=2, hypothetical=1)]


def test_it_stays_without_a_like() -> None:
    closed = ALONE._replace(change="closed")
    assert rows((KNOWN, closed), NAMES, ()) == [KNOWN, closed]
    assert rows((KNOWN, ALONE._replace(causes=())), NAMES, ()) == [KNOWN, ALONE._replace(causes=())]
    assert rows((ALONE,), NAMES, ()) == [ALONE]


def test_any_pod_at_all_is_not_hidden() -> None:
    assert rows((KNOWN, ANYONE), NAMES, ()) == [KNOWN, ANYONE]
    wide = change("opened", ("shop/svc-0", OTHER.id), ("batch/job-0",), causes=(WIDENED,), hypothetical=1)
    assert rows((wide, ANYONE), NAMES, ()) == [wide._replace(paths=3, hypothetical=2)]


def test_what_blocks_is_not_hidden_and_comes_first() -> None:
    exposed = ALONE._replace(severity="internet")
    assert rows((KNOWN, exposed), NAMES, ("internet",)) == [exposed, KNOWN]
