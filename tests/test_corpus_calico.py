"""Every recorded verdict, selector and validation of Calico holds; the deciding tier, policy and rule are those that Felix names."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from bot.gate.expectations import Expectation, parse
from bot.gate.verify import check
from bot.policies.calico import selectors, validation
from bot.policies.calico.words import deciding
from bot.policies.compile import lower
from bot.reachability.ask import Ends, cuts
from bot.reachability.decide import Judge
from bot.reachability.explain import CLOSED, Probe, Reason, Step
from bot.reachability.facts import Names
from bot.reachability.world import World
from tests.corpora import FOLDER, scenarios
from tests.policies.worlds import snapshot

SCENARIOS = list(scenarios("calico"))


def _cases(name: str) -> list[dict[str, Any]]:
    with gzip.open(FOLDER / name, "rt", encoding="utf-8") as file:
        found: list[dict[str, Any]] = json.load(file)
    return found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s["id"])
def test_every_expectation_holds(scenario: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifests, expectations = tmp_path / "manifests.yaml", tmp_path / "expectations.json"
    manifests.write_text(scenario["manifests"], encoding="utf-8")
    expectations.write_text(json.dumps({"expectations": scenario["expectations"]}), encoding="utf-8")
    code = main(["verify", str(expectations), str(manifests), "--cni", "calico", "--format", "json", "--quiet"])
    printed = capsys.readouterr()
    assert printed.out, printed.err
    found = json.loads(printed.out)
    assert (found["failed"], found["unmatched"], found.get("incomplete", [])) == ([], [], [])
    assert found["total"] == found["held"] == len(scenario["expectations"])
    assert code == 0


def test_each_side_says_what_felix_said_of_it() -> None:
    compared = 0
    for scenario in SCENARIOS:
        asked = parse("expectations", json.dumps({"expectations": scenario["expectations"]}).encode())
        read = snapshot(scenario["manifests"])
        for answer in check(asked, read, lower(read, read, "calico")).answers:
            written = answer.expectation.written
            for side, got in (("egress", answer.egress), ("ingress", answer.ingress)):
                if side in written:
                    compared += 1
                    assert got == written[side], (scenario["id"], written, answer.why)
    assert compared == 10_252


def test_the_deciding_rule_is_the_one_that_felix_names() -> None:
    compared = 0
    for scenario in SCENARIOS:
        asked = parse("expectations", json.dumps({"expectations": scenario["expectations"]}).encode())
        for family in (None, 6):
            compared += _compared(scenario, [e for e in asked if (e.family == 6) == (family == 6)], family or 0)
    assert compared == 10_252


def _compared(scenario: dict[str, Any], asked: list[Expectation], family: int) -> int:
    read = snapshot(scenario["manifests"])
    sets = [pair for e in asked for text in (e.source, e.destination) for pair in cuts(text)]
    world = World(read, read, lower(read, read, "calico"), cuts=sets, family=family)
    names = Names(world.universe, read, read)
    ends, walk = Ends(world, names), Judge(world, names).walk(True)
    compared = 0
    for expectation in asked:
        said = {"egress": "whyEgress", "ingress": "whyIngress"}
        said = {side: str(expectation.written[why]) for side, why in said.items() if why in expectation.written}
        source, destination = ends.find(expectation.source), ends.find(expectation.destination)
        assert source is not None
        assert destination is not None
        (slot,), (other,) = source.rows[0].head, destination.rows[0].head
        protocol = expectation.protocol or 6
        port = (
            expectation.port
            if expectation.icmp_type is None
            else expectation.icmp_type << 8 | (expectation.icmp_code or 0)
        )
        probe = Probe(protocol << 16 | int(port or 0), expectation.source_port)
        for step in walk.steps(world.universe.slots[slot], world.universe.slots[other], probe):
            why = said.get(step.checkpoint.name, "walk:").partition(" | walk: ")[0]
            if not why.startswith(("walk:", "host to")):
                compared += 1
                assert _words(step, protocol) == _shortened(why), (scenario["id"], expectation.written)
    return compared


def _words(step: Step, protocol: int) -> str:
    wanted = "deny" if step.verdict == CLOSED else "allow"
    reason: Reason = next(reason for reason in step.why if reason.action == wanted)
    if reason.tier is None:
        return "profile"
    if reason.rule is None:
        return f"End of tier {reason.tier.title}"
    assert reason.policy is not None
    if reason.policy.object is None:
        return "built in"
    return deciding(reason.policy, reason.tier, reason.rule, protocol)


def _shortened(why: str) -> str:
    """A pod's profile is that of its namespace, which allows everything; what is dropped before any policy is built in."""
    if why.startswith("profile kns."):
        return "profile"
    end = re.search(r"\((End of tier \S+)\. Drop if no policies passed packet\)", why)
    return end[1] if end else "built in" if re.search("Drop (VXLAN|IPinIP) encapped", why) else why


def test_every_selector_is_read_as_calico_reads_it() -> None:
    cases = _cases("calico-selectors.json.gz")
    for case in cases:
        try:
            node = selectors.parse(case["selector"])
        except selectors.BadSelector:
            assert not case["valid"], case
        else:
            assert case["valid"], case
            assert selectors.canonical(node) == case["canonical"], case
            assert selectors.matches(node, case["labels"]) == case["match"], case
            assert selectors.parse(selectors.canonical(node)) == node or "!!" in case["canonical"], case
    assert len(cases) == 900


def test_every_object_is_taken_or_refused_as_calico_does() -> None:
    cases = _cases("calico-validation.json.gz")
    for case in cases:
        read = snapshot(case["manifest"])
        flaws = [flaw for obj in read.objects.values() for flaw in validation.check(obj) if flaw.refused]
        assert (not flaws and not read.unread) == case["valid"], (case, flaws)
    assert len(cases) == 85


def test_nothing_is_missing() -> None:
    assert len(SCENARIOS) == 307
    assert sum(len(scenario["expectations"]) for scenario in SCENARIOS) == 6_639
