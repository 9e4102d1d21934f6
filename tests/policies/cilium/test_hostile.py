"""Whatever stands in a Cilium object, it is lowered or refused with a reason, and the reason has a place."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
import yaml

from bot.policies.compile import lower
from tests.corpora import scenarios
from tests.policies.worlds import snapshot

JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 1e400, 2**70, "", "²", "0x50", "010", "9" * 5000, "a" * 300, "\x00", "*", "(" * 50, "10.0.0.0/99",
    "::/0", "reserved:host", "k8s:", ":", [], {}, [None], [{}], {"": ""}, {"matchLabels": {"a": 1}}, [[]], ["all"],
    {"http": [{}], "dns": [{}]}, {"matchPattern": "*" * 60 + "a"}, "TCP", "EchoReply", {"name": "x"}, [{"type": 999}],
)  # fmt: skip
POLICIES = [
    document
    for scenario in scenarios("cilium")
    for document in yaml.safe_load_all(scenario["manifests"])
    if document and document["kind"].startswith(("Cilium", "NetworkPolicy"))
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


def broken(draw: random.Random) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(draw.choice(POLICIES))
    for _ in range(draw.randint(1, 3)):
        inner = [path for path in places(document) if path[0] in ("spec", "specs")]
        if not inner:
            break
        *way, last = draw.choice(inner)
        holder: Any = document
        for step in way:
            holder = holder[step]
        if draw.random() < 0.8:
            holder[last] = copy.deepcopy(draw.choice(JUNK))
        elif isinstance(holder, dict):
            holder[str(draw.choice(JUNK))[:20]] = holder.pop(last)
        else:
            holder.append(copy.deepcopy(draw.choice(JUNK)))
    return document


@pytest.mark.parametrize("seed", range(40))
def test_nothing_breaks_it(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(25):
        text = json.dumps(broken(draw)).replace("Infinity", "1e400")
        side = snapshot(text)
        found = lower(side, side, "cilium")
        for problem in found.problems_head:
            assert problem.reason
            assert len(problem.reason) < 1000
            side.location(problem.object, problem.path)
        for policy in found.head.policies:
            for section in policy.sections:
                for rule in section.rules:
                    if rule.origin.object is not None:
                        side.location(rule.origin.object, rule.origin.path)
