"""The image's recipe: hadolint has nothing against it, and it says what docs/app.md promises. Its steps: scripts/image_steps.py."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.image_steps import instructions

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = ROOT / "deploy" / "Dockerfile"
STEPS = instructions(FILE.read_text(encoding="utf-8"))


def said(name: str) -> list[str]:
    return [words for step, words in STEPS if step == name]


def test_hadolint():
    beside = Path(sys.executable).parent / "hadolint"
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not here")
    done = subprocess.run([hadolint, str(FILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_it_promises():
    assert all(":" in image.split()[0] for image in said("FROM"))
    assert said("USER") == ["65532:65532"]
    assert said("ENTRYPOINT") == ['["python", "-m", "bot"]']
    assert len(said("HEALTHCHECK")) == 1
    installs = [words for words in said("RUN") if "pip install" in words]
    assert all("--require-hashes" in words and "--only-binary :all:" in words for words in installs)
    assert not said("ADD")


def test_only_what_is_needed_is_copied():
    sent = {line[1:] for line in FILE.with_name("Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for words in said("COPY") if not words.startswith("--from") for source in words.split()[:-1]}
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)
