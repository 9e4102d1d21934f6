"""What `netreach app doctor` says of settings that are wrong, and of a GitHub that says what is missing."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
import responses

from bot.server import doctor, run
from bot.server.doctor import Finding, examine
from bot.server.manifest import PERMISSIONS, SUBSCRIBED
from tests.server.github import APP, key

API = "https://ghes.example/api/v3"
ASKED = "https://ghes.example:443/api/v3"  # as PyGithub says it
RIGHT = {"metadata": "read", "contents": "read", "pull_requests": "write", "checks": "write", "merge_queues": "read"}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    pem = tmp_path / "key.pem"
    pem.write_text(key()[0], encoding="utf-8")
    pem.chmod(0o600)
    return {
        "NETREACH_APP_ID": APP,
        "NETREACH_PRIVATE_KEY_FILE": str(pem),
        "NETREACH_WEBHOOK_SECRET": "wonderful-secret",
        "NETREACH_GITHUB_URL": "https://ghes.example",
        "NETREACH_DATA_DIR": str(tmp_path / "data"),
        "NETREACH_WRITE_MILLISECONDS": "0",
    }


def github(mock: responses.RequestsMock, skew: float = 0.0, **changed: Any) -> None:
    """A GitHub where everything is right, but for what is changed."""
    app = {"id": int(APP), "slug": "netreach", "html_url": "https://ghes.example/apps/netreach", "permissions": RIGHT}
    answers: dict[str, Any] = {
        "/app": app | {"events": list(SUBSCRIBED)},
        "/app/hook/config": {
            "url": "https://netreach.example/webhooks/github",
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": "********",
        },
        "/app/hook/deliveries": [{"id": 1, "guid": "x", "status_code": 202}],
        "/app/installations": [{"id": 5, "account": {"login": "acme"}, "permissions": RIGHT}],
    } | {name.replace("__", "/"): value for name, value in changed.items()}
    headers = {"X-GitHub-Enterprise-Version": "3.17.2"}
    for path, answer in answers.items():
        if isinstance(answer, int):
            mock.add("GET", f"{ASKED}{path}", json={"message": "no"}, status=answer)
        else:
            mock.add("GET", f"{ASKED}{path}", json=answer, headers=headers)
    mock.add("HEAD", f"{API}/zen", headers={"Date": formatdate(time() - skew, usegmt=True)})


def found(environ: dict[str, str], **changed: Any) -> dict[str, Finding]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        github(mock, **changed)
        return {one.what: one for one in examine(environ)}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the second that the database takes."""
    monkeypatch.setattr(doctor, "database", lambda _: Finding("ok", "database", "not looked at"))


def test_all_is_well_but_no_worker_runs(environ: dict[str, str]):
    every = found(environ)
    assert {name: one.state for name, one in every.items() if one.state != "ok"} == {"database": "warning"}
    assert "netreach app worker" in every["database"].words
    assert every["server"].words == "3.17.2"
    assert {"git", "settings", "addresses", "key", "cache", "clock", "app", "permissions", "events", "webhook",
            "deliveries", "installations"} <= every.keys()  # fmt: skip
    assert not any("wonderful" in one.words or "BEGIN" in one.words for one in every.values())
    assert PERMISSIONS == RIGHT


@pytest.mark.parametrize(
    ("name", "value", "what", "words"),
    [
        ("NETREACH_APP_ID", "", "settings", "NETREACH_APP_ID"),
        ("NETREACH_WEBHOOK_SECRET", " ", "settings", "anyone could send webhooks"),
        ("NETREACH_PRIVATE_KEY_FILE", "/nowhere.pem", "key", "cannot read /nowhere.pem"),
        ("NETREACH_PRIVATE_KEY_FILE", __file__, "key", "no private key"),
        ("NETREACH_DATABASE_URL", "sqlite:////proc/nowhere/x.sqlite", "database", "NETREACH_DATABASE_URL"),
        ("NETREACH_CACHE_DIR", "/proc/nowhere", "cache", "cannot write"),
        ("NETREACH_API_URL", "https://api.github.com", "addresses", "leave NETREACH_API_URL out"),
    ],
)
def test_this_machine(
    environ: dict[str, str], name: str, value: str, what: str, words: str, request: pytest.FixtureRequest
):
    if what != "database":
        request.getfixturevalue("quick")
    one = found(environ | {name: value})[what]
    assert one.state == "failure"
    assert words in one.words


