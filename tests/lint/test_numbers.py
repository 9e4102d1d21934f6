"""Pods by number: lint and audit say the same with them as by a World, and the numbers are those of the World."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.gate import audit as auditing
from bot.lint import context as contexts
from bot.lint.context import Context, Run
from bot.lint.run import compare, lint
from bot.manifests.snapshot import Snapshot, load
from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.policies.model import Lowered
from bot.sources import Files

PLANTED = Path(__file__).parent / "planted"


def sides(cluster: str) -> tuple[Snapshot, Snapshot, Lowered]:
    """The clean twins as the base, the mistakes as the head."""
    reader = Reader()
    found = []
    for part in ("clean", "bad"):
        paths = sorted(path for folder in ("common", part) for path in (PLANTED / cluster / folder).glob("*.yaml"))
        contents = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}
        found.append(load(Files(cluster, None, contents, []), reader))
    base, head = found
    return base, head, lower(base, head, "calico" if cluster == "calico" else None)


@pytest.mark.parametrize("cluster", ["main", "edge", "gateway"])
def test_lint_says_the_same_as_by_a_world(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base, head, lowered = sides(cluster)
    alone = lower(head, head, None)
    by_number = lint(head, alone), compare(base, head, lowered)
    monkeypatch.setattr(contexts, "numbered", lambda *_: None)
    assert (lint(head, alone), compare(base, head, lowered)) == by_number


@pytest.mark.parametrize("cluster", ["main", "edge", "gateway", "cilium", "calico"])
def test_the_audit_says_the_same_as_by_a_world(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base, head, lowered = sides(cluster)
    alone = lower(head, head, "calico" if cluster == "calico" else None)
    by_number = auditing.audit(head, alone), auditing.changes(base, head, lowered)
    monkeypatch.setattr(auditing, "numbered", lambda *_: None)
    assert (auditing.audit(head, alone), auditing.changes(base, head, lowered)) == by_number


@pytest.mark.parametrize("cluster", ["main", "edge", "gateway"])
def test_the_numbers_are_those_of_the_world(cluster: str) -> None:
    _, head, _ = sides(cluster)
    run = Run(head, head, lower(head, head, None))
    numbers = run.numbered
    assert numbers is not None
    slots = run.world.universe.slots
    for number, pod in numbers.pods[True].items():
        assert slots[number].identity == ("workload", pod.namespace, pod.kind, pod.name)
    own = numbers.sides[True]
    for peer in Context(run, True).peers:
        for expr in (peer.other, peer.subject):
            bits = numbers.bits(expr)
            if bits is not None:
                assert bits & own == run.world.resolver.resolve(expr)[0] & own
