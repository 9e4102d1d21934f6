"""A change of Calico's objects gives the same pairs whether only what can have changed is evaluated, or everything."""

from __future__ import annotations

from typing import Any

import pytest

from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import compare
from tests.corpora import scenarios
from tests.policies.worlds import snapshot

SCENARIOS = list(scenarios("calico"))
RESOLVED_THROUGH = ("Tier", "NetworkSet", "GlobalNetworkSet", "HostEndpoint", "EndpointSlice", "ServiceAccount")


def _kind(text: str) -> str:
    return next((line[6:] for line in text.split("\n") if line.startswith("kind: ")), "")


@pytest.mark.parametrize("scenario", SCENARIOS[::6], ids=lambda s: s["id"])
def test_incremental_equals_full(scenario: dict[str, Any]) -> None:
    documents = scenario["manifests"].split("\n---\n")
    reader = Reader()
    whole = snapshot(scenario["manifests"], reader)
    policies = [i for i, text in enumerate(documents) if "Policy" in _kind(text)][:1]
    others = [i for i, text in enumerate(documents) if _kind(text) in RESOLVED_THROUGH][:2]
    for at in policies + others:
        rest = snapshot("\n---\n".join(documents[:at] + documents[at + 1 :]), reader)
        for base, head in ((whole, rest), (rest, whole)):
            lowered = lower(base, head, "calico")
            found = compare(base, head, lowered, pairs=True)
            assert found.pairs == compare(base, head, lowered, pairs=True, full=True).pairs
