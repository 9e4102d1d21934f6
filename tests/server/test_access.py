"""Tokens: narrow, kept, and in no one's sight; the pace of writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from bot.errors import PublishError
from bot.github.client import Refused
from bot.server.access import Access, Pace
from bot.server.deliveries import Job
from bot.server.reconcile import missed, redeliver
from bot.server.settings import Settings, read
from tests.github.local import Fault
from tests.server.github import BOT, AppGitHub, running
from tests.server.system import environment

HEAD = "0" * 40


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AppGitHub, Settings, str]]:
    folder: Path = tmp_path_factory.mktemp("access")
    with running() as github:
        work = github.host("acme/platform", 500, folder)
        head = work.commit({"a": "a"})
        work.run("push", "-q", "origin", "main")
        github.host("acme/other", 501, folder, 78)
        yield github, read(environment(github, folder)), head


def test_a_token_is_for_one_repository_and_kept(hosted: tuple[AppGitHub, Settings, str]):
    github, settings, _ = hosted
    access = Access(settings)
    github.calls.clear()
    first = access.token(77, 500)
    assert access.token(77, 500) == first
    read_only = access.token(77, 500, write=False)
    bodies = [call.body for call in github.calls]
    assert [body["repository_ids"] for body in bodies] == [[500], [500]]
    assert bodies[0]["permissions"] == {"contents": "read", "pull_requests": "write", "checks": "write", "metadata": "read"}
    assert bodies[1]["permissions"] == {"contents": "read", "metadata": "read"}
    assert dict(github.granted[read_only].permissions).get("checks") is None
    access.forget(77)
    assert access.token(77, 500) != first
    assert access.login() == BOT
    assert first not in repr(access) + repr(settings)


def test_permissions_that_are_not_accepted_yet(hosted: tuple[AppGitHub, Settings, str]):
    github, settings, _ = hosted
    github.refused = {"checks"}
    try:
        token = Access(settings).token(77, 500)
        assert dict(github.granted[token].permissions) == dict.fromkeys(("contents", "pull_requests", "metadata"), "write")
    finally:
        github.refused = set()


def test_a_key_that_is_none(hosted: tuple[AppGitHub, Settings, str], tmp_path: Path):
    key = tmp_path / "key.pem"
    key.write_text("secret-but-no-key", encoding="utf-8")
    with pytest.raises(PublishError, match="no private key") as error:
        Access(hosted[1]._replace(key_file=str(key))).app()
    assert "secret" not in str(error.value)


def test_an_app_that_is_not_known(hosted: tuple[AppGitHub, Settings, str]):
    with pytest.raises(Refused) as error:
        Access(hosted[1]._replace(app="1")).login()
    assert error.value.kind == "forbidden"


def test_writes_keep_their_distance():
    pace = Pace(0.0, 0.05)
    begun = time.monotonic()

    def write(_: int) -> float:
        pace.wait("POST")
        return time.monotonic()

    with ThreadPoolExecutor(4) as threads:
        at = sorted(threads.map(write, range(6)))
    assert at[-1] - begun >= 0.25
    pace.wait("GET")
    assert all(later - sooner > 0.03 for sooner, later in zip(at, at[1:], strict=False))


def test_clients_of_an_installation_share_their_pace(hosted: tuple[AppGitHub, Settings, str]):
    _, settings, head = hosted
    access = Access(settings._replace(limits=settings.limits._replace(between_writes=150)))
    first, second = (access.repository(77, 500, "acme/platform") for _ in range(2))
    begun = time.monotonic()
    for repository in (first, second, first):
        repository.create_check_run("pace", head, status="queued")
    assert time.monotonic() - begun >= 0.3


def test_what_was_missed(hosted: tuple[AppGitHub, Settings, str]):
    github, settings, head = hosted
    access = Access(settings)
    now = datetime.now(timezone.utc)
    github.pull(901, head)
    github.pull(902, head)
    done = access.repository(77, 500, "acme/platform").create_check_run(
        "netreach", head, external_id="pr:902;base:x;cfg:y", status="completed", conclusion="success"
    )
    found = missed(access, now - timedelta(hours=1))
    assert [job for _, job in found] == [Job("pull", 77, 500, "acme/platform", 901, head)]
    assert found[0][0].startswith("reconcile-")
    github.runs[done.id]["conclusion"] = "cancelled"
    assert [job.number for _, job in missed(access, now - timedelta(hours=1), 77)] == [901, 902]
    assert missed(access, now + timedelta(hours=1)) == []
    github.fail(Fault("POST /app/installations/78/access_tokens", 403))
    assert len(missed(Access(settings), now - timedelta(hours=1))) == 2
    github.fail(Fault("GET /repos/acme/platform/pulls", 404))
    assert missed(access, now - timedelta(hours=1)) == []


def test_deliveries_that_failed_are_asked_for_again(hosted: tuple[AppGitHub, Settings, str]):
    github, settings, _ = hosted
    now = datetime.now(timezone.utc)

    def row(number: int, guid: str, status: int, days: float = 0.0) -> dict[str, object]:
        at = (now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        one: dict[str, object] = {"id": number, "guid": guid, "delivered_at": at, "redelivery": False, "duration": 0.1}
        one |= {"status": "x", "status_code": status, "event": "push", "action": None, "installation_id": 77}
        return {**one, "repository_id": 500, "throttled_at": None}

    github.deliveries = [
        row(1, "a", 202),
        row(2, "b", 503),
        row(3, "a", 500),  # succeeded since
        *(row(100 + index, f"x{index}", 200) for index in range(120)),
        row(5, "c", 401, 2.9),
        row(6, "d", 500, 3.5),  # too old
    ]
    assert redeliver(Access(settings)) == 2
    assert github.again == [2, 5]
