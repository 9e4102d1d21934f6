"""The address of a database in; what the App keeps there beside its queue out: which workers are alive, and how much waits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import UsageError
from bot.server.app import Full

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SILENT = 60  # seconds without a sign of life after which a worker's jobs are given to others
WAITING = ("ENQUEUED", "DELAYED")


class Depth(NamedTuple):
    """How many jobs wait and run, and for how many seconds the oldest one has been waiting."""

    waiting: int
    running: int
    oldest: float


class Store:
    """The database. May be used from several threads and processes."""

    def __init__(self, database: str, size: int = 3) -> None:
        """Raises UsageError where it cannot be reached or prepared."""
        self.url = _url(database)
        self.sqlite = self.url.startswith("sqlite")
        self.size = size
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The connections, opened at the first use."""
        import sqlalchemy

        if self._engine is None:
            options = {"pool_size": self.size, "max_overflow": 2, "pool_pre_ping": True, "pool_timeout": 10}
            self._engine = sqlalchemy.create_engine(self.url, **options)
        return self._engine

    def prepare(self) -> None:
        """Make the database, or bring it up to date; several processes may at once. Raises UsageError."""
        import sqlalchemy
        from dbos import DBOS

        try:
            if self.sqlite:
                os.makedirs(os.path.dirname(self.url.removeprefix("sqlite:///")) or ".", mode=0o700, exist_ok=True)
                with self._begin() as connection:
                    # Kept in the file: readers do not wait for the one that writes.
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            DBOS.migrate(self.url)
            with self._begin() as connection:
                for table in ("netreach_workers (executor", "netreach_claims (what"):
                    time = "seen" if "workers" in table else "at"
                    text = f"CREATE TABLE IF NOT EXISTS {table} VARCHAR(255) PRIMARY KEY, {time} DOUBLE PRECISION)"
                    connection.execute(sqlalchemy.text(text))
        except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            raise UsageError(f"NETREACH_DATABASE_URL: {_words(error)}") from None

    def beat(self, executor: str) -> None:
        """This worker is alive."""
        self._write(
            "INSERT INTO netreach_workers (executor, seen) VALUES (:executor, {now}) "
            "ON CONFLICT (executor) DO UPDATE SET seen = excluded.seen",
            executor=executor,
        )

    def leave(self, executor: str) -> None:
        """This worker has ended in order: none of its jobs is under way."""
        self._write("DELETE FROM netreach_workers WHERE executor = :executor", executor=executor)

    def silent(self, seconds: float = SILENT) -> list[str]:
        """The workers that gave no sign of life for so long; each is told to one caller only."""
        import sqlalchemy

        text = f"DELETE FROM netreach_workers WHERE seen < {self._now} - :seconds RETURNING executor"  # noqa: S608
        with self._begin() as connection:
            return sorted(row[0] for row in connection.execute(sqlalchemy.text(text), {"seconds": seconds}))

    def claim(self, what: str, seconds: float) -> bool:
        """Whether the caller is the one to do something that is done once in so many seconds."""
        import sqlalchemy

        text = (
            f"INSERT INTO netreach_claims (what, at) VALUES (:what, {self._now}) ON CONFLICT (what) DO UPDATE "  # noqa: S608
            "SET at = excluded.at WHERE netreach_claims.at < excluded.at - :seconds RETURNING what"
        )
        with self._begin() as connection:
            found = connection.execute(sqlalchemy.text(text), {"what": what, "seconds": seconds}).first()
        return found is not None

    def heartbeat(self) -> float | None:
        """Seconds since the last sign of life of any worker; None if there is none."""
        import sqlalchemy

        with self._begin() as connection:
            text = f"SELECT {self._now} - MAX(seen) FROM netreach_workers"  # noqa: S608
            found = connection.execute(sqlalchemy.text(text)).scalar()
        return None if found is None else max(0.0, float(found))

    def states(self, *workflows: str) -> list[str]:
        """The states of those of the workflows that there are."""
        import sqlalchemy

        table = "workflow_status" if self.sqlite else "dbos.workflow_status"
        names = ", ".join(f":w{index}" for index in range(len(workflows)))
        text = f"SELECT status FROM {table} WHERE workflow_uuid IN ({names})"  # noqa: S608
        values = {f"w{index}": name for index, name in enumerate(workflows)}
        with self._begin() as connection:
            return [str(row[0]) for row in connection.execute(sqlalchemy.text(text), values)]

    def depth(self) -> Depth:
        """How much waits and runs."""
        import sqlalchemy

        table = "workflow_status" if self.sqlite else "dbos.workflow_status"
        text = (
            f"SELECT status, COUNT(*), {self._now} - MIN(created_at) / 1000.0 FROM {table} "  # noqa: S608
            "WHERE status IN ('ENQUEUED', 'DELAYED', 'PENDING') GROUP BY status"
        )
        with self._begin() as connection:
            rows = {str(row[0]): (int(row[1]), float(row[2])) for row in connection.execute(sqlalchemy.text(text))}
        waiting = [rows[name] for name in WAITING if name in rows]
        return Depth(
            sum(row[0] for row in waiting), rows.get("PENDING", (0, 0.0))[0], max((row[1] for row in waiting), default=0.0)
        )

    def writable(self) -> None:
        """Raises Full if nothing can be written."""
        import sqlalchemy

        try:
            self._write("DELETE FROM netreach_workers WHERE executor = :executor", executor="")
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise Full(f"the store does not answer ({type(error).__name__})") from None

    def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    @property
    def _now(self) -> str:
        """The database's own clock, the same for all workers."""
        return "(julianday('now') - 2440587.5) * 86400.0" if self.sqlite else "EXTRACT(EPOCH FROM clock_timestamp())"

    def _write(self, text: str, **values: str) -> None:
        import sqlalchemy

        with self._begin() as connection:
            connection.execute(sqlalchemy.text(text.replace("{now}", self._now)), values)

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            if self.sqlite:
                connection.exec_driver_sql("PRAGMA busy_timeout=30000")
            yield connection
            connection.commit()


def _url(database: str) -> str:
    """As SQLAlchemy wants it: psycopg is the driver that is installed."""
    return database.replace("postgresql://", "postgresql+psycopg://", 1)


def _words(error: Exception) -> str:
    """What to tell of an error of a database: never its address, which may hold a password."""
    origin = getattr(error, "orig", None) or error
    return f"{type(origin).__name__}: {str(origin).splitlines()[0][:200] if str(origin) else 'no answer'}"
