"""Jobs in, durable workflows of DBOS that run them out: what is stored is done once, whatever is killed meanwhile.

A delivery becomes two workflows: `receive` (its check is queued, at once) and `look` (compare, comment, conclude). Of the second only
one runs at a time for a repository, and one repository cannot keep others waiting. The id of the first is
`<repository>/<kind>/<of what>/<head>/<delivery>/<attempt>`, that of the second has a `!` behind it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta, timezone
from time import monotonic
from typing import TYPE_CHECKING, Any

from bot.github.client import Refused
from bot.server import log
from bot.server.app import Full
from bot.server.deliveries import Job
from bot.server.store import Store

if TYPE_CHECKING:
    from dbos import DBOSClient

    from bot.server.settings import Settings
    from bot.server.worker import Looked, Worker

APPLICATION = "netreach"
# Of the arguments of the workflows, not of netreach: what an older netreach has stored a newer one takes up.
VERSION = "1"
RECEIPTS, REVIEWS = "receipts", "reviews"
FAILED = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
ATTEMPTS = 5
PURGED = 500
MOST_RECOVERIES = 100
MOST_FOLLOWED = 5
REREAD = (1.0, 3.0)
TRIES: Any = {"retries_allowed": True, "interval_seconds": 1.0, "backoff_rate": 4.0, "max_attempts": 5}


def identity(job: Job, delivery: str, attempt: int = 1) -> str:
    """The id of a job's first workflow."""
    return f"{prefix(job)}{(job.head or 'tip')[:12]}/{delivery}/{attempt}"


def prefix(job: Job) -> str:
    """What the ids of all workflows about the same thing start with."""
    about = str(job.number) if job.number else hashlib.sha256(f"{job.ref} {job.head}".encode()).hexdigest()[:16]
    if job.kind == "push":
        about = hashlib.sha256(job.ref.encode()).hexdigest()[:16]
    return f"{job.repository}/{job.kind}/{about}/"


