"""Staged policies enforce nothing, and a review says what those that a pull request adds or edits would do if they did.

Source: semantics of Staged{Network,GlobalNetwork,KubernetesNetwork}Policy, api/pkg/apis/projectcalico/v3 `stagednetworkpolicy.go`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.cli import main
from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import compare
from bot.reachability.change import Change
from bot.reachability.staged import if_enforced
from bot.report import annotations as remarks
from bot.report import json as written
from bot.report import markdown, stored, text
from bot.review import Settings, review_folders
from tests.policies.worlds import snapshot

FIXTURE = Path(__file__).parents[3] / "fixtures" / "calico-external-egress"
STAGED = FIXTURE / "pull-requests" / "staged-only-the-bank"
PODS = "".join(
    f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\n"
    f"spec: {{template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c}}]}}}}}}\n---\n"
    for name in ("web", "db")
)
NOBODY = "{selector: \"app == 'db'\", types: [Ingress]}"
WEB_ALONE = (
    "{selector: \"app == 'db'\", types: [Ingress], ingress: [{action: Allow, source: {selector: \"app == 'web'\"}}]}"
)


def calico(kind: str, spec: str) -> str:
    where = "" if "Global" in kind else ", namespace: shop"
    return f"apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: p{where}}}\nspec: {spec}\n---\n"


def acting(action: str, spec: str) -> str:
    return spec.replace("{", f"{{stagedAction: {action}, ", 1)


def rows(base: str, head: str) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]] | None:
    """What would open and close between known workloads; None where nothing new is staged. Nothing does open or close."""
    reader = Reader()
    before, after = snapshot(PODS + base, reader), snapshot(PODS + head, reader)
    lowered = lower(before, after, "calico")
    assert lowered.problems_head == ()
    assert compare(before, after, lowered).changes == ()
    if lowered.staged is None:
        return None
    return [_known(row) for row in if_enforced(after, lowered, lowered.staged).changes if row.hypothetical != row.paths]


def _known(row: Change) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    sources, destinations = (
        tuple(name for name in ids if name.startswith("shop/")) for ids in (row.sources, row.destinations)
    )
    return row.change, sources, destinations


@pytest.mark.parametrize(
    "staged",
    [
        calico("StagedGlobalNetworkPolicy", NOBODY),
        calico("StagedNetworkPolicy", NOBODY),
        calico("StagedKubernetesNetworkPolicy", "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}"),
        calico("StagedKubernetesNetworkPolicy", "{stagedAction: Set, podSelector: {matchLabels: {app: db}}}"),
    ],
)
def test_what_it_would_close(staged: str) -> None:
    assert ("closed", ("shop/db", "shop/web"), ("shop/db",)) in (rows("", staged) or [])


@pytest.mark.parametrize("kind", ["StagedGlobalNetworkPolicy", "StagedNetworkPolicy"])
def test_it_takes_the_place_of_the_policy_of_its_kind_and_name(kind: str) -> None:
    there = calico(kind.removeprefix("Staged"), NOBODY)
    assert rows(there, there + calico(kind, WEB_ALONE)) == [("opened", ("shop/web",), ("shop/db",))]


def test_a_staged_kubernetes_policy_takes_the_place_of_the_network_policy() -> None:
    there = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: {podSelector: {}}\n---\n"
    staged = calico("StagedKubernetesNetworkPolicy", "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}")
    assert rows(there, there + staged) == [("opened", ("shop/db", "shop/web"), ("shop/db", "shop/web"))]


def test_one_that_deletes() -> None:
    there = calico("GlobalNetworkPolicy", NOBODY)
    found = rows(there, there + calico("StagedGlobalNetworkPolicy", acting("Delete", NOBODY))) or []
    assert ("opened", ("shop/db", "shop/web"), ("shop/db",)) in found


@pytest.mark.parametrize("action", ["Learn", "Ignore"])
def test_other_actions_do_nothing(action: str) -> None:
    assert rows("", calico("StagedGlobalNetworkPolicy", acting(action, NOBODY))) == []


def test_one_that_was_there_is_no_news() -> None:
    staged = calico("StagedGlobalNetworkPolicy", NOBODY)
    assert rows(staged, staged) is None
    assert rows(staged, "") is None


def test_one_that_is_edited_is() -> None:
    staged, edited = (calico("StagedGlobalNetworkPolicy", spec) for spec in (NOBODY, WEB_ALONE))
    found = rows(staged, edited) or []
    assert sorted(found) == [("closed", (), ("shop/db",)), ("closed", ("shop/db",), ("shop/db",))]


# --- in reports ---


def test_it_counts_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    sides = (str(FIXTURE / "base"), str(STAGED))
    assert main(["diff", "--dirs", *sides, "--fail-on", "any-change", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (environment,) = document["environments"]
    assert document["verdict"] == environment["verdict"] == "pass"
    assert environment["changes"] == []
    assert set(environment["totals"].values()) == {0}
    staged = environment["staged"]
    assert staged["policies"] == [
        {"object": "StagedGlobalNetworkPolicy only-the-bank (tier default)", "file": "staged.yaml", "lines": [2, 26]}
    ]
    known = [
        (row["change"], row["from"][:1], row["to"]) for row in staged["changes"] if row["hypothetical"] < row["paths"]
    ]
    assert ("closed", ["shop/payments"], ["internet"]) in known
    assert ("narrowed", ["shop/payments"], ["203.0.113.7/32"]) in known
    assert {cause["file"] for row in staged["changes"] for cause in row["causes"]} == {"staged.yaml"}
    assert {name for row in staged["changes"] for end in ("from", "to") for name in row[end]} <= staged[
        "endpoints"
    ].keys()


def test_every_report_says_so() -> None:
    value = review_folders(str(FIXTURE / "base"), str(STAGED), Settings())
    shown = text.plain(text.review(value))
    assert "staged: StagedGlobalNetworkPolicy only-the-bank (tier default) enforces nothing" in shown
    assert "= if enforced, this would open 1 path, close 1 path and change the ports of 1 path" in shown
    assert "would close shop/payments" in shown
    page = markdown.review(value)
    assert "<b>Staged policies</b>: if enforced, this would open 1 path, close 1 path" in page
    assert "| close | `shop/payments`" in page
    assert page.startswith("### ✅ netreach: no path opened or closed")


def test_a_remark_stands_at_its_lines() -> None:
    value = review_folders(str(FIXTURE / "base"), str(STAGED), Settings())
    (remark,) = remarks.review(value)
    assert remark[:4] == ("notice", "staged.yaml", 2, 26)
    assert remark.title.startswith("StagedGlobalNetworkPolicy only-the-bank")
    assert remark.message.startswith("if enforced, this would")
    assert remarks.findings(value) == []


def test_a_stored_report_makes_the_same_comment() -> None:
    value = review_folders(str(FIXTURE / "base"), str(STAGED), Settings())
    again = stored.parse(json.loads(written.dumps(written.review(value))))
    assert markdown.review(again) == markdown.review(value)
    assert text.plain(text.review(again)) == text.plain(text.review(value))
