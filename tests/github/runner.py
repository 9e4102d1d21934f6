"""An action.yml, inputs and an event in; its steps run as GitHub's runner would, its outputs, summary, log and exit code out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
EXPRESSION = re.compile(r"\$\{\{\s*([a-z_]+)\.([A-Za-z0-9_.-]+)\s*\}\}")


class Result(NamedTuple):
    code: int
    log: str
    errors: str
    outputs: dict[str, str]
    summary: str


def run(
    folder: Path,
    workspace: Path,
    event: str,
    payload: Mapping[str, Any],
    inputs: Mapping[str, str],
    github: Mapping[str, str],
    install: bool = False,
) -> Result:
    """`folder`: for the runner's own files. Without `install` the first step is left out and the Python of the tests is used."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert action["runs"]["using"] == "composite"
    unknown = inputs.keys() - action["inputs"].keys()
    assert not unknown, unknown
    temporary = folder / "temp"
    temporary.mkdir(exist_ok=True)
    contexts: dict[str, dict[str, str]] = {
        "github": {"action_path": str(ROOT), **github},
        "runner": {"temp": str(temporary)},
        "inputs": {},
    }
    for name, one in action["inputs"].items():
        contexts["inputs"][name] = inputs.get(name, expanded(one.get("default", ""), contexts))
    files = {name: folder / name for name in ("event.json", "output", "summary")}
    files["event.json"].write_text(json.dumps(payload), encoding="utf-8")
    for name in ("output", "summary"):
        files[name].write_text("", encoding="utf-8")
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": event,
        "GITHUB_EVENT_PATH": str(files["event.json"]),
        "GITHUB_OUTPUT": str(files["output"]),
        "GITHUB_STEP_SUMMARY": str(files["summary"]),
        "GITHUB_WORKSPACE": str(workspace),
        "RUNNER_TEMP": str(temporary),
        "GITHUB_REPOSITORY": github["repository"],
        "GITHUB_API_URL": github["api_url"],
        "GITHUB_SERVER_URL": github["server_url"],
        "GITHUB_SHA": "0" * 40,  # a commit that nobody may rely on
        "GITHUB_REF": "refs/pull/482/merge",
    }
    steps = action["runs"]["steps"]
    if not install:
        steps = steps[1:]
        python = temporary / "netreach-venv" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)
    log = errors = ""
    code = 0
    for step in steps:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "an expression in a script is an injection"
        own = {name: expanded(value, contexts) for name, value in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=workspace,
            env=environment | own,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        log, errors, code = log + done.stdout, errors + done.stderr, done.returncode
        if code:
            break
    outputs = dict(line.split("=", 1) for line in files["output"].read_text(encoding="utf-8").splitlines())
    declared = set(action["outputs"])
    assert outputs.keys() <= declared, outputs.keys() - declared
    for name in declared:
        assert action["outputs"][name]["value"] == f"${{{{ steps.netreach.outputs.{name} }}}}"
    return Result(code, log, errors, outputs, files["summary"].read_text(encoding="utf-8"))


def expanded(text: str, contexts: Mapping[str, Mapping[str, str]]) -> str:
    return EXPRESSION.sub(lambda match: contexts[match[1]][match[2]], str(text))
