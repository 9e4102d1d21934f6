"""The second reading is held against the verdicts of real engines before the product is held against it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.corpora import scenarios
from tests.reference.cluster import Cluster, read
from tests.reference.reading import End, Question, Verdict, egress, ingress, verdict

SCENARIOS = [*scenarios("kubernetes"), *scenarios("kubernetes-upstream")]


def _end(cluster: Cluster, text: str) -> End:
    if text.startswith("ip:"):
        return text[3:]
    (pod,) = (pod for pod in cluster.pods if f"{pod.namespace}/{pod.name}" == text)
    return pod


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s["id"])
def test_recorded_verdicts(scenario: dict[str, Any]) -> None:
    cluster = read(
        doc for doc in yaml.load_all(scenario["manifests"], getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if doc
    )
    wrong = []
    for expectation in scenario["expectations"]:
        question = Question(
            cluster,
            _end(cluster, expectation["from"]),
            _end(cluster, expectation["to"]),
            expectation["protocol"],
            expectation["port"],
            expectation.get("family", ""),
        )
        got = verdict(question)
        if got != {"allow": Verdict.OPEN, "deny": Verdict.CLOSED}[expectation["expect"]]:
            wrong.append((expectation, got.name, egress(question).name, ingress(question).name))
    assert not wrong
