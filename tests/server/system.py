"""A GitHub on loopback in; the App beside it out: its web process and its workers as they run in earnest, and webhooks sent to it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from tests.github.local import WEBHOOKS
from tests.server.github import APP, SECRET, AppGitHub, key

ROOT = Path(__file__).resolve().parent.parent.parent


def environment(github: AppGitHub, folder: Path, database: str = "", **more: str) -> dict[str, str]:
    """The settings of the App, quick: no second between two writes, no pause after a push."""
    pem = folder / "key.pem"
    if not pem.exists():
        pem.write_text(key()[0], encoding="utf-8")
    out = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return out | {
        "NETREACH_APP_ID": APP,
        "NETREACH_PRIVATE_KEY_FILE": str(pem),
        "NETREACH_WEBHOOK_SECRET": SECRET,
        "NETREACH_GITHUB_URL": github.web,
        "NETREACH_DATA_DIR": str(folder / "data"),
        "NETREACH_DATABASE_URL": database,
        "NETREACH_LISTEN": "127.0.0.1:0",
        "NETREACH_METRICS_LISTEN": "none",
        "NETREACH_EXECUTOR_ID": "one",
        "NETREACH_PUSH_SECONDS": "0",
        "NETREACH_WRITE_MILLISECONDS": "0",
        "NETREACH_RECONCILE_SECONDS": "600",
        **more,
    }


class Process:
    """A process of the App. `ready`: what it says once it is up."""

    def __init__(self, part: str, settings: dict[str, str], log: Path) -> None:
        self.part, self.settings, self.log = part, settings, log
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "bot", "app", self.part], cwd=ROOT, env=self.settings, stdout=log, stderr=log
            )

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def ready(self) -> Process:
        wait(lambda: "listening on" in self.said() or "is ready" in self.said(), 90, self.said)
        return self

    def restart(self) -> None:
        """Killed outright, and started again."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def end(self, number: int = signal.SIGKILL) -> int:
        """Its exit status. What is under way need not come to an end in tests, which saves the time that DBOS gives it."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


class System:
    """The App, running. `url`: where its webhooks go."""

    def __init__(self, web: Process, workers: list[Process]) -> None:
        self.web, self.workers = web, workers
        self.url = web.said().partition("listening on ")[2].partition('"')[0] + "/webhooks/github"

    def send(self, event: str, payload: dict[str, Any], delivery: str = "") -> tuple[int, dict[str, Any]]:
        return send(self.url, event, payload, delivery)

    def logs(self) -> str:
        return "\n".join(f"--- {one.part}\n{one.said()[-4000:]}" for one in (self.web, *self.workers))

    def wait(self, what: Callable[[], bool], seconds: float = 90) -> None:
        wait(what, seconds, self.logs)


@contextmanager
def system(settings: dict[str, str], folder: Path, workers: int = 1) -> Iterator[System]:
    processes = [Process("serve", settings, folder / "web.log")]
    try:
        processes[0].ready()
        for number in range(workers):
            own = {**settings, "NETREACH_EXECUTOR_ID": f"worker-{number}"}
            processes.append(Process("worker", own, folder / f"worker-{number}.log"))
        for one in processes[1:]:
            one.ready()
        yield System(processes[0], processes[1:])
    finally:
        for one in processes:
            one.end()


def wait(what: Callable[[], bool], seconds: float, told: Callable[[], str]) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, told()
        time.sleep(0.05)


def headers(event: str, body: bytes, delivery: str = "", secret: str = SECRET) -> dict[str, str]:
    """What GitHub sends with a body."""
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery or str(uuid.uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


def send(url: str, event: str, payload: dict[str, Any], delivery: str = "", secret: str = SECRET) -> tuple[int, dict[str, Any]]:
    """Post a webhook as GitHub does; the status and the answer."""
    body = json.dumps(payload).encode()
    request = urllib.request.Request(url, body, headers(event, body, delivery, secret), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def webhook(event: str, action: str = "", index: int = 0) -> dict[str, Any]:
    """One of GitHub's own examples, of that action."""
    rows = [one for one in WEBHOOKS["examples"][event] if not action or one.get("action") == action]
    return deepcopy(rows[index] if rows else WEBHOOKS["examples"][event][index])


def pull_event(github: AppGitHub, number: int, action: str, **more: Any) -> dict[str, Any]:
    """The webhook for a pull request as GitHub now has it."""
    payload = webhook("pull_request", "opened")
    pull = github.pulls[number]
    repository = pull["base"]["repo"]["full_name"]
    payload |= {"action": action, "number": number, **more}
    payload["installation"] = {"id": github.hosted[repository].installation, "node_id": "x"}
    payload["repository"] |= {"id": github.hosted[repository].id, "full_name": repository}
    payload["pull_request"] |= {"number": number, "state": pull["state"], "draft": pull["draft"]}
    for side in ("head", "base"):
        payload["pull_request"][side] |= {"sha": pull[side]["sha"], "ref": pull[side]["ref"]}
    return payload


def event(github: AppGitHub, name: str, action: str, repository: str = "acme/platform", **more: Any) -> dict[str, Any]:
    """Another webhook of a repository."""
    payload = webhook(name, action)
    payload |= {"installation": {"id": github.hosted[repository].installation, "node_id": "x"}, **more}
    payload.setdefault("repository", {}).update({"id": github.hosted[repository].id, "full_name": repository})
    return payload


def valid(name: str, payload: dict[str, Any]) -> str:
    """What GitHub's schema of an event has against a payload."""
    schema = {"$ref": f"#/definitions/{name}_event", "definitions": WEBHOOKS["schema"]["definitions"]}
    error = next(iter(Draft7Validator(schema).iter_errors(payload)), None)
    return "" if error is None else f"{error.json_path}: {error.message[:200]}"
