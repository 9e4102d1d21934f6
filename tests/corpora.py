"""The recorded corpora, one scenario at a time: tests/corpus beside this file, netpol-analyzer's where the environment says."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "corpus"


def scenarios(name: str) -> Iterator[dict[str, Any]]:
    """Each line of a corpus of this folder."""
    yield from _lines(FOLDER / f"{name}.jsonl.gz")


def netpol_analyzer() -> Path | None:
    """netpol-analyzer's own tests, which are not ours to distribute: $NETREACH_NETPOL_ANALYZER_CORPUS, or beside the checkout."""
    named = os.environ.get("NETREACH_NETPOL_ANALYZER_CORPUS")
    beside = Path(__file__).parents[2] / "shared" / "corpus" / "netpol-analyzer.jsonl.gz"
    path = Path(named) if named else beside
    return path if path.is_file() else None


def netpol_analyzer_cases(query: str) -> list[dict[str, Any]]:
    """The `list` or `diff` cases; none where the corpus is absent."""
    path = netpol_analyzer()
    return [] if path is None else [case for case in _lines(path) if case["query"] == query]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
