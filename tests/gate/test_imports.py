"""Test files of other tools, and the formats that CI systems read."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bot import cli
from bot.errors import UsageError
from bot.gate import expectations
from tests.gate.cases import FROM_SHOP, PAYMENTS, SHOP, ingress

NETASSERT = """---
- name: web-to-api
  type: k8s
  protocol: tcp
  targetPort: 8080
  timeoutSeconds: 67
  attempts: 3
  exitCode: 0
  src: {k8sResource: {kind: deployment, name: web, namespace: shop}}
  dst: {k8sResource: {kind: deployment, name: api, namespace: payments}}
- name: web-to-db
  type: k8s
  protocol: udp
  targetPort: 5432
  exitCode: 1
  src: {k8sResource: {kind: deployment, name: web, namespace: shop}}
  dst: {k8sResource: {kind: statefulset, name: db, namespace: payments}}
- name: web-to-the-world
  type: k8s
  protocol: tcp
  targetPort: 443
  exitCode: 0
  src: {k8sResource: {kind: deployment, name: web, namespace: shop}}
  dst: {host: {name: control-plane.io}}
"""
POLICYTESTER = """
pods:
- {name: web, namespace: shop, podname: web}
- {name: db, namespace: payments, podname: db-0}
- {name: api, namespace: payments, podname: api}
- {name: all, pods: [db, api]}
addresses:
- {name: dns, hosts: [8.8.8.8]}
- {name: out, hosts: [nu.nl], addresses: [dns]}
connections:
- {name: api, pods: [api], ports: [{port: 8080}]}
- {name: db, pods: [db], ports: [{port: 5432, type: TCP}]}
- {name: out, addresses: [out], ports: [{port: 443}]}
- {name: both, connections: [api, db]}
rules:
- name: from-web
  from: [web]
  allowed: [api, out]
  denied: [db]
- {name: from-payments, from: [all], denied: [both, out]}
"""


def test_netassert() -> None:
    found = expectations.parse("t.yaml", NETASSERT.encode())
    assert [(row.source, row.destination, row.protocol, row.port, row.expect, row.line) for row in found] == [
        ("shop/Deployment/web", "payments/Deployment/api", 6, 8080, "allow", 2),
        ("shop/Deployment/web", "payments/StatefulSet/db", 17, 5432, "deny", 11),
        ("shop/Deployment/web", "entity:world", 6, 443, "allow", 18),
    ]


def test_policytester() -> None:
    found = expectations.parse("t.yaml", POLICYTESTER.encode())
    rows = [(row.source, row.destination, row.port, row.expect) for row in found]
    assert rows[:4] == [
        ("shop/web", "payments/api", 8080, "allow"),
        ("shop/web", "entity:world", 443, "allow"),
        ("shop/web", "ip:8.8.8.8", 443, "allow"),
        ("shop/web", "payments/db", 5432, "deny"),
    ]
    assert len(rows) == 12
    assert {row.line for row in found} == {18, 19, 20}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NETASSERT.replace("exitCode: 0", "exitCodes: 0"), "unknown key 'exitCodes'"),
        (NETASSERT.replace("kind: statefulset", "kind: statefulst"), "did you mean statefulset?"),
        (NETASSERT.replace("{host: {name: control-plane.io}}", "{}"), "must have one of k8sResource and host"),
        (
            POLICYTESTER.replace("allowed: [api, out]", "allowed: [apii]"),
            "t.yaml:18: rules[0].allowed[0]: nothing above is",
        ),
        (POLICYTESTER.replace("pods: [db, api]", "pods: [7]"), "must be text"),
    ],
)
def test_mistakes_have_their_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        expectations.parse("t.yaml", text.encode())
    assert message in str(caught.value)


def test_both_are_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "all.yaml").write_text(SHOP + PAYMENTS + ingress("payments", "s", "api", FROM_SHOP, "8080"))
    for name, text in (("n.yaml", NETASSERT), ("p.yaml", POLICYTESTER)):
        (tmp_path / name).write_text(text)
        assert cli.main(["verify", str(tmp_path / name), str(tmp_path / "k8s")]) == 0, capsys.readouterr()
    assert "12 of 12 expectations held" in capsys.readouterr().out


def test_junit_and_tap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "all.yaml").write_text(SHOP + PAYMENTS)
    (tmp_path / "e.yaml").write_text(
        """expectations:
- {from: shop/web, to: payments/api, port: 8080, expect: allow, name: '</testcase> # SKIP "x"'}
- {from: shop/web, to: shop/cart, port: 9090, expect: allow}
- {from: shop/nobody, to: shop/cart, port: 9090, expect: deny}
"""
    )
    arguments = ["verify", str(tmp_path / "e.yaml"), str(tmp_path / "k8s"), "--format"]
    assert cli.main([*arguments, "junit"]) == 1
    suite = ElementTree.fromstring(capsys.readouterr().out)[0]  # noqa: S314
    assert (suite.get("tests"), suite.get("failures"), len(suite.findall("testcase"))) == ("3", "2", 3)
    assert '</testcase> # SKIP "x"' in (suite.findall("testcase")[1].get("name") or "")
    assert cli.main([*arguments, "tap"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["TAP version 14", "1..3"]
    assert [line.split(" - ")[0] for line in lines if "ok" in line[:6]] == ["ok 1", "not ok 2", "not ok 3"]
    assert not any(" # SKIP" in line for line in lines)
