"""Policies, resources, and what the real `kyverno apply` (1.17.2) made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.manifests.kyverno import generate
from tests.manifests.kyverno.objects import documents

PAIRS = sorted((Path(__file__).parents[2] / "corpus" / "kyverno").iterdir())


def test_the_corpus_is_there() -> None:
    assert len(PAIRS) >= 17


@pytest.mark.parametrize("pair", PAIRS, ids=lambda path: path.name)
def test_generates_what_kyverno_generates(pair: Path) -> None:
    if "gpol" in pair.name:
        pytest.importorskip("celpy")
    read = {
        name: documents((pair / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in ("policy", "resources", "expected")
    }
    found = generate([*read["policy"], *read["resources"]])
    by_name = {
        (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"]): each for each in read["expected"]
    }
    assert {each.key[1:]: each.value for each in found.objects} == by_name
    assert not any(note.incomplete for note in found.notes)
