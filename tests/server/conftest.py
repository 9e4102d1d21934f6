"""An App with one worker, running beside a GitHub on loopback with one repository."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Git
from tests.server.github import BOT, AppGitHub, running
from tests.server.system import System, environment, event, pull_event, system

DENY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""
POD = """apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: shop, labels: {app: NAME}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}
"""
FILES = {
    "k8s/deny.yaml": DENY,
    "k8s/web.yaml": POD.replace("NAME", "web"),
    "k8s/db.yaml": POD.replace("NAME", "db"),
    "README.md": "shop\n",
}


class Scene:
    """One repository, `acme/platform`, and what people do there."""

    def __init__(self, github: AppGitHub, work: Git, app: System, folder: Path) -> None:
        self.github, self.work, self.app, self.folder = github, work, app, folder
        self._numbers = itertools.count(1)

    def branch(self, files: dict[str, str | None], base: str = "main", name: str = "") -> tuple[str, str]:
        """A branch off a base with some files changed, pushed; its name and its head."""
        name = name or f"topic-{next(self._numbers)}"
        self.work.run("checkout", "-q", "-B", name, base)
        return name, self.push(files, name)

    def push(self, files: dict[str, str | None], name: str) -> str:
        """A commit more on a branch, pushed."""
        self.work.run("checkout", "-q", name)
        head = self.work.commit(files, f"change {next(self._numbers)}")
        self.work.run("push", "-q", "--force", "origin", name)
        return head

    def unannounced(self, files: dict[str, str | None], **more: Any) -> tuple[int, str, str]:
        """As `open`, without the webhook."""
        name, head = self.branch(files)
        number = 100 + next(self._numbers)
        self.github.pull(number, head, branch=name, **more)
        return number, name, head

    def open(self, files: dict[str, str | None], action: str = "opened", **more: Any) -> tuple[int, str, str]:
        """A pull request with some files changed, and its webhook; its number, branch and head."""
        number, name, head = self.unannounced(files, **more)
        self.tell(number, action)
        return number, name, head

    def tell(self, number: int, action: str, expected: int = 202, **more: Any) -> None:
        status, answer = self.app.send("pull_request", pull_event(self.github, number, action, **more))
        assert status == expected, answer

    def event(self, name: str, action: str, expected: int = 202, **more: Any) -> None:
        status, answer = self.app.send(name, event(self.github, name, action, **more))
        assert status == expected, answer

    def change(self, number: int, head: str, **more: Any) -> None:
        """The head of a pull request moves; its webhook."""
        self.github.pulls[number]["head"]["sha"] = head
        self.tell(number, "synchronize", **more)

    def concluded(self, head: str, count: int = 1) -> dict[str, Any]:
        """The newest check on a commit, once `count` of them are finished."""

        def finished() -> bool:
            runs = self.github.checks(head)
            return len(runs) >= count and all(run["status"] == "completed" for run in runs)

        self.app.wait(finished)
        runs = self.github.checks(head)
        assert len(runs) == count, [(run["external_id"], run["conclusion"]) for run in runs]
        return runs[-1]

    def comments(self, number: int) -> list[str]:
        return self.github.bodies(number, BOT)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("app")
    with running() as github:
        work = github.host("acme/platform", 500, folder)
        work.commit(dict(FILES))
        work.run("push", "-q", "origin", "main")
        with system(environment(github, folder), folder) as app:
            yield Scene(github, work, app, folder)
