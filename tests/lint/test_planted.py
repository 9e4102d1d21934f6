"""Clusters of one shop in `planted/`: each file of `bad/` has one mistake, which its name says, and its twin in `clean/` has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.lint import registry
from bot.lint.finding import Finding
from bot.lint.run import lint
from bot.manifests.snapshot import load
from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.sources import Files

PLANTED = Path(__file__).parent / "planted"
CLUSTERS = {"main": None, "cilium": None, "calico": "calico", "edge": None, "gateway": None}


def findings(cluster: str, kind: str) -> tuple[Finding, ...]:
    paths = sorted(path for part in ("common", kind) for path in (PLANTED / cluster / part).glob("*.yaml"))
    contents = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}
    snapshot = load(Files(cluster, None, contents, []), Reader())
    return lint(snapshot, lower(snapshot, snapshot, CLUSTERS[cluster]))


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_every_mistake_is_named_where_it_is(cluster: str) -> None:
    named = {(one.file, one.rule) for one in findings(cluster, "bad")}
    planted = {(f"bad/{path.name}", path.name[:5]) for path in (PLANTED / cluster / "bad").glob("*.yaml")}
    assert {(file, rule) for file, rule in planted - named if rule in registry.BY_ID} == set()


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_twins_give_nothing(cluster: str) -> None:
    assert [(one.file, one.rule, one.message) for one in findings(cluster, "clean")] == []
