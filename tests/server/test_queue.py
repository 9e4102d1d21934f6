"""What is stored: once, again after a failure, by whom it is taken over; and the storm, small."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import UsageError
from bot.server.app import Full
from bot.server.deliveries import Job
from bot.server.jobs import Client, identity, prefix
from bot.server.settings import Settings, read
from bot.server.store import Store
from tests.server.github import running
from tests.server.postgres import cluster, programs
from tests.server.storm import Plan, repositories, storm
from tests.server.system import Process, environment, wait
from tests.server.test_app import ENVIRONMENT

JOB = Job("pull", 7, 500, "acme/platform", 482, "b7d4e117c0a2" + "0" * 28)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'x' / 'netreach.sqlite'}")
    store.prepare()
    yield store
    store.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read({**ENVIRONMENT, "NETREACH_DATABASE_URL": f"sqlite:///{tmp_path / 'x' / 'netreach.sqlite'}"})


def test_stored_once_and_counted(store: Store, settings: Settings):
    client = Client(settings, store)
    assert client.put("a", JOB)
    assert not client.put("a", JOB)
    assert client.put("b", JOB)
    depth = store.depth()
    assert (depth.waiting, depth.running) == (2, 0)
    assert 0 <= depth.oldest < 60
    assert client.purge(timedelta(days=-1)) == 0  # what waits stays
    with store._begin() as connection:
        connection.exec_driver_sql("UPDATE workflow_status SET status = 'SUCCESS' WHERE workflow_uuid LIKE '%/a/%'")
    assert client.purge(timedelta(days=1)) == 0
    assert client.purge(timedelta(days=-1)) == 1
    assert client.put("a", JOB)
    full = Client(settings._replace(limits=settings.limits._replace(queued=2)), store)
    with pytest.raises(Full):
        full.put("c", JOB)
    client.close()
    full.close()


def test_a_delivery_that_failed_is_taken_again(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    client = Client(settings, store)
    first, second = identity(JOB, "a"), identity(JOB, "a", 2)
    cases: list[tuple[dict[str, str], int]] = [
        ({}, 1),
        ({first: "ENQUEUED"}, 0),
        ({first: "SUCCESS", f"{first}!": "PENDING"}, 0),
        ({first: "SUCCESS", f"{first}!": "SUCCESS"}, 0),
        ({first: "ERROR"}, 2),
        ({first: "SUCCESS", f"{first}!": "ERROR"}, 2),
        ({first: "ERROR", second: "PENDING"}, 0),
        ({first: "ERROR", second: "CANCELLED"}, 3),
    ]
    for rows, attempt in cases:
        monkeypatch.setattr(store, "states", lambda *ids, rows=rows: [rows[one] for one in ids if one in rows])
        assert client._attempt("a", JOB) == attempt


def test_a_store_that_does_not_answer_is_full(store: Store, settings: Settings, tmp_path: Path):
    gone = Store("postgresql://nobody@127.0.0.1:1/x")
    client = Client(settings, gone)
    with pytest.raises(Full, match="does not answer"):
        client.put("a", JOB)
    with pytest.raises(UsageError) as error:
        Store("postgresql://nobody:hunter2@127.0.0.1:1/x").prepare()
    assert "hunter2" not in str(error.value)
    with pytest.raises(Full):
        gone.writable()
    store.writable()


def test_signs_of_life(store: Store):
    assert store.heartbeat() is None
    store.beat("one")
    store.beat("two")
    age = store.heartbeat()
    assert age is not None and age < 5
    assert store.silent(60) == []
    assert store.silent(-1) == ["one", "two"]
    assert store.silent(-1) == []
    store.beat("one")
    store.leave("one")
    assert store.heartbeat() is None
    assert [store.claim("reconcile", 60) for _ in range(3)] == [True, False, False]
    assert store.claim("reconcile", -1)


def test_ids_tell_what_a_job_is_about():
    assert identity(JOB, "x") == "500/pull/482/b7d4e117c0a2/x/1"
    push = Job("push", 7, 500, "acme/platform", ref="release/%_1")
    assert prefix(push) == prefix(push._replace(again=True)) != prefix(push._replace(ref="main"))
    assert prefix(push).count("/") == 3


def test_processes_end_in_order_and_what_no_webhook_told_of_is_found(tmp_path: Path):
    """The worker looks at GitHub's own state when it starts."""
    with running() as github:
        heads = repositories(Plan(pulls=1, repositories=1), github, tmp_path)
        name, commits = heads[1]
        github.pull(1, commits[0], branch="topic-1", repository=name)
        settings = environment(github, tmp_path)
        worker = Process("worker", settings, tmp_path / "worker.log").ready()
        wait(lambda: any(run["status"] == "completed" for run in github.checks(commits[0])), 30, worker.said)
        assert worker.end(signal.SIGTERM) == 0, worker.said()
        web = Process("serve", settings, tmp_path / "web.log").ready()
        assert web.end(signal.SIGTERM) == 0, web.said()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_small_storm(tmp_path: Path, database: str):
    if database == "sqlite":
        found = storm(Plan(60, 10, 3, 1, 3, 180, apart=2.0), "", tmp_path)
    elif programs() is None:
        pytest.skip("no PostgreSQL here")
    else:
        with cluster() as url:
            found = storm(Plan(60, 10, 3, 2, 3, 180, apart=2.0), url, tmp_path)
    assert found.wrong == []
    assert (found.kills, found.answers.keys() <= {200, 202}) == (3, True)
