"""A change of Cilium's policies gives the same rows whether only what can have changed is evaluated, or everything."""

from __future__ import annotations

from typing import Any

import pytest

from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import compare
from tests.corpora import scenarios
from tests.policies.cilium.worlds import PODS, cnp
from tests.policies.worlds import snapshot

SCENARIOS = list(scenarios("cilium"))[::6]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s["id"])
def test_incremental_equals_full(scenario: dict[str, Any]) -> None:
    documents = scenario["manifests"].split("\n---\n")
    reader = Reader()
    whole = snapshot(scenario["manifests"], reader)
    for at in [i for i, text in enumerate(documents) if "Policy" in text][:2]:
        rest = snapshot("\n---\n".join(documents[:at] + documents[at + 1 :]), reader)
        for base, head in ((whole, rest), (rest, whole)):
            lowered = lower(base, head, "cilium")
            found = compare(base, head, lowered, pairs=True)
            assert found.pairs == compare(base, head, lowered, pairs=True, full=True).pairs


@pytest.mark.parametrize(
    ("peer", "severity"),
    [
        ("toEntities: [host, remote-node, kube-apiserver]", "namespace"),
        ("toEntities: [cluster]", "namespace"),
        ("toEntities: [world]", "internet"),
        ("toCIDR: [203.0.113.0/24]", "internet"),
        ("toFQDNs: [{matchName: a.example}]", "internet"),
    ],
)
def test_only_the_world_is_the_internet(peer: str, severity: str) -> None:
    reader = Reader()
    base, head = (
        snapshot(PODS + cnp(f"{{endpointSelector: {{}}, egress: [{{}}, {{{other}}}]}}"), reader) for other in ("", peer)
    )
    found = compare(base, head, lower(base, head, "cilium"))
    assert {row.severity for row in found.changes if row.change == "opened" and "shop/web" in row.sources} == {severity}
