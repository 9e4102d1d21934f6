"""The action and every workflow, our own and those that docs show, by actionlint and zizmor: no finding."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
SHOWN = sorted((ROOT / "docs" / "workflows").glob("*.yml"))
OWN = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"


def test_every_way_is_shown():
    names = {"pull-request", "fork", "dependabot-updates", "merge-group", "workflow-run", "pull-request-target"}
    assert {file.stem for file in SHOWN} == names
    text = (ROOT / "docs" / "action.md").read_text(encoding="utf-8")
    assert all(f"workflows/{name}.yml" in text for name in names)


def test_zizmor():
    zizmor = Path(sys.executable).parent / "zizmor"
    command = [str(zizmor), "--offline", "--no-progress", str(ROOT / "action.yml"), *map(str, OWN + SHOWN)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint():
    # A binary that PyPI's package would download; Go builds it from its module.
    if found := shutil.which("actionlint"):
        command = [found]
    elif go := shutil.which("go"):
        command = [go, "run", ACTIONLINT]
    else:
        pytest.skip("neither actionlint nor go is here")
    done = subprocess.run(
        [*command, "-shellcheck=", *map(str, OWN + SHOWN)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", SHOWN, ids=lambda file: file.stem)
def test_what_a_shown_workflow_must_not_do(file: Path):
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    for trigger in (workflow[True] or {}).values():
        assert "paths" not in (trigger or {})
    for job in workflow["jobs"].values():
        assert "if" not in job
        for step in job["steps"]:
            assert "run" not in step
            assert len(step["uses"].partition("@")[2]) == 40
            if "netreach" in step["uses"]:
                assert step.get("with", {}).keys() <= action["inputs"].keys()
            else:
                assert step["with"]["persist-credentials"] is False
                assert "ref" not in step["with"]
