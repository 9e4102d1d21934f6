"""The tutorial of Calico, fixtures/calico-external-egress: what is open, and what each pull request on it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main

FIXTURE = Path(__file__).parents[3] / "fixtures" / "calico-external-egress"
HEADS = ["head", *sorted(f"pull-requests/{path.name}" for path in (FIXTURE / "pull-requests").iterdir())]


def _json(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict[str, Any]:
    assert main([*map(str, arguments), "--format", "json"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def _changes(capsys: pytest.CaptureFixture[str], head: str) -> list[dict[str, Any]]:
    document = _json(capsys, "diff", "--dirs", FIXTURE / "base", FIXTURE / head)
    (environment,) = document["environments"]
    found: list[dict[str, Any]] = environment["changes"]
    return found


def _broken(capsys: pytest.CaptureFixture[str], head: str) -> list[str]:
    document = _json(capsys, "verify", FIXTURE / "expectations.yaml", FIXTURE / head, code=1)
    return sorted(row["expectation"]["name"] for row in document["failed"])


def test_expectations_hold_on_base(capsys: pytest.CaptureFixture[str]) -> None:
    document = _json(capsys, "verify", FIXTURE / "expectations.yaml", FIXTURE / "base")
    assert (document["failed"], document["unmatched"], document["total"]) == ([], [], 7)


def test_a_label_of_whatever_value_escapes_the_policy(capsys: pytest.CaptureFixture[str]) -> None:
    (change,) = _changes(capsys, "head")
    assert (change["change"], change["from"], change["to"]) == ("opened", ["shop/web"], ["internet"])
    assert [cause["object"] for cause in change["causes"]] == ["Deployment shop/web"]
    assert _broken(capsys, "head") == ["web asks no resolver outside", "web does not reach the internet"]


def test_a_policy_of_a_lower_order_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    (change,) = _changes(capsys, "pull-requests/lower-order-allow")
    assert change["change"] == "opened"
    assert "shop/web" in change["from"]
    assert change["to"] == ["203.0.113.0/24"]
    assert change["after"] == [{"protocol": "TCP", "from": 443, "to": 443}]
    assert "GlobalNetworkPolicy allow-bank" in change["witness"]["decidedAfter"][0]["text"]


def test_pass_instead_of_deny_leaves_everything_to_the_namespaces(capsys: pytest.CaptureFixture[str]) -> None:
    (change,) = _changes(capsys, "pull-requests/pass-instead-of-deny")
    assert {"kube-system/coredns", "shop/web"} <= set(change["from"])
    assert change["to"] == ["internet"]
    assert change["causes"][0]["path"] == "spec.egress[2]"


def test_a_network_policy_does_not_allow_again_what_was_denied_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert _changes(capsys, "pull-requests/network-policy-cannot-re-allow") == []


def test_every_pull_request_is_looked_at() -> None:
    assert [Path(head).name for head in HEADS] == [
        "head",
        "lower-order-allow",
        "network-policy-cannot-re-allow",
        "pass-instead-of-deny",
        "staged-only-the-bank",  # test_staged.py
    ]
