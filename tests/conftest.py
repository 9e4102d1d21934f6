"""What every test may use: small Git repositories whose commits are the same on every machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest


class Git:
    """A Git repository in a folder, written to the way a person does."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.run("init", "-q", "-b", "main", *options)

    def run(self, *arguments: str, check: bool = True) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C",
        }
        for role in ("AUTHOR", "COMMITTER"):
            environment |= {
                f"GIT_{role}_NAME": "a",
                f"GIT_{role}_EMAIL": "a@example.org",
                f"GIT_{role}_DATE": "1700000000 +0000",
            }
        done = subprocess.run(["git", "-C", str(self.root), *arguments], capture_output=True, env=environment)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Put files into the working tree; None removes one."""
        for name, content in files.items():
            path = self.root / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Mapping[str, str | bytes | None] | None = None, message: str = "change") -> str:
        self.write(files or {})
        self.run("add", "--all")
        self.run("commit", "-q", "--allow-empty", "-m", message)
        return self.run("rev-parse", "HEAD")

    def snapshot(self) -> dict[str, bytes]:
        """Every file below .git, to see that nothing was written there."""
        folder = self.root / ".git" if (self.root / ".git").is_dir() else self.root
        return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """An empty repository on branch main."""
    return Git(tmp_path / "repository")
