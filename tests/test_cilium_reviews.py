"""Pull requests on the api gateway of fixtures/cilium-api-gateway: what they let through, told by a request that proves it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main

FIXTURE = Path(__file__).parent.parent / "fixtures" / "cilium-api-gateway"
WEB, GATEWAY = "shop/web-frontend", "shop/api-gateway"
L4_ONLY = """
    - fromEndpoints:
        - matchLabels: {app: web-frontend}
      toPorts:
        - ports: [{port: "8080", protocol: TCP}]
"""


def _review(tmp_path: Path, capsys: pytest.CaptureFixture[str], *edits: tuple[str, str]) -> list[dict[str, Any]]:
    head = tmp_path / "head"
    shutil.copytree(FIXTURE / "base", head)
    text = (head / "policies.yaml").read_text()
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (head / "policies.yaml").write_text(text)
    main(["diff", "--dirs", str(FIXTURE / "base"), str(head), "--format", "json", "--exit-zero"])
    (environment,) = json.loads(capsys.readouterr().out)["environments"]
    assert environment["incomplete"] == []
    changes: list[dict[str, Any]] = environment["changes"]
    return changes


def _requests(changes: list[dict[str, Any]]) -> dict[str, Any]:
    (row,) = [c for c in changes if (c["from"], c["to"]) == ([WEB], [GATEWAY])]
    (requests,) = row["requests"]
    return {"change": row["change"], **requests, "witness": (row["witness"]["before"], row["witness"]["after"])}


def test_expectations_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(FIXTURE / "expectations.yaml"), str(FIXTURE / "base")]) == 0, capsys.readouterr().out


def test_a_path_is_widened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = _review(tmp_path, capsys, ("path: /api/v1/products.*", "path: /api/v1/.*"))
    assert _requests(changes) == {
        "change": "widened",
        "ports": [{"protocol": "TCP", "from": 8080, "to": 8080}],
        "wider": "yes",
        "gained": "GET /api/v1/",
        "narrower": "no",
        "witness": ("closed", "open"),
    }


def test_a_method_is_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _requests(_review(tmp_path, capsys, ("method: GET", "method: GET|DELETE")))
    assert (found["change"], found["gained"], found["narrower"]) == ("widened", "DELETE /api/v1/products", "no")


def test_a_method_is_taken_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _requests(_review(tmp_path, capsys, ("method: GET", "method: HEAD")))
    assert (found["change"], found["gained"], found["lost"]) == (
        "widened",
        "HEAD /api/v1/products",
        "GET /api/v1/products",
    )


def test_an_allow_of_the_port_lifts_the_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _requests(_review(tmp_path, capsys, ("\n  egress:", L4_ONLY + "  egress:")))
    assert (found["change"], found["wider"], found["narrower"]) == ("widened", "yes", "no")
    assert found["gained"] == "traffic that is not HTTP"


def test_ports_are_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (FIXTURE / "base" / "policies.yaml").read_text()
    start, end = text.index("      toPorts:"), text.index("  egress:")
    changes = _review(tmp_path, capsys, (text[start:end], ""))
    (row,) = [c for c in changes if (c["from"], c["to"]) == ([WEB], [GATEWAY])]
    assert (row["change"], row["after"]) == ("widened", "all")


def test_a_name_pattern_is_widened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = _review(tmp_path, capsys, ('matchPattern: "*.amazonaws.com"', 'matchPattern: "**.amazonaws.com"'))
    opened = [c for c in changes if c["change"] == "opened"]
    assert [(c["from"], c["after"]) for c in opened] == [([GATEWAY], [{"protocol": "TCP", "from": 443, "to": 443}])]
    assert all(name.startswith("fqdn:") for name in opened[0]["to"])


def test_the_row_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = tmp_path / "head"
    shutil.copytree(FIXTURE / "base", head)
    text = (head / "policies.yaml").read_text()
    (head / "policies.yaml").write_text(text.replace("path: /api/v1/products.*", "path: /.*"))
    main(["diff", "--dirs", str(FIXTURE / "base"), str(head)])
    assert f"GET / newly allowed from {WEB} to {GATEWAY} on TCP 8080" in capsys.readouterr().out


def test_explain_says_which_requests_are_let_through(capsys: pytest.CaptureFixture[str]) -> None:
    ends = ["--from", WEB, "--to", GATEWAY, "--port", "8080"]
    assert main(["explain", *ends, str(FIXTURE / "base")]) == 0
    shown = capsys.readouterr().out
    assert "allowed by CiliumNetworkPolicy shop/api-gateway, rule 1, only GET /api/v1/products.*, POST /api/v1/orders" in shown


def test_explain_says_nothing_of_requests_where_another_rule_lifts_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (FIXTURE / "base" / "policies.yaml").read_text()
    (tmp_path / "policies.yaml").write_text(text.replace("\n  egress:", L4_ONLY + "  egress:", 1))
    shutil.copy(FIXTURE / "base" / "shop.yaml", tmp_path)
    assert main(["explain", "--from", WEB, "--to", GATEWAY, "--port", "8080", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "allowed by CiliumNetworkPolicy shop/api-gateway, rule 2\n" in shown
    assert "only" not in shown
