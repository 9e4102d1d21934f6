"""The local GitHub as an App sees it: a JWT for the App, tokens narrowed to repositories, deliveries, and Git over HTTP beside the API."""

from __future__ import annotations

import base64
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.conftest import Git
from tests.github.local import Fault, GitHub, Handler, example, serving

APP = "4711"
SLUG = "octoapp"
BOT = f"{SLUG}[bot]"
SECRET = "It's a Secret to Everybody"
NARROW = {"contents", "pull_requests", "checks", "metadata"}


class Hosted(NamedTuple):
    """A repository: its id, its installation, and the bare folder that Git serves it from."""

    id: int
    installation: int
    folder: Path


class Granted(NamedTuple):
    """What a token may do: the repository's id (0: all of the installation), and its permissions."""

    installation: int
    repository: int
    permissions: tuple[tuple[str, str], ...]


@cache
def key() -> tuple[str, Any]:
    """The App's private key (PEM), and what verifies it."""
    private = rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return pem.decode(), private.public_key()


class AppGitHub(GitHub):
    """`hosted`: the repositories by name. Every pull request has a number of its own, whatever its repository."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = {}
        self.hosted: dict[str, Hosted] = {}
        self.granted: dict[str, Granted] = {}
        self.refused: set[str] = set()  # permissions that installations have not accepted: all, or those of `poor`
        self.poor: set[int] = set()
        self.deliveries: list[dict[str, Any]] = []
        self.again: list[int] = []
        self.fetches: list[str] = []
        self._token: Granted | None = None

    @property
    def web(self) -> str:
        return self.url.removesuffix("/api/v3")

    def host(self, name: str, number: int, folder: Path, installation: int = 77) -> Git:
        """A new repository; what is returned is a clone to work in, whose `origin` is what Git serves."""
        bare = folder / f"{number}.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
        for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant", "http.receivepack"):
            subprocess.run(["git", "-C", str(bare), "config", setting, "true"], check=True)
        self.hosted[name] = Hosted(number, installation, bare)
        work = Git(folder / f"work-{number}")
        work.run("remote", "add", "origin", str(bare))
        return work

    def pull(self, number: int, head: str, base_ref: str = "main", fork: bool = False, branch: str = "topic",
             repository: str = "acme/platform") -> None:  # fmt: skip
        super().pull(number, head, base_ref, fork, branch, repository)
        one = self.hosted[repository]
        pull = self.pulls[number]
        pull["updated_at"] = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        pull["draft"] = False
        pull["base"]["repo"]["id"], pull["head"]["repo"]["id"] = one.id, one.id + (1_000_000 if fork else 0)
        pull["base"]["repo"]["full_name"] = repository
        subprocess.run(["git", "-C", str(one.folder), "update-ref", f"refs/pull/{number}/head", head], check=True)

    def login(self, token: str) -> str:
        self._token = self.granted.get(token)
        if self._token is not None:
            return BOT
        try:
            claims = jwt.decode(token, key()[1], algorithms=["RS256"])
        except jwt.InvalidTokenError:
            return ""
        good = claims["iss"] == APP and claims["exp"] - time.time() <= 600 and claims["iat"] <= time.time()
        return "app" if good else ""

    def checks(self, head: str) -> list[dict[str, Any]]:
        """Every check run on a commit, the oldest first."""
        return [run for _, run in sorted(self.runs.items()) if run["head_sha"] == head]

    def _routed(
        self, name: str, at: dict[str, str], query: dict[str, str], body: Any, login: str
    ) -> tuple[int, Any, dict[str, str]]:
        missing: Any = 404, {"message": "Not Found", "documentation_url": "https://x"}, {}
        if (login == "app") != (" /app" in name):
            return 401, {"message": "A JSON web token is for /app", "documentation_url": "https://x"}, {}
        if name == "GET /app":
            return 200, {**example(name, "200"), "id": int(APP), "slug": SLUG}, {}
        if name == "POST /app/installations/{installation_id}/access_tokens":
            return self._granted(int(at["installation_id"]), body or {})
        if name == "GET /app/installations":
            # The description wants an account to be a user and an enterprise at once; or null.
            one = {**example(name, "200")[0], "account": None, "suspended_at": None}
            return 200, [{**one, "id": i} for i in sorted({r.installation for r in self.hosted.values()})], {}
        if name == "GET /app/hook/deliveries":
            size = int(query["per_page"])
            start = int(query.get("cursor", "0"))
            rows = self.deliveries[start : start + size]
            more = {"Link": f'<{self.url}/app/hook/deliveries?per_page={size}&cursor={start + size}>; rel="next"'}
            return 200, rows, more if start + size < len(self.deliveries) else {}
        if name == "POST /app/hook/deliveries/{delivery_id}/attempts":
            self.again.append(int(at["delivery_id"]))
            return 202, {}, {}
        assert self._token is not None
        if name == "GET /installation/repositories":
            found = [(n, r) for n, r in self.hosted.items() if r.installation == self._token.installation]
            one = example(name, "200")["repositories"][0]
            rows = [{**one, "id": r.id, "full_name": n, "name": n.partition("/")[2]} for n, r in found]
            return 200, {"total_count": len(rows), "repositories": rows}, {}
        hosted = self.hosted.get(self.repository)
        if hosted is None or hosted.installation != self._token.installation or self._token.repository not in (0, hosted.id):
            self.problems.append(f"a token of another repository: {name} {self.repository}")
            return missing
        needed = "checks" if "check-runs" in name else "pull_requests"
        if not name.startswith("GET") and dict(self._token.permissions).get(needed) != "write":
            return 403, {"message": "Resource not accessible by integration", "documentation_url": "https://x"}, {}
        answer = super()._routed(name, at, query, body, login)
        if isinstance(answer[1], dict) and "check_suite" in answer[1]:
            answer[1]["pull_requests"] = []
        return answer

    def _granted(self, installation: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        refused = self.refused if not self.poor or installation in self.poor else set()
        wanted = body.get("permissions", dict.fromkeys(NARROW - refused, "write"))
        if wanted.keys() & refused:
            words = "The permissions requested are not granted to this installation."
            return 422, {"message": words, "documentation_url": "https://x"}, {}
        answer = example("POST /app/installations/{installation_id}/access_tokens", "201")
        self.number += 1
        answer["token"] = f"ghs_{installation}_{self.number}"
        answer["expires_at"] = datetime.fromtimestamp(time.time() + 3600, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        (repository,) = body.get("repository_ids", [0])
        self.granted[answer["token"]] = Granted(installation, repository, tuple(wanted.items()))
        return 201, answer, {}


class AppHandler(Handler):
    """Git's own HTTP backend for what is below `/OWNER/NAME.git`, the API for the rest."""

    github: AppGitHub

    def _git(self) -> bool:
        parts = urlsplit(self.path)
        name, dot, rest = parts.path[1:].partition(".git/")
        if not dot:
            return False
        size = int(self.headers.get("Content-Length") or 0)
        body = self._chunks() if self.headers.get("Transfer-Encoding") == "chunked" else self.rfile.read(size)
        given = (self.headers.get("Authorization") or "").rpartition(" ")[2]
        user, _, token = base64.b64decode(given).decode().partition(":")
        memory = self.github
        with memory.lock:
            hosted, granted = memory.hosted.get(name), memory.granted.get(token)
            memory.fetches.append(f"{self.command} {parts.path}")
            fault = memory.fault(f"GIT {parts.path}")
        allowed = user == "x-access-token" and hosted and granted and granted.repository == hosted.id
        if not allowed or hosted is None or (fault is not None and fault.status):
            self.send_response(fault.status if fault is not None else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return True
        if fault is not None:
            time.sleep(fault.delay)
        self._backend(hosted.folder, rest, parts.query, body)
        return True

    def _chunks(self) -> bytes:
        out = b""
        while size := int(self.rfile.readline().strip(), 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def _backend(self, folder: Path, rest: str, query: str, body: bytes) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(folder.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{folder.name}/{rest}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:  # noqa: N802
        if not self._git():
            self._do()

    def do_POST(self) -> None:  # noqa: N802
        if not self._git():
            self._do()


@contextmanager
def running() -> Iterator[AppGitHub]:
    """The App's GitHub on loopback. Fails at the end on any problem."""
    memory = AppGitHub()
    with serving(memory, AppHandler):
        yield memory


__all__ = ["APP", "BOT", "SECRET", "AppGitHub", "Fault", "key", "running"]
