"""Every rule: planted mistakes with their clean twins, each a file of `cases/`.

A file has parts, each behind a line `#: name`: what stands before the first is on both sides; `bad` has the mistake, `good` is its clean
twin; with `base` the head is compared with that; `cni` names one; `finds` is what all rules together say of `bad`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.lint import registry
from bot.lint.finding import Finding
from bot.lint.run import compare, lint
from bot.manifests.generated import join
from bot.manifests.snapshot import Snapshot, load
from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.sources import Files

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


def parts_of(path: Path) -> dict[str, str]:
    out: dict[str, list[str]] = {"": []}
    at = ""
    for line in path.read_text().splitlines():
        if line.startswith("#: "):
            at = line[3:].strip()
            out[at] = []
        else:
            out[at].append(line)
    return {name: "\n".join(lines) for name, lines in out.items()}


def findings(parts: dict[str, str], name: str) -> tuple[Finding, ...]:
    reader = Reader()

    def side(part: str) -> Snapshot:
        text = f"{parts['']}\n---\n{parts[part]}\n"
        return load(Files("case", None, {"case.yaml": text.encode()}, []), reader)

    head = side(name)
    base, head = join(side("base") if "base" in parts else head, head)
    lowered = lower(base, head, parts.get("cni"))
    return compare(base, head, lowered).new if "base" in parts else lint(head, lowered)


def told(found: tuple[Finding, ...]) -> str:
    return "\n".join(f"# {one.severity} {one.rule} {one.object} line {one.lines[0]}: {one.message}" for one in found)


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_case(path: Path) -> None:
    parts = parts_of(path)
    found = findings(parts, "bad")
    if os.environ.get("NETREACH_WRITE_CASES"):
        path.write_text(path.read_text().split("#: finds")[0] + f"#: finds\n{told(found)}\n")
        parts = parts_of(path)
    assert told(found) == parts["finds"]
    assert {one.rule for one in found} == {path.stem[:5]}
    assert told(findings(parts, "good")) == ""


def test_every_rule_has_two_cases() -> None:
    planted = [path.stem[:5] for path in CASES]
    assert [id_ for id_ in registry.BY_ID if id_ != registry.SUPPRESSION and planted.count(id_) < 2] == []
