"""A GitHub on loopback with a memory: pull requests, comments, check runs; every request and response held to GitHub's own description.

What is not described there, or does not fit it, is an error of the test (`problems`). Faults are queued with `fail`.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep, time
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft7Validator

API = json.loads(gzip.decompress((Path(__file__).parent / "api.json.gz").read_bytes()))
WEBHOOKS = json.loads(gzip.decompress((Path(__file__).parent / "webhooks.json.gz").read_bytes()))
BOT = "github-actions[bot]"
REPOSITORY = "acme/platform"
LONGEST = 65_536


class Fault(NamedTuple):
    """What to answer in place of the truth, for calls whose `METHOD path` matches. `after`: do it first, then answer this.

    `status` 0 drops the connection. `delay`: seconds before the answer.
    """

    pattern: str
    status: int
    message: str = "fault"
    headers: tuple[tuple[str, str], ...] = ()
    after: bool = False
    delay: float = 0.0


class Call(NamedTuple):
    method: str
    path: str
    body: Any
    status: int
    login: str
    at: float = 0.0


def matcher(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))


ROUTES = [
    (method, matcher(path), f"{method} {path}")
    for method, _, path in (name.partition(" ") for name in API["operations"])
]
VALIDATORS: dict[str, Draft7Validator] = {}


def complaint(schema: Any, value: Any) -> str:
    if schema is None:
        return ""
    key = json.dumps(schema, sort_keys=True)
    if key not in VALIDATORS:
        VALIDATORS[key] = Draft7Validator({"allOf": [schema], "schemas": API["schemas"]})
    error = next(iter(VALIDATORS[key].iter_errors(value)), None)
    return "" if error is None else f"{error.json_path}: {error.message[:300]}"


def example(operation: str, status: str) -> Any:
    return deepcopy(API["operations"][operation]["responses"][status]["example"])


class GitHub:
    """The memory. `url` is the API's base address, `tokens` says whose a token is; a login that is not in `writers` gets 403."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.url = ""
        self.tokens: dict[str, str] = {"ghs_actions": BOT, "ghp_user": "mallory"}
        self.readers: set[str] = set()
        self.pulls: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, dict[str, Any]] = {}
        self.issue_of: dict[int, int] = {}
        self.minimized: set[int] = set()
        self.runs: dict[int, dict[str, Any]] = {}
        self.annotations: dict[int, list[dict[str, Any]]] = {}
        self.faults: list[Fault] = []
        self.calls: list[Call] = []
        self.problems: list[str] = []
        self.number = 1000
        self.longest = LONGEST
        self.repository = REPOSITORY  # of the call that is being answered

    # What tests say happened.

    def login(self, token: str) -> str:
        """Whose the token is that the call being answered came with; nobody's: ''."""
        return self.tokens.get(token, "")

    def pull(
        self,
        number: int,
        head: str,
        base_ref: str = "main",
        fork: bool = False,
        branch: str = "topic",
        repository: str = REPOSITORY,
    ) -> None:
        pull = example("GET /repos/{owner}/{repo}/pulls/{pull_number}", "200")
        pull["number"], pull["state"], pull["requested_teams"] = number, "open", []
        pull["url"] = f"{self.url}/repos/{repository}/pulls/{number}"
        pull["issue_url"] = f"{self.url}/repos/{repository}/issues/{number}"
        pull["comments_url"] = f"{pull['issue_url']}/comments"
        pull["head"]["sha"], pull["head"]["ref"], pull["base"]["ref"] = head, branch, base_ref
        owner = "stranger" if fork else "acme"
        pull["head"]["label"], pull["head"]["user"]["login"] = f"{owner}:{branch}", owner
        pull["head"]["repo"]["id"] = pull["base"]["repo"]["id"] + (1 if fork else 0)
        self.pulls[number] = pull

    def say(self, number: int, login: str, body: str) -> int:
        """Someone comments."""
        with self.lock:
            return int(self._comment(number, login, body)["id"])

    def fail(self, *faults: Fault) -> None:
        self.faults += faults

    def bodies(self, number: int, login: str = BOT) -> list[str]:
        return [
            comment["body"]
            for key, comment in sorted(self.comments.items())
            if self.issue_of[key] == number and comment["user"]["login"] == login
        ]

    def count(self, pattern: str) -> int:
        return sum(1 for call in self.calls if re.search(pattern, f"{call.method} {call.path}"))

    # What the server does.

    def answer(
        self, method: str, path: str, query: dict[str, str], body: Any, login: str
    ) -> tuple[int, Any, dict[str, str]]:
        if (method, path) == ("POST", "/graphql"):
            return 200, self._graphql(str(body["query"]), body.get("variables") or {}, login), {}
        for verb, pattern, name in ROUTES:
            match = pattern.fullmatch(path) if verb == method else None
            if match is not None:
                described = API["operations"][name]
                unknown = query.keys() - described["query"].keys()
                if unknown:
                    self.problems.append(f"{name}: no parameters {sorted(unknown)}")
                at = match.groupdict()
                if "repo" in at:
                    self.repository = f"{at['owner']}/{at['repo']}"
                if wrong := complaint(described["body"], body):
                    self.problems.append(f"{name} request {wrong}")
                status, answer, headers = self._routed(name, at, query, body, login)
                response = described["responses"].get(str(status))
                if response is None and status < 400:
                    self.problems.append(f"{name}: no status {status}")
                elif response is not None and (wrong := complaint(response["schema"], answer)):
                    self.problems.append(f"{name} response {status} {wrong}")
                return status, answer, headers
        self.problems.append(f"not described: {method} {path}")
        return 404, {"message": "Not Found"}, {}

    def _routed(
        self, name: str, at: dict[str, str], query: dict[str, str], body: Any, login: str
    ) -> tuple[int, Any, dict[str, str]]:
        method, _, path = name.partition(" ")
        tail = path.removeprefix("/repos/{owner}/{repo}")
        if method != "GET" and login in self.readers:
            return 403, {"message": "Resource not accessible by integration", "documentation_url": "https://x"}, {}
        missing: Any = 404, {"message": "Not Found", "documentation_url": "https://x"}, {}
        if tail == "/pulls/{pull_number}":
            pull = self.pulls.get(int(at["pull_number"]))
            return (200, pull, {}) if pull else missing
        if tail == "/pulls":
            simple = example(name, "200")[0]
            rows = []
            for pull in self.pulls.values():
                same = query.get("head", pull["head"]["label"]) == pull["head"]["label"]
                same = same and query.get("base", pull["base"]["ref"]) == pull["base"]["ref"]
                same = same and query.get("state", "open") in (pull["state"], "all")
                if same and f"/repos/{self.repository}/pulls/" in pull["url"]:
                    rows.append({key: pull.get(key, value) for key, value in simple.items()})
            return 200, rows, {}
        if tail == "/issues/{issue_number}/comments":
            number = int(at["issue_number"])
            if method == "GET":
                rows = [row for key, row in sorted(self.comments.items()) if self.issue_of[key] == number]
                return self._page(rows, f"/repos/{self.repository}/issues/{number}/comments", query)
            if len(body["body"]) > self.longest:
                return self._too_long()
            return 201, self._comment(number, login, body["body"]), {}
        if tail == "/issues/comments/{comment_id}":
            key = int(at["comment_id"])
            if key not in self.comments:
                return missing
            if method == "PATCH":
                if len(body["body"]) > self.longest:
                    return self._too_long()
                self.comments[key]["body"] = body["body"]
            if method == "DELETE":
                del self.comments[key]
                return 204, None, {}
            return 200, self.comments[key], {}
        if tail == "/check-runs":
            return 201, self._run(body), {}
        if tail == "/check-runs/{check_run_id}":
            run = self.runs.get(int(at["check_run_id"]))
            if run is None:
                return missing
            if method == "PATCH":
                self._change(run, body)
            return 200, run, {}
        if tail == "/commits/{ref}/check-runs":
            rows = [
                run
                for run in self.runs.values()
                if run["head_sha"] == at["ref"] and run["name"] == query.get("check_name", run["name"])
            ]
            return 200, {"total_count": len(rows), "check_runs": rows}, {}
        self.problems.append(f"this GitHub does not do {name}")
        return missing

    def _too_long(self) -> tuple[int, Any, dict[str, str]]:
        message = "Body is too long (maximum is 65536 characters)"
        errors = [{"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": message}]
        return 422, {"message": "Validation Failed", "errors": errors, "documentation_url": "https://x"}, {}

    def _page(self, rows: list[Any], path: str, query: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
        kept = rows[(page - 1) * size : page * size]
        if page * size >= len(rows):
            return 200, kept, {}
        return 200, kept, {"Link": f'<{self.url}{path}?per_page={size}&page={page + 1}>; rel="next"'}

    def _comment(self, number: int, login: str, body: str) -> dict[str, Any]:
        self.number += 1
        comment = example("POST /repos/{owner}/{repo}/issues/{issue_number}/comments", "201")
        comment |= {"id": self.number, "node_id": f"IC_{self.number}", "body": body}
        comment["url"] = f"{self.url}/repos/{self.repository}/issues/comments/{self.number}"
        comment["html_url"] = f"https://github.com/{self.repository}/pull/{number}#issuecomment-{self.number}"
        comment["user"] |= {"login": login, "type": "Bot" if login.endswith("[bot]") else "User"}
        self.comments[self.number] = comment
        self.issue_of[self.number] = number
        return comment

    def _run(self, body: dict[str, Any]) -> dict[str, Any]:
        self.number += 1
        run = example("POST /repos/{owner}/{repo}/check-runs", "201")
        run |= {"id": self.number, "external_id": "", "conclusion": None, "completed_at": None, "status": "queued"}
        run["url"] = f"{self.url}/repos/{self.repository}/check-runs/{self.number}"
        run["output"] |= {"title": None, "summary": None, "text": None, "annotations_count": 0}
        self.runs[self.number] = run
        self.annotations[self.number] = []
        self._change(run, body)
        return run

    def _change(self, run: dict[str, Any], body: dict[str, Any]) -> None:
        output = dict(body.get("output") or {})
        added = output.pop("annotations", [])
        if len(added) > 50:
            self.problems.append(f"{len(added)} annotations in one request")
        self.annotations[run["id"]] += added
        run["output"] |= {**output, "annotations_count": len(self.annotations[run["id"]])}
        run |= {key: value for key, value in body.items() if key not in ("output", "actions")}
        if "conclusion" in body:
            run |= {"status": "completed", "completed_at": "2026-01-01T00:00:00Z"}

    def _graphql(self, text: str, variables: dict[str, Any], login: str) -> dict[str, Any]:
        if "viewer" in text:
            return {"data": {"viewer": {"login": login.removesuffix("[bot]")}}}
        match = re.search(r"IC_(\d+)", json.dumps(variables) + text)
        if "minimizeComment" in text and match and int(match[1]) in self.comments:
            self.minimized.add(int(match[1]))
            return {"data": {"minimizeComment": {"minimizedComment": {"isMinimized": True}}}}
        return {"errors": [{"message": "not known here"}]}

    def fault(self, call: str) -> Fault | None:
        for index, one in enumerate(self.faults):
            if re.search(one.pattern, call):
                return self.faults.pop(index)
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    github: GitHub

    def _do(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        path = parts.path.removeprefix("/api/v3").replace("/api/graphql", "/graphql")
        token = (self.headers.get("Authorization") or "").rpartition(" ")[2]
        memory = self.github
        with memory.lock:
            fault = memory.fault(f"{self.command} {path}")
            login = memory.login(token)
            if not login:
                status, answer, headers = 401, {"message": "Bad credentials"}, dict[str, str]()
            elif fault is None or fault.after or (fault.delay and fault.status == 200):
                status, answer, headers = memory.answer(self.command, path, query, body, login)
                answer = deepcopy(answer)
            if fault is not None and not (fault.delay and fault.status == 200):
                status, answer, headers = fault.status, {"message": fault.message}, dict(fault.headers)
            memory.calls.append(Call(self.command, path, body, status, login, time()))
        if fault is not None and fault.delay:
            sleep(fault.delay)
        if status == 0:
            self.close_connection = True
            self.connection.close()
            return
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _do  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def running() -> Iterator[GitHub]:
    """A GitHub Enterprise Server by its addresses (`/api/v3`, `/api/graphql`), served from a thread. Fails at the end on any problem."""
    memory = GitHub()
    with serving(memory, Handler):
        yield memory


@contextmanager
def serving(memory: GitHub, base: type[Handler]) -> Iterator[None]:
    """As `running`, with a memory and a handler of one's own."""
    handler = type("Served", (base,), {"github": memory})
    with _Server(("127.0.0.1", 0), handler) as server:
        memory.url = f"http://127.0.0.1:{server.server_port}/api/v3"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
    assert not memory.problems, memory.problems[:5]
