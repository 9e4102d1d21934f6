"""Debugging help: a newcomer is led to the cause; and what one policy does."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bot import cli
from bot.report import json as as_json
from tests.gate.cases import FROM_SHOP, PAYMENTS, SHOP, deny, ingress, policy

SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: payments}
spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}
"""
OTHER_HALF = SHOP + PAYMENTS + SERVICE + ingress("payments", "from-shop", "api", FROM_SHOP, "8080")


def told(root: Path, capsys: pytest.CaptureFixture[str], text: str, *arguments: str) -> str:
    (root / "all.yaml").write_text(text)
    code = cli.main(["explain", *arguments, str(root)])
    found = capsys.readouterr()
    assert code == 0, found.err
    return found.out


PATH = ("--from", "shop/web", "--to", "payments/api")


def test_the_order_to_look_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(tmp_path, capsys, OTHER_HALF, *PATH, "--port", "8080", "--format", "json")
    document = json.loads(out)
    schema = Path(as_json.__file__).parents[1] / "schemas" / "explain.json"
    jsonschema.validate(document, json.loads(schema.read_text()))
    assert [row["title"] for row in document["help"]] == [
        "does the CNI enforce policies",
        "which policies select shop/web for egress",
        "which policies select payments/api for ingress",
        "what the ingress rules of NetworkPolicy payments/from-shop match",
        "what decides",
        "the port",
        "the other side's half",
    ]


def test_the_services_port_is_not_the_containers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(tmp_path, capsys, OTHER_HALF, *PATH, "--port", "80")
    assert "policies see the pod's port 8080, not the Service's 80: ask for 8080" in out
    assert "matches shop/web, but not port 80/tcp" in out


def test_the_other_sides_half(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(tmp_path, capsys, OTHER_HALF + deny("shop"), *PATH, "--port", "8080")
    assert "only egress denies; ingress would let it through" in out
    assert "both halves deny" in told(tmp_path, capsys, SHOP + PAYMENTS + deny("shop"), *PATH, "--port", "8080")
    assert "both halves let it through" in told(tmp_path, capsys, OTHER_HALF, *PATH, "--verbose")


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        ("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shpo}}}", "did you mean shop?"),
        ("{namespaceSelector: {}, podSelector: {matchLabels: {app: webb}}}", "no pod has app=webb; did you mean web?"),
        ("{podSelector: {matchLabels: {app: web}}}", "it is in namespace shop"),
        ("{namespaceSelector: {matchLabels: {team: shop}}}", "its namespace has no label team"),
        ("{ipBlock: {cidr: 203.0.113.0/24}}", "its address is not in there"),
    ],
)
def test_near_misses(tmp_path: Path, capsys: pytest.CaptureFixture[str], peer: str, words: str) -> None:
    out = told(tmp_path, capsys, SHOP + PAYMENTS + ingress("payments", "x", "api", peer), *PATH, "--port", "8080")
    assert words in out


def test_a_cni_that_enforces_nothing_is_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(tmp_path, capsys, SHOP + PAYMENTS, *PATH, "--cni", "flannel", "--verbose")
    assert "1. does the CNI enforce policies\n   - no: flannel enforces no policy" in out


def test_a_policys_pods_and_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(tmp_path, capsys, OTHER_HALF, "--policy", "payments/from-shop")
    assert "ingress  isolates payments/api in payments" in out
    assert "opens  shop/* (2) -> payments/api  TCP 8080" in out or "opens  shop/cart, shop/web -> payments/api" in out
    out = told(tmp_path, capsys, OTHER_HALF, "--policy", "NetworkPolicy/payments/default-deny", "--format", "json")
    document = json.loads(out)
    schema = Path(as_json.__file__).parents[1] / "schemas" / "policy.json"
    jsonschema.validate(document, json.loads(schema.read_text()))
    assert {row["change"] for row in document["changes"]} == {"closed"}
    assert document["selects"][1]["pods"] == ["payments/api", "payments/db"]


def test_wrong_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "all.yaml").write_text(OTHER_HALF + policy("shop", "p", "{podSelector: {}}"))
    for arguments, words in (
        (["--policy", "payments/from-shp"], "did you mean payments/from-shop"),
        (["--policy", "shop/p", "--from", "shop/web"], "give it PATH or --ref alone"),
        (["--from", "shop/web"], "say --from and --to, or --policy"),
    ):
        assert cli.main(["explain", *arguments, str(tmp_path)]) == 2
        assert words in capsys.readouterr().err
