"""Every recorded verdict of the Kubernetes engines holds, through the command that users run: `netreach verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from tests.corpora import scenarios

SCENARIOS = [*scenarios("kubernetes"), *scenarios("kubernetes-upstream")]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s["id"])
def test_every_expectation_holds(scenario: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifests, expectations = tmp_path / "manifests.yaml", tmp_path / "expectations.json"
    manifests.write_text(scenario["manifests"], encoding="utf-8")
    expectations.write_text(json.dumps({"expectations": scenario["expectations"]}), encoding="utf-8")
    code = main(["verify", str(expectations), str(manifests), "--cni", "kubernetes", "--format", "json", "--quiet"])
    printed = capsys.readouterr()
    assert printed.out, printed.err
    found = json.loads(printed.out)
    assert (found["failed"], found["unmatched"]) == ([], [])
    assert found["total"] == found["held"] == len(scenario["expectations"])
    assert code == 0, (printed.err, found)


def test_nothing_is_missing() -> None:
    assert len(SCENARIOS) == 456
    assert sum(len(scenario["expectations"]) for scenario in SCENARIOS) == 8_400 + 3_539
