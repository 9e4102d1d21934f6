"""The expectations file: what is read, and that every mistake has its line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bot.errors import UsageError
from bot.gate import expectations
from bot.policies.traffic import SCTP, TCP, UDP
from tests import corpora

SCHEMA = json.loads(
    (Path(expectations.__file__).parents[1] / "schemas" / "expectations.json").read_text(encoding="utf-8")
)


START = "expectations:\n- from: a/b\n  to: c/d\n"


def parse(text: str) -> tuple[expectations.Expectation, ...]:
    return expectations.parse("e.yaml", text.encode())


def test_defaults() -> None:
    first, second, third = parse(
        """\
expectations:
  - {from: frontend/web, to: backend/api, port: 8080, expect: allow}
  - from: internet
    to: database/StatefulSet/db
    expect: deny
    name: no way in
  - {from: ip:10.0.0.1, to: "cidr:fd00::/8", protocol: udp, port: dns, srcPort: 1234, family: IPv6, expect: deny}
"""
    )
    assert (first.source, first.destination, first.protocol, first.port, first.expect) == (
        "frontend/web",
        "backend/api",
        TCP,
        8080,
        "allow",
    )
    assert (first.line, second.line, third.line) == (2, 3, 7)
    assert (second.protocol, second.port, second.name) == (None, None, "no way in")
    assert (third.protocol, third.port, third.source_port, third.family) == (UDP, "dns", 1234, 6)
    assert third.written["protocol"] == "udp"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expectatons: []", "e.yaml:1: unknown key 'expectatons': did you mean expectations?"),
        ("[]", "e.yaml:1: the file must be a mapping, not a list"),
        ("{}", "e.yaml:1: expectations is missing"),
        ("expectations: []", "e.yaml: no expectations in it"),
        ("expectations: {}", "e.yaml:1: expectations must be a list, not a mapping"),
        ("", "e.yaml: no expectations in it"),
        ("version: 1\nexpectations:\n- 7", "e.yaml:3: expectations[0] must be a mapping"),
        (f"{START}", "e.yaml:2: expect is missing in expectations[0]"),
        (f"{START}  expct: allow", "e.yaml:4: unknown key 'expct' in expectations[0]: did you mean expect?"),
        (
            f"{START}  expect: alow",
            "e.yaml:4: expectations[0].expect must be one of allow, deny, not 'alow': did you mean allow?",
        ),
        (
            "expectations:\n- from: a/b\n  to: intrnet\n  expect: deny",
            "e.yaml:3: expectations[0].to: 'intrnet' is none of",
        ),
        ("expectations:\n- from: a/b\n  to: intrnet\n  expect: deny", "did you mean internet?"),
        ("expectations:\n- from: entty:world\n  to: a/b\n  expect: deny", "did you mean entity?"),
        ("expectations:\n- from: ip:10.0.0.300\n  to: a/b\n  expect: deny", "'10.0.0.300' is not an IPv4 or IPv6"),
        ("expectations:\n- from: [a]\n  to: c/d\n  expect: deny", "e.yaml:2: expectations[0].from must be text"),
        (f"{START}  port: 70000\n  expect: deny", "e.yaml:4: expectations[0].port must be a number from 0 to 65535"),
        (f"{START}  port: true\n  expect: deny", "e.yaml:4: expectations[0].port must be a number"),
        (f"{START}  protocol: TPC\n  expect: deny", "did you mean TCP?"),
        (f"{START}  http: {{verb: GET}}\n  expect: deny", "e.yaml:4: unknown key 'verb' in expectations[0].http"),
        (f"{START}  family: 5\n  expect: deny", "e.yaml:4: expectations[0].family must be one of IPv4, IPv6, 4, 6"),
        (f"{START}  self: 1\n  expect: deny", "e.yaml:4: expectations[0].self must be true or false"),
    ],
)
def test_every_mistake_has_its_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_yaml_that_does_not_parse() -> None:
    with pytest.raises(UsageError, match=r"^e\.yaml:\d+: "):
        parse("expectations:\n- from: [")


def test_a_missing_file() -> None:
    with pytest.raises(UsageError, match="cannot read nowhere.yaml: No such file"):
        expectations.read("nowhere.yaml")


def test_recorded_expectations_are_read_and_valid() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    protocols = set()
    for name in ("kubernetes", "kubernetes-upstream", "cilium", "calico"):
        for scenario in list(corpora.scenarios(name))[::25]:
            content = {key: value for key, value in scenario.items() if key != "manifests"}
            validator.validate(content)
            found = expectations.parse("e.json", json.dumps(content).encode())
            assert len(found) == len(scenario["expectations"])
            protocols |= {row.protocol for row in found}
    assert {TCP, UDP, SCTP} <= protocols
