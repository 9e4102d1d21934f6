"""What generate rules do to namespaces that are created after a change alone, as a review tells it (docs/kyverno.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.report import json as written
from bot.report import markdown, stored, text
from bot.review import Aside, Review, Settings, review_folders
from tests.manifests.kyverno.objects import DENY, namespace, policy, rule, target

SHOP = namespace("shop", team="blue")
OPEN: dict[str, Any] = {"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}}


def review(tmp_path: Path, base: list[dict[str, Any]], head: list[dict[str, Any]]) -> Review:
    for name, objects in (("base", base), ("head", head)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    return review_folders(str(tmp_path / "base"), str(tmp_path / "head"), Settings())


def later(value: Review) -> Aside | None:
    (environment,) = value.environments
    assert environment.changes == ()
    assert set(environment.totals) == {0}
    return environment.later


def ends(found: Aside | None) -> set[str]:
    """The namespaces in which something would be closed."""
    assert found is not None
    assert {row.change for row in found.changes} == {"closed"}
    return {
        found.endpoints[name].namespace
        for row in found.changes
        for name in (*row.sources, *row.destinations)
        if found.endpoints[name].namespace not in ("", "shop")
    }


def test_a_policy_that_comes_after_its_namespaces(tmp_path: Path) -> None:
    value = review(tmp_path, [SHOP], [SHOP, policy()])
    found = later(value)
    assert value.verdict == "pass"
    assert ends(found) == {"new-namespace"}
    assert found is not None
    assert [(title, file) for title, file, _ in found.policies] == [("ClusterPolicy p, rule r", "all.yaml")]
    assert all(cause.file == "all.yaml" for row in found.changes for cause in row.causes)


def test_one_that_asks_for_a_label_is_shown_by_a_namespace_that_has_it(tmp_path: Path) -> None:
    match = {"any": [{"resources": {"kinds": ["Namespace"], "selector": {"matchLabels": {"team": "blue"}}}}]}
    assert ends(later(review(tmp_path, [SHOP], [SHOP, policy(rule(match=match))]))) == {"new-namespace"}


def test_one_that_asks_for_a_name_is_shown_by_one_of_such_a_name(tmp_path: Path) -> None:
    match = {"any": [{"resources": {"kinds": ["Namespace"], "names": ["shop*"]}}]}
    assert ends(later(review(tmp_path, [SHOP], [SHOP, policy(rule(match=match))]))) == {"shop-x"}


def test_an_edit_without_synchronize(tmp_path: Path) -> None:
    before, after = (policy(rule(generate=target(data=data, synchronize=False))) for data in (OPEN, DENY))
    assert ends(later(review(tmp_path, [SHOP, before], [SHOP, after]))) == {"new-namespace"}


@pytest.mark.parametrize("exact", ["shop", "payments"])
def test_nothing_where_no_new_namespace_matches(tmp_path: Path, exact: str) -> None:
    match = {"any": [{"resources": {"kinds": ["Namespace"], "names": [exact]}}]}
    assert later(review(tmp_path, [SHOP], [SHOP, policy(rule(match=match))])) is None


def test_nothing_where_all_namespaces_get_it(tmp_path: Path) -> None:
    value = review(tmp_path, [SHOP], [SHOP, policy(rule(generate=target(generateExisting=True)))])
    assert value.environments[0].later is None
    assert value.environments[0].changes


def test_reports_label_it(tmp_path: Path) -> None:
    value = review(tmp_path, [SHOP], [SHOP, policy()])
    shown = text.plain(text.review(value))
    assert "later: ClusterPolicy p, rule r changes nothing for what is there already" in shown
    assert "= in a namespace created after this change, it would close" in shown
    page = markdown.review(value)
    assert "<b>Only new namespaces</b>: in a namespace created after this change, it would close" in page
    again = stored.parse(json.loads(written.dumps(written.review(value))))
    assert markdown.review(again) == page
    assert text.plain(text.review(again)) == shown
