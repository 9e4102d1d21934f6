"""Files of a small repository in, what netreach renders of it out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bot.cli import main
from bot.render import helm, kustomize
from bot.sources import Files

needs_kustomize = pytest.mark.skipif(kustomize.tool() is None, reason=kustomize.MISSING)
needs_helm = pytest.mark.skipif(helm.tool() is None, reason=helm.MISSING)

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: main, image: x}]}
"""
CHART = "apiVersion: v2\nname: shop\nversion: 1.0.0\n"
# An object that netreach prints, open at its last annotation.
SHOWN = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shown\n  annotations:\n    text: "


class Ran(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


def files(contents: Mapping[str, str]) -> Files:
    """One side, without a folder or Git."""
    return Files("main", None, {path: text.encode() for path, text in sorted(contents.items())}, [])


def write(root: Path, contents: Mapping[str, str | bytes]) -> Path:
    """A folder with these files."""
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ran:
    """One command of netreach."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return Ran(code, out, err)


def review(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The JSON of `netreach diff`."""
    found: dict[str, Any] = json.loads(run(capsys, "diff", *arguments, "--format", "json", "--exit-zero").out)
    return found