@pytest.mark.usefixtures("quick")
def test_what_renders(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    assert "render" not in found(environ | {"NETREACH_RENDER": "false"})
    monkeypatch.setattr("bot.render.helm.tool", lambda: None)
    one = found(environ | {"NETREACH_RENDER": "true"})["render"]
    assert (one.state, "but helm is not here" in one.words) == ("warning", True)


@pytest.mark.usefixtures("quick")
def test_a_key_for_everybody_is_warned_of(environ: dict[str, str]):
    Path(environ["NETREACH_PRIVATE_KEY_FILE"]).chmod(0o644)
    assert found(environ)["key"].state == "warning"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("skew", "words"), [(90, "seconds ahead of"), (-90, "seconds behind")])
def test_clock(environ: dict[str, str], skew: float, words: str):
    one = found(environ, skew=skew)["clock"]
    assert one.state == "failure"
    assert words in one.words


APP_ANSWER = {"id": 1, "slug": "netreach", "permissions": RIGHT, "events": list(SUBSCRIBED)}
HOOK = {"url": "https://netreach.example/webhooks/github", "content_type": "json", "insecure_ssl": "0", "secret": "********"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("changed", "what", "state", "words"),
    [
        ({"__app": 401}, "app", "failure", "NETREACH_APP_ID"),
        ({"__app": APP_ANSWER | {"permissions": RIGHT | {"checks": "read"}}}, "permissions", "failure", "missing checks: write"),
        ({"__app": APP_ANSWER | {"permissions": {k: v for k, v in RIGHT.items() if k != "merge_queues"}}}, "permissions",
         "warning", "missing merge_queues: read"),
        ({"__app": APP_ANSWER | {"permissions": RIGHT | {"contents": "write"}}}, "permissions", "warning",
         "not needed: contents: write"),
        ({"__app": APP_ANSWER | {"events": ["push"]}}, "events", "failure", "pull_request"),
        ({"__app": APP_ANSWER | {"events": [e for e in SUBSCRIBED if e != "merge_group"]}}, "events", "warning", "merge_group"),
        ({"__app__hook__config": {}}, "webhook", "failure", "there is no URL"),
        ({"__app__hook__config": HOOK | {"url": "https://netreach.example/"}}, "webhook", "failure", "does not end with"),
        ({"__app__hook__config": {k: v for k, v in HOOK.items() if k != "secret"}}, "webhook", "failure", "no secret"),
        ({"__app__hook__config": HOOK | {"content_type": "form"}}, "webhook", "failure", "application/json"),
        ({"__app__hook__config": HOOK | {"insecure_ssl": "1"}}, "webhook", "warning", "not verified"),
        ({"__app__hook__config": 404}, "webhook", "unknown", "could not read the App's webhook"),
        ({"__app__hook__deliveries": [{"status_code": 401}, {"status_code": 202}]}, "deliveries", "warning", "the secrets differ"),
        ({"__app__hook__deliveries": []}, "deliveries", "unknown", "none yet"),
        ({"__app__installations": []}, "installations", "warning", "install it"),
        ({"__app__installations": [{"account": {"login": "acme"}, "suspended_at": "2026-01-01"}]}, "installation", "warning",
         "acme is suspended"),
        ({"__app__installations": [{"account": {"login": "acme"}, "permissions": {"metadata": "read"}}]}, "installation",
         "failure", "acme has to accept"),
    ],
)  # fmt: skip
def test_github(environ: dict[str, str], changed: dict[str, Any], what: str, state: str, words: str):
    one = found(environ, **changed)[what]
    assert one.state == state, one
    assert words in one.words


@pytest.mark.usefixtures("quick")
def test_no_answer_at_all(environ: dict[str, str]):
    with responses.RequestsMock():
        every = {one.what: one for one in examine(environ)}
    assert every["clock"].state == every["app"].state == "failure"


def test_an_old_server_is_warned_of():
    assert doctor.server({"x-github-enterprise-version": "3.9.1"}).state == "warning"
    assert doctor.server({}).words == "github.com"


@pytest.mark.usefixtures("quick")
def test_the_command(environ: dict[str, str], capsys: pytest.CaptureFixture[str]):
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        github(mock)
        assert run.main("doctor", environ) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok       git            2.")
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        github(mock, __app=401)
        assert run.main("doctor", environ) == 1
    assert run.main("doctor", {}) == 1
