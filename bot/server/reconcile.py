"""GitHub's own state in, what has been missed of it out: deliveries that failed, open pull requests whose head has no finished check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from bot.github.checks import runs
from bot.github.client import Refused, told
from bot.server.deliveries import Job

if TYPE_CHECKING:
    from github.Repository import Repository

    from bot.server.access import Access

KEPT = timedelta(days=3)  # for so long GitHub can deliver again
MOST_REDELIVERED = 100
MOST_PAGES = 50


def redeliver(access: Access, now: datetime | None = None) -> int:
    """Ask GitHub for every delivery again that failed in the last three days and has not succeeded since. Returns how many.

    Raises Refused.
    """
    since = (now or datetime.now(timezone.utc)) - KEPT
    client = access.app()
    newest: dict[str, dict[str, Any]] = {}
    with told("list the App's deliveries"):
        for row in _deliveries(client, since):
            newest.setdefault(str(row["guid"]), row)
    failed = [row for row in newest.values() if not 200 <= int(row["status_code"]) < 300]
    for row in failed[:MOST_REDELIVERED]:
        with told("have a delivery sent again"):
            client.requester.requestJsonAndCheck("POST", f"/app/hook/deliveries/{int(row['id'])}/attempts")
    return min(len(failed), MOST_REDELIVERED)


def _deliveries(client: Any, since: datetime) -> Iterator[dict[str, Any]]:
    """The deliveries since then, the newest first."""
    cursor = ""
    for _ in range(MOST_PAGES):
        parameters = {"per_page": "100", **({"cursor": cursor} if cursor else {})}
        headers, rows = client.requester.requestJsonAndCheck("GET", "/app/hook/deliveries", parameters=parameters)
        for row in rows:
            if _time(row["delivered_at"]) < since:
                return
            yield row
        _, found, rest = str(headers.get("link", "")).partition("cursor=")
        cursor = rest.partition(">")[0].partition("&")[0]
        if not found or not rows:
            return


def missed(access: Access, since: datetime, installation: int = 0) -> list[tuple[str, Job]]:
    """What is open, was touched since then, and has no finished check on its head: as deliveries (made up, the same for the same
    state in the same ten minutes) and jobs. `installation` 0: of all. Raises Refused, but not for one repository alone.
    """
    at = datetime.now(timezone.utc).strftime("%Y%m%d%H%M")[:-1]
    out: list[tuple[str, Job]] = []
    for one in [installation] if installation else _installations(access):
        with _passed_over():
            for row in list(_repositories(access, one)):
                with _passed_over():
                    out += [(f"reconcile-{at}", job) for job in _open(access, one, row, since)]
    return out


@contextmanager
def _passed_over() -> Iterator[None]:
    """What is not there any more, or suspended, does not keep the others waiting."""
    try:
        yield
    except Refused as error:
        if error.kind not in ("missing", "forbidden", "invalid"):
            raise


def _installations(access: Access) -> list[int]:
    with told("list the App's installations"):
        return [int(row["id"]) for row in _pages(access.app(), "/app/installations") if not row.get("suspended_at")]


def _repositories(access: Access, installation: int) -> Iterator[dict[str, Any]]:
    with told("list the repositories of an installation"):
        yield from _pages(access.client(installation), "/installation/repositories", "repositories")


def _open(access: Access, installation: int, row: dict[str, Any], since: datetime) -> list[Job]:
    number, name = int(row["id"]), str(row["full_name"])
    repository = access.repository(installation, number, name)
    slug = access.login().removesuffix("[bot]")
    out = []
    with told(f"list the open pull requests of {name}"):
        for pull in repository.get_pulls(state="open", sort="updated", direction="desc"):
            if pull.updated_at is not None and pull.updated_at < since:
                break
            if not _finished(repository, pull.head.sha, pull.number, slug):
                out.append(Job("pull", installation, number, name, pull.number, pull.head.sha))
    return out


def _finished(repository: Repository, head: str, number: int, slug: str) -> bool:
    own = [run for run in runs(repository, head, slug) if run.external_id.startswith(f"pr:{number};")]
    return bool(own) and own[-1].status == "completed" and own[-1].conclusion != "cancelled"


def _pages(client: Any, path: str, name: str = "") -> Iterator[dict[str, Any]]:
    for page in range(1, MOST_PAGES + 1):
        parameters = {"per_page": "100", "page": str(page)}
        _, answer = client.requester.requestJsonAndCheck("GET", path, parameters=parameters)
        rows = answer[name] if name else answer
        yield from rows
        if len(rows) < 100:
            return


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