class Client:
    """Puts jobs into the queue; runs none."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._client: DBOSClient | None = None
        self._depth = (0.0, 0)
        # SQLite lets one write at a time and has the others sleep in turns; a lock wakes the next one at once.
        self._turn = threading.Lock() if store.sqlite else nullcontext()

    def put(self, delivery: str, job: Job) -> bool:
        """Store a job (see `bot.server.app.Queue`). Raises Full."""
        import sqlalchemy
        from dbos._error import DBOSException

        try:
            if self._waiting() >= self._settings.limits.queued:
                raise Full("the queue is full")
            attempt = self._attempt(delivery, job)
            if attempt == 0:
                return False
            client = self._connected()
            options = _options(RECEIPTS, identity(job, delivery, attempt), job, self._settings)
            with self._turn:
                client.enqueue(options, job._asdict())
        except (sqlalchemy.exc.SQLAlchemyError, DBOSException, OSError) as error:
            raise Full(f"the store does not answer ({type(error).__name__})") from None
        return True

    def purge(self, age: timedelta) -> int:
        """Forget what came to an end so long ago; how many workflows that were."""
        client, total = self._connected(), 0
        before = (datetime.now(timezone.utc) - age).isoformat()
        while True:
            rows = client.list_workflows(
                status=["SUCCESS", *FAILED], end_time=before, limit=PURGED, load_input=False, load_output=False
            )
            with self._turn:
                client.delete_workflows([row.workflow_id for row in rows])
            total += len(rows)
            if len(rows) < PURGED:
                return total

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.destroy()
            self._client = None

    def _connected(self) -> DBOSClient:
        from dbos import DBOSClient, DBOSPortableJSONSerializer

        if self._client is None:
            self._client = DBOSClient(
                system_database_url=self._store.url,
                serializer=DBOSPortableJSONSerializer(),
                application_name=APPLICATION,
                retry_connection_errors=False,
                system_database_pool_size=8,
            )
        return self._client

    def _attempt(self, delivery: str, job: Job) -> int:
        """The next attempt at a delivery; 0 if an earlier one succeeded or is under way."""
        for attempt in range(1, ATTEMPTS + 1):
            first = identity(job, delivery, attempt)
            states = self._store.states(first, f"{first}!")
            if not states:
                return attempt
            if not any(state in FAILED for state in states):
                return 0
        return 0

    def _waiting(self) -> int:
        at, depth = self._depth
        if monotonic() - at > 1:
            depth = self._store.depth().waiting
            self._depth = monotonic(), depth
        return depth


def _options(queue: str, workflow: str, job: Job, settings: Settings) -> Any:
    out: dict[str, Any] = {
        "queue_name": queue,
        "workflow_name": "receive" if queue == RECEIPTS else "look",
        "workflow_id": workflow,
        "queue_partition_key": str(job.repository or job.installation),
        "app_version": VERSION,
    }
    if job.kind == "push" and settings.limits.settle:
        out["delay_seconds"] = float(settings.limits.settle)
    return out


class Runner:
    """Runs the workflows. One for each process."""

    def __init__(self, settings: Settings, worker: Worker, missed: Callable[[int], list[tuple[str, Job]]]) -> None:
        """`missed`: what of an installation (0: of all) has been missed, as deliveries and jobs."""
        from dbos import DBOS, DBOSPortableJSONSerializer

        self._settings = settings
        self._worker = worker
        self._missed = missed
        store = Store(settings.database)
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": store.url,
                "serializer": DBOSPortableJSONSerializer(),
                "application_version": VERSION,
                "executor_id": settings.executor,
                "log_level": "WARNING",
                "enable_otlp": False,
                "use_listen_notify": False,
                "run_migrations": False,
                "scheduler_polling_interval_sec": 600.0,
            }
        )

        @DBOS.workflow(name="receive", max_recovery_attempts=MOST_RECOVERIES)
        def receive(given: dict[str, Any]) -> str:
            with _told("receive", given):
                return self._receive(given)

        @DBOS.workflow(name="look", max_recovery_attempts=MOST_RECOVERIES)
        def look(given: dict[str, Any], run: int) -> str:
            with _told("look", given):
                return self._look(given, run)

    def start(self) -> None:
        """Take up what was under way when this worker ended, and run what comes."""
        from dbos import DBOS

        jobs = self._settings.limits.jobs
        DBOS.launch()
        for name, concurrency in ((RECEIPTS, 4 * jobs), (REVIEWS, jobs)):
            DBOS.register_queue(
                name,
                worker_concurrency=concurrency,
                partition_concurrency=1,
                polling_interval_sec=0.2,
                on_conflict="always_update",
            )

    def stop(self, seconds: int = 30) -> None:
        """Let what runs come to an end, for so long; the next start takes up the rest."""
        from dbos import DBOS

        DBOS.destroy(workflow_completion_timeout_sec=seconds)

    def take_over(self, executors: list[str]) -> None:
        """Put what workers that are gone had under way back into the queue."""
        from dbos import DBOS

        if executors:
            DBOS._recover_pending_workflows(executors)

    # --- Workflows: what is not a step is done again after a crash, with what the steps had come to ---

    def _receive(self, given: dict[str, Any]) -> str:
        from dbos import DBOS

        job, own = Job(**given), DBOS.workflow_id or ""
        if not job.again and self._step("later", self._later, job, own, RECEIPTS) is not None:
            return "a later delivery is about the same"
        if job.kind in ("pull", "group"):
            run = self._step("queue the check", self._worker.queued, job)
            self._enqueue(REVIEWS, f"{own}!", job, run)
            return "queued"
        if job.kind == "repositories":
            missed = self._step("look for what was missed", self._missing, job.installation)
        else:
            find = self._worker.on_base if job.kind == "push" else self._worker.heads
            found: list[dict[str, Any]] = self._step("find what it is about", lambda: [row._asdict() for row in find(job)])
            delivery = own.split("/")[-2]
            missed = [[delivery, row] for row in found]
        for delivery, row in missed:
            one = Job(**row)
            self._enqueue(RECEIPTS, identity(one, delivery), one)
        return f"{len(missed)} to look at"

    def _look(self, given: dict[str, Any], run: int) -> str:
        from dbos import DBOS

        job, own = Job(**given), DBOS.workflow_id or ""
        later = None if job.again else self._step("later", self._later, job, own, REVIEWS)
        if later is not None and later == job.head[:12]:
            return "a later job has the same head"
        for pause in (*REREAD, 0.0):
            if later is not None:
                self._step("cancel", self._worker.cancel, job, run, f"superseded by {later[:7]}")
                return "superseded"
            found = self._step("look", lambda: self._looked(self._worker.look(job, run)))
            if found["state"] != "moved":
                return str(found["state"])
            later = self._step("later", self._later, job, own, None)
            if later is None and pause:
                # GitHub may show what it has told of only after a moment.
                DBOS.sleep(pause)
        if found["head"] != job.head:
            self._step("cancel", self._worker.cancel, job, run, f"superseded by {found['head'][:7]}")
        delivery = own.split("/")[-2]
        if delivery.count("after-") >= MOST_FOLLOWED:
            return "moved"
        follow = job._replace(head=found["head"], again=False)
        self._enqueue(RECEIPTS, identity(follow, f"after-{delivery}"), follow)
        return "followed"

    def _looked(self, found: Looked) -> dict[str, str]:
        return dict(found._asdict())

    def _missing(self, installation: int) -> list[Any]:
        return [[delivery, job._asdict()] for delivery, job in self._missed(installation)]

    def _later(self, job: Job, own: str, queue: str | None) -> str | None:
        """The head of the newest job about the same that came after this one: of those that wait in the queue, or (None) of all."""
        from dbos import DBOS

        mine = DBOS.get_workflow_status(own)
        states = {} if queue is None else {"status": ["ENQUEUED", "DELAYED"], "queue_name": queue}
        rows = DBOS.list_workflows(
            workflow_id_prefix=prefix(job),
            sort_desc=True,
            limit=1,
            load_input=False,
            load_output=False,
            name="look" if queue != RECEIPTS else "receive",
            **states,  # type: ignore[arg-type]
        )
        for row in rows:
            newer = mine is None or (row.created_at or 0, row.workflow_id) > (mine.created_at or 0, own)
            if newer and row.workflow_id != own:
                return row.workflow_id.split("/")[3]
        return None

    def _enqueue(self, queue: str, workflow: str, job: Job, *more: int) -> None:
        from dbos import DBOS

        DBOS.enqueue_workflow_with_options(_options(queue, workflow, job, self._settings), job._asdict(), *more)

    def _step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        from dbos import DBOS

        options: Any = {"name": name, **TRIES, "should_retry": _passing}
        return DBOS.run_step(options, lambda: function(*arguments))


@contextmanager
def _told(what: str, given: dict[str, Any]) -> Iterator[None]:
    """What makes a workflow end without success is logged; a look at GitHub's own state then finds what it left undone."""
    try:
        yield
    except Exception as error:
        about = Job(**given)
        words = str(error).splitlines()[0][:300] if str(error) else ""
        failed = f"{type(error).__name__}: {words}"
        log.say(f"{what} failed", "error", repository=about.name, job=about.key, error=failed)
        raise


def _passing(error: BaseException) -> bool:
    """Whether the same may succeed in a while."""
    return isinstance(error, Refused) and error.kind in ("limited", "server", "network")
