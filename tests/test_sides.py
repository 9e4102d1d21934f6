"""What of two sides could not be read, told apart: new with the change (incomplete), or alike on both sides (coverage)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot import review
from bot.errors import NoManifests, UsageError
from bot.sides import unread
from bot.sources import Files, Unread

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: s}\nspec: {containers: [{name: a, image: a}]}\n"
REFUSED = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: s}
spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: nonsense}}]}]}
"""
TEMPLATE = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Values.name }}\n"


def _sides(
    tmp_path: Path, base: str, head: str, settings: review.Settings | None = None
) -> tuple[list[str], list[str]]:
    """The places that are incomplete, and those of the coverage."""
    for name, text in (("base", base), ("head", head)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.yaml").write_text(text, encoding="utf-8")
    found = review.review_folders(str(tmp_path / "base"), str(tmp_path / "head"), settings or review.Settings())
    environment = found.environments[0]
    assert (found.verdict == "incomplete") == bool(environment.incomplete)
    return [
        [f"{row.lines[0] if row.lines else 0} {row.reason.split(':')[0]}" for row in rows]
        for rows in (environment.incomplete, environment.coverage)
    ]  # type: ignore[return-value]


BROKEN = "apiVersion: v1\nkind: Pod\nmetadata: [\n"


@pytest.mark.parametrize("fault", [TEMPLATE, REFUSED, BROKEN], ids=["template", "refused", "broken"])
def test_a_new_fault_is_incomplete_and_an_old_one_is_coverage(fault: str, tmp_path: Path) -> None:
    incomplete, coverage = _sides(tmp_path / "new", POD, f"{POD}---\n{fault}")
    assert (len(incomplete), coverage) == (1, [])
    incomplete, coverage = _sides(tmp_path / "old", f"{POD}---\n{fault}", f"{POD}---\n{fault}")
    assert (incomplete, len(coverage)) == ([], 1)
    incomplete, coverage = _sides(tmp_path / "gone", f"{POD}---\n{fault}", POD)
    assert (incomplete, len(coverage)) == ([], 1)


@pytest.mark.parametrize("fault", [TEMPLATE, REFUSED, BROKEN], ids=["template", "refused", "broken"])
def test_an_old_fault_stays_coverage_when_another_document_of_its_file_changes(fault: str, tmp_path: Path) -> None:
    incomplete, coverage = _sides(tmp_path, f"{POD}---\n{fault}", f"# moved\n{POD.replace('a}', 'b}')}---\n{fault}")
    assert (incomplete, len(coverage)) == ([], 1)


def test_a_fault_in_a_changed_document_is_incomplete(tmp_path: Path) -> None:
    incomplete, coverage = _sides(tmp_path, f"{POD}---\n{TEMPLATE}", f"{POD}---\n{TEMPLATE}  namespace: x\n")
    assert (len(incomplete), coverage) == (1, [])


def _files(*rows: Unread) -> Files:
    return Files("x", None, {}, list(rows))


@pytest.mark.parametrize(("before", "after", "incomplete"), [("1", "1", 0), ("1", "2", 1), (None, None, 1)])
def test_an_unread_file_is_coverage_only_where_its_content_is_known_to_be_the_same(
    before: str | None, after: str | None, incomplete: int
) -> None:
    from bot.manifests.snapshot import Snapshot
    from bot.policies.compile import lower

    empty = Snapshot()
    sides = [_files(Unread("big.yaml", None, "too large", None, content)) for content in (before, after)]
    found, _ = unread(sides[0], sides[1], empty, empty, lower(empty, empty))
    assert len(found) == incomplete


def test_a_thousand_faults_are_told_apart_in_time(tmp_path: Path) -> None:
    faults = "---\n".join(REFUSED.replace("name: p", f"name: p{number}") for number in range(1000))
    incomplete, coverage = _sides(tmp_path, f"{POD}---\n{faults}", f"{POD.replace('a}', 'b}')}---\n{faults}")
    assert (incomplete, len(coverage)) == ([], 1000)


def test_the_context_is_in_both_sides_and_what_the_repository_says_wins(tmp_path: Path) -> None:
    context = tmp_path / "context.yaml"
    context.write_text(f"{POD}---\n{POD.replace('name: a,', 'name: elsewhere,')}", encoding="utf-8")
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "a.yaml").write_text(POD.replace("metadata: {", "metadata: {labels: {own: '1'}, "), "utf-8")
    found = review.listing(review.Place(str(tmp_path / "k8s")), review.Settings(context=str(context)))
    assert {"s/a", "s/elsewhere"} <= found.endpoints.keys()
    assert found.endpoints["s/a"].labels == (("own", "1"),)


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POD, encoding="utf-8")
    with pytest.raises(UsageError, match=r"--context nowhere\.yaml: No such file"):
        review.listing(review.Place(str(tmp_path)), review.Settings(context="nowhere.yaml"))


def test_no_manifests(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n", encoding="utf-8")
    with pytest.raises(NoManifests):
        review.listing(review.Place(str(tmp_path)), review.Settings())
    assert review.listing(review.Place(str(tmp_path)), review.Settings(allow_empty=True)).incomplete == ()
