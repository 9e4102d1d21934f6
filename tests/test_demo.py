"""`scripts/demo.sh`, what `make demo` runs: the review of the tutorial's pull request, from Git, on a bare machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "demo.sh"


def demo(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script far from the checkout, in an empty environment and home."""
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(scratch), "PYTHON": sys.executable}
    done = subprocess.run(
        [str(SCRIPT)], env={**own, **environment}, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=120
    )
    assert list(scratch.iterdir()) == [], "the demo leaves something behind"
    return done


def test_demo_prints_the_review(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("frontend/web", "database/db", "TCP 5432", "kube-system/kube-dns"))
    assert all(word in done.stdout for word in ("allow-db-from-api", "allow-web-to-db", "allow-dns"))
    assert "FORMAT=markdown make demo" in done.stderr


def test_demo_prints_the_comment(tmp_path: Path) -> None:
    done = demo(tmp_path, FORMAT="markdown")
    assert done.returncode == 0, done.stderr
    assert "| Change | From | To | Ports | Why |" in done.stdout
    assert done.stdout.count("\n|") < 30, "a table of a few rows"


def test_demo_compares_two_refs(tmp_path: Path) -> None:
    done = demo(tmp_path, FORMAT="json")
    document = json.loads(done.stdout)
    assert (document["base"]["ref"], document["head"]["ref"], document["mode"]) == ("main", "pull-request", "merge")
    assert document["environments"][0]["incomplete"] == []


@pytest.mark.parametrize("format", ["json", "markdown"])
def test_demo_is_the_same_every_time(tmp_path: Path, format: str) -> None:
    one, two = (demo(tmp_path, FORMAT=format, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert one.stdout == two.stdout != ""


def test_demo_is_not_led_astray_by_the_git_around_it(tmp_path: Path) -> None:
    config = "[commit]\n\tgpgSign = true\n[init]\n\tdefaultBranch = trunk\n[merge]\n\tff = only\n"
    (tmp_path / ".gitconfig").write_text(config, encoding="utf-8")
    assert demo(tmp_path, GIT_DIR=str(tmp_path / "nowhere")).returncode == 0


@pytest.mark.parametrize("python", ["false", "no-such-python"])
def test_demo_fails_where_there_is_no_review(tmp_path: Path, python: str) -> None:
    done = demo(tmp_path, PYTHON=python)
    assert done.returncode != 0
    assert done.stdout == ""


def test_demo_fails_when_the_review_is_not_printed(tmp_path: Path) -> None:
    done = demo(tmp_path, FORMAT="no-such-format")
    assert done.returncode == 2
    assert "no-such-format" in done.stderr


def test_demo_is_plain_sh(tmp_path: Path) -> None:
    dash = shutil.which("dash")
    if dash:
        subprocess.run([dash, "-n", str(SCRIPT)], check=True)
    assert SCRIPT.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
