"""A change of Cilium's policies gives the same rows whether only what can have changed is evaluated, or everything."""

from __future__ import annotations

from typing import Any

import pytest

from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import compare
from tests.corpora import scenarios
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
