"""The webhook's contract: what is answered to which delivery, and what is stored."""

from __future__ import annotations

import hashlib
import hmac
import json
from copy import deepcopy
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.server.app import Full, create_app, signed
from bot.server.deliveries import Job, interpret
from bot.server.settings import Limits, Settings, read
from tests.github.local import WEBHOOKS

EXAMPLES: dict[str, list[dict[str, Any]]] = WEBHOOKS["examples"]
SECRET = b"It's a Secret to Everybody"
VECTOR = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
SHA = "b7d4e117c0a2" + "0" * 28
ENVIRONMENT = {"NETREACH_APP_ID": "1", "NETREACH_PRIVATE_KEY_FILE": "/key.pem", "NETREACH_WEBHOOK_SECRET": "s"}


class Memory:
    """A queue that remembers."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.full = False

    def put(self, delivery: str, job: Job) -> bool:
        if self.full:
            raise Full("the queue is full")
        return self.jobs.setdefault(delivery, job) is job


def settings(*secrets: bytes) -> Settings:
    return read(ENVIRONMENT)._replace(secrets=secrets or (SECRET,))


@pytest.fixture
def queue() -> Memory:
    return Memory()


@pytest.fixture
def client(queue: Memory) -> FlaskClient:
    return create_app(settings(SECRET, b"the old one"), queue).test_client()


def post(client: FlaskClient, body: bytes, secret: bytes = SECRET, **headers: str) -> tuple[int, Any]:
    given = {
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": "94f8a0ee-2922-4688-ab9a-35c4e324526e",
        "Content-Type": "application/json",
    }
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.post("/webhooks/github", data=body, headers={k: v for k, v in given.items() if v})
    return answer.status_code, answer.get_json(silent=True)


def payload(action: str = "opened", **more: Any) -> dict[str, Any]:
    found = deepcopy(EXAMPLES["pull_request"][0])
    return {**found, "action": action, "installation": {"id": 7}, **more}


def test_the_documented_vector():
    assert signed(b"Hello, World!", VECTOR, [SECRET])
    assert signed(b"Hello, World!", VECTOR, [b"another", SECRET])
    assert not signed(b"Hello, World?", VECTOR, [SECRET])
    assert not signed(b"Hello, World!", VECTOR.upper(), [SECRET])


@pytest.mark.parametrize("signature", ["", "sha256=", "sha1=" + "0" * 40, "sha256=\u00e9", "\u2603" * 71, VECTOR[7:]])
def test_a_wrong_signature_is_401(client: FlaskClient, queue: Memory, signature: str):
    body = json.dumps(payload()).encode()
    answer = client.post(
        "/webhooks/github", data=body, environ_overrides={"HTTP_X_HUB_SIGNATURE_256": signature.encode().decode("latin-1")},
        headers={"X-GitHub-Event": "pull_request", "X-GitHub-Delivery": "a", "Content-Type": "application/json"})  # fmt: skip
    assert answer.status_code == 401
    assert not queue.jobs


def test_stored_then_202(client: FlaskClient, queue: Memory):
    body = json.dumps(payload()).encode()
    assert post(client, body) == (202, {"queued": "94f8a0ee-2922-4688-ab9a-35c4e324526e"})
    (job,) = queue.jobs.values()
    pull = payload()["pull_request"]
    assert (job.kind, job.installation, job.number, job.head) == ("pull", 7, pull["number"], pull["head"]["sha"])
    assert post(client, body)[0] == 200
    assert post(client, body, b"the old one", X_GitHub_Delivery="b")[0] == 202
    assert post(client, body, b"a third one", X_GitHub_Delivery="c")[0] == 401


def test_store_full_is_503(client: FlaskClient, queue: Memory):
    queue.full = True
    assert post(client, json.dumps(payload()).encode()) == (503, {"error": "the queue is full"})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"action": "opened"}'])
def test_no_payload_is_400(client: FlaskClient, body: bytes):
    assert post(client, body)[0] == 400


@pytest.mark.parametrize(
    "more",
    [
        {"installation": None},
        {"installation": {"id": "7"}},
        {"repository": {"id": 1, "full_name": "a/b/../c"}},
        {"repository": {"id": True, "full_name": "a/b"}},
        {"pull_request": {"number": 1, "head": {"sha": "--upload-pack=x"}}},
        {"pull_request": {"number": -1, "head": {"sha": SHA}}},
    ],
)
def test_a_payload_without_what_is_needed_is_400(client: FlaskClient, queue: Memory, more: dict[str, Any]):
    assert post(client, json.dumps(payload(**more)).encode())[0] == 400
    assert not queue.jobs


def test_headers_that_lack_are_400(client: FlaskClient):
    body = json.dumps(payload()).encode()
    assert post(client, body, X_GitHub_Event="")[0] == 400
    assert post(client, body, X_GitHub_Delivery="")[0] == 400
    assert post(client, body, X_GitHub_Delivery="../../x")[0] == 400


def test_form_is_415_and_too_large_is_413(client: FlaskClient):
    body = json.dumps(payload()).encode()
    assert post(client, body, Content_Type="application/x-www-form-urlencoded")[0] == 415
    assert post(client, b"x" * (25 * 1024 * 1024 + 2048))[0] == 413


@pytest.mark.parametrize(
    ("event", "more", "reason"),
    [
        ("ping", {}, "pong"),
        ("star", {"action": "created"}, "the event star is not for netreach"),
        ("pull_request", {"action": "labeled"}, "nothing to do for labeled"),
        ("pull_request", {"action": "edited", "changes": {"title": {"from": "x"}}}, "edited, but not to another base"),
        ("push", {"ref": "refs/tags/v1"}, "no branch was moved"),
        ("push", {"ref": "refs/heads/x", "deleted": True}, "no branch was moved"),
        ("check_run", {"action": "created", "check_run": {}}, "nothing to do for created"),
        ("repository", {"action": "renamed"}, "nothing to do for renamed: names are asked for when they are needed"),
        ("installation", {"action": "deleted"}, "nothing to do for deleted"),
    ],
)
def test_what_is_ignored_says_why(client: FlaskClient, queue: Memory, event: str, more: dict[str, Any], reason: str):
    assert post(client, json.dumps(payload(**more)).encode(), X_GitHub_Event=event) == (200, {"ignored": reason})
    assert not queue.jobs


@pytest.mark.parametrize(("event", "index"), [(name, i) for name, rows in EXAMPLES.items() for i in range(len(rows))])
def test_every_example_of_github_is_taken(event: str, index: int):
    example = {"installation": {"id": 7}, **EXAMPLES[event][index]}
    found = interpret(event, example)
    assert not isinstance(found, str) or not found.startswith("!"), found


def test_jobs_of_the_other_events():
    group = interpret("merge_group", {"installation": {"id": 7}, **EXAMPLES["merge_group"][0]})
    assert isinstance(group, Job)
    assert (group.kind, group.ref, len(group.base), len(group.head)) == ("group", "main", 40, 40)
    run = next(one for one in EXAMPLES["check_run"] if one["action"] == "rerequested")
    for identity, kind in ((f"pr:482;base:{SHA[:12]};cfg:x", "pull"), (f"group:main;base:{SHA};cfg:x", "group")):
        one = {**run, "installation": {"id": 7}, "check_run": {**run["check_run"], "external_id": identity}}
        job = interpret("check_run", one)
        assert isinstance(job, Job)
        assert (job.kind, job.again) == (kind, True)
    assert interpret("check_run", {**run, "check_run": {**run["check_run"], "external_id": "x"}}) == "no check of netreach"


@hypothesis(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
       | st.dictionaries(st.sampled_from(["action", "pull_request", "head", "sha", "base", "ref", "changes", "number", "id"]),
                         inner, max_size=4), max_leaves=12), st.sampled_from(sorted(EXAMPLES)))  # fmt: skip
def test_no_payload_is_an_error_of_ours(client: FlaskClient, value: object, event: str):
    body = {"repository": {"id": 1, "full_name": "a/b"}, "installation": {"id": 7}}
    body |= value if isinstance(value, dict) else {"action": value}
    assert post(client, json.dumps(body).encode(), X_GitHub_Event=event)[0] in (200, 202, 400)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"NETREACH_WEBHOOK_SECRET": ""}, "NETREACH_WEBHOOK_SECRET is empty"),
        ({"NETREACH_WEBHOOK_SECRET": "  "}, "NETREACH_WEBHOOK_SECRET is empty"),
        ({"NETREACH_WEBHOOK_SECRET_OLD": ""}, "NETREACH_WEBHOOK_SECRET_OLD is empty"),
        ({"NETREACH_WEBHOOK_SECRET_FILE": "/x"}, "give one of them"),
        ({"NETREACH_APP_ID": ""}, "NETREACH_APP_ID"),
        ({"NETREACH_APP_ID": "a b"}, "NETREACH_APP_ID"),
        ({"NETREACH_PRIVATE_KEY_FILE": ""}, "NETREACH_PRIVATE_KEY_FILE"),
        ({"NETREACH_GITHUB_URL": "ftp://x"}, "NETREACH_GITHUB_URL"),
        ({"NETREACH_GITHUB_URL": "https://u:p@x"}, "NETREACH_GITHUB_URL"),
        ({"NETREACH_DATABASE_URL": "mysql://x"}, "NETREACH_DATABASE_URL"),
        ({"NETREACH_LISTEN": "8080"}, "NETREACH_LISTEN"),
        ({"NETREACH_JOBS": "0"}, "NETREACH_JOBS"),
        ({"NETREACH_COMMENT_DRAFTS": "maybe"}, "NETREACH_COMMENT_DRAFTS"),
        ({"NETREACH_LOG": "loud"}, "NETREACH_LOG"),
    ],
)
def test_settings_that_are_wrong(more: dict[str, str], words: str):
    with pytest.raises(UsageError, match=words):
        read({**ENVIRONMENT, **more})


def test_settings_of_an_enterprise_server(tmp_path: Any):
    old = tmp_path / "old"
    old.write_text("older\n", encoding="utf-8")
    found = read(
        {**ENVIRONMENT, "NETREACH_GITHUB_URL": "https://git.example/", "NETREACH_WEBHOOK_SECRET_OLD_FILE": str(old),
         "NETREACH_CACHE_MB": "5", "NETREACH_METRICS_LISTEN": "none"})  # fmt: skip
    assert (found.api, found.secrets, found.metrics) == ("https://git.example/api/v3", (b"s", b"older"), None)
    assert found.limits == Limits(cache=5_000_000)
    assert "older" not in repr(found)
    assert read(ENVIRONMENT).api == "https://api.github.com"
    with pytest.raises(UsageError, match="cannot read"):
        found.key()
