"""Every recorded verdict of Cilium's policy engine holds, through the command that users run: `netreach verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from tests.corpora import scenarios

SCENARIOS = list(scenarios("cilium"))
_KINDS = {"cnp": "CiliumNetworkPolicy", "ccnp": "CiliumClusterwideNetworkPolicy"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s["id"])
def test_every_expectation_holds(scenario: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifests, expectations = tmp_path / "manifests.yaml", tmp_path / "expectations.json"
    manifests.write_text(scenario["manifests"], encoding="utf-8")
    expectations.write_text(json.dumps({"expectations": scenario["expectations"]}), encoding="utf-8")
    code = main(["verify", str(expectations), str(manifests), "--cni", "cilium", "--format", "json", "--quiet"])
    printed = capsys.readouterr()
    assert printed.out, printed.err
    found = json.loads(printed.out)
    assert (found["failed"], found["unmatched"]) == ([], [])
    assert found["total"] == found["held"] == len(scenario["expectations"])
    refused = scenario.get("rejected", [])
    assert code == (3 if refused else 0), (printed.err, found)
    reasons = [row["reason"] for row in found.get("incomplete", [])]
    assert len({reason.split(": ")[0] for reason in reasons}) == len(refused)
    for each in refused:
        short, _, name = each["policy"].partition("/")
        own = [reason for reason in reasons if reason.startswith(f"{_KINDS[short]} {name}: ")]
        assert own
        assert all(("fails open" in reason) == (each["stage"] == "agent") for reason in own)


def test_each_side_says_what_the_engine_said_of_it() -> None:
    from bot.gate.expectations import parse
    from bot.gate.verify import check
    from bot.policies.compile import lower
    from tests.policies.worlds import snapshot

    compared = 0
    for scenario in SCENARIOS:
        asked = parse("expectations", json.dumps({"expectations": scenario["expectations"]}).encode())
        read = snapshot(scenario["manifests"])
        answers = check(asked, read, lower(read, read, "cilium")).answers
        for answer in answers:
            written = answer.expectation.written
            for side, got in (("egress", answer.egress), ("ingress", answer.ingress)):
                if side in written:
                    compared += 1
                    assert got == written[side], (scenario["id"], written, answer.why)
    assert compared == 17_431


def test_nothing_is_missing() -> None:
    assert len(SCENARIOS) == 393
    assert sum(len(scenario["expectations"]) for scenario in SCENARIOS) == 11_300
    assert sum("rejected" in scenario for scenario in SCENARIOS) == 15
