"""What the App does in, what Prometheus reads of it out, on a port of its own (docs/app.md lists the names)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bot.errors import UsageError
from bot.server.deliveries import EVENTS

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from bot.server.store import Store

RESULTS = {200: "ignored", 202: "queued", 400: "malformed", 401: "unsigned", 413: "too-large", 415: "not-json", 503: "refused"}
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The numbers of one process. May be used from several threads."""

    def __init__(self, store: Store | None = None) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._deliveries = Counter(
            "netreach_deliveries", "Webhook deliveries by what came of them", ["event", "result"], registry=registry
        )
        self._admissions = Counter("netreach_admissions", "Admission reviews by decision", ["decision"], registry=registry)
        self._answers = Counter("netreach_github_answers", "Answers of GitHub's API", ["status"], registry=registry)
        self._failures = Counter("netreach_github_errors", "Requests to GitHub that failed", ["kind"], registry=registry)
        self._left = Gauge(
            "netreach_github_rate_limit_left", "Requests left in this hour, at the last answer", ["resource"], registry=registry
        )
        self._jobs = Counter("netreach_jobs", "Jobs by what came of them", ["kind", "state"], registry=registry)
        self._seconds = Histogram(
            "netreach_job_seconds", "How long jobs took", ["kind"], buckets=SECONDS, registry=registry
        )
        if store is not None:
            registry.register(_Queue(store))

    def delivery(self, event: str, status: int) -> None:
        """A delivery was answered with this status."""
        self._deliveries.labels(event if event in EVENTS else "other", RESULTS.get(status, str(status))).inc()

    def admission(self, decision: str) -> None:
        """A policy was `allowed` or `refused`, or a review was `malformed`."""
        self._admissions.labels(decision).inc()

    def answered(self, status: int, headers: Mapping[str, object]) -> None:
        """GitHub answered a request; status 0: it did not."""
        kind = "limited" if status in (403, 429) else "server" if status >= 500 else "other" if status >= 400 else ""
        self._answers.labels(f"{status // 100}xx" if status else "none").inc()
        if kind or not status:
            self._failures.labels(kind or "network").inc()
        left = str(headers.get("x-ratelimit-remaining", ""))
        if left.isdecimal():
            resource = str(headers.get("x-ratelimit-resource", "core"))
            self._left.labels(resource if resource in ("core", "graphql", "search") else "other").set(int(left))

    def job(self, kind: str, state: str, seconds: float) -> None:
        """A job came to an end; `state`: a verdict, or what else came of it."""
        self._jobs.labels(kind, state).inc()
        self._seconds.labels(kind).observe(seconds)

    def serve(self, listen: tuple[str, int]) -> int:
        """Answer Prometheus there from now on; the port. Raises UsageError."""
        host, port = listen
        try:
            server, _ = start_http_server(port, host, self.registry)
        except OSError as error:
            words = f"NETREACH_METRICS_LISTEN: cannot listen on {host}:{port}: {error.strerror or error}"
            raise UsageError(words) from None
        return int(server.server_port)


class _Queue(Collector):
    """The queue as the store has it at the time of asking."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """What waits and runs; where the store does not answer, only that it does not."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            depth, silent = self._store.depth(), self._store.heartbeat()
        except SQLAlchemyError:
            yield GaugeMetricFamily("netreach_store_up", "Whether the database answers", 0)
            return
        yield GaugeMetricFamily("netreach_store_up", "Whether the database answers", 1)
        yield GaugeMetricFamily("netreach_jobs_waiting", "Jobs that wait", depth.waiting)
        yield GaugeMetricFamily("netreach_jobs_running", "Jobs under way", depth.running)
        yield GaugeMetricFamily("netreach_oldest_job_seconds", "For how long the oldest job has been waiting", depth.oldest)
        if silent is not None:
            yield GaugeMetricFamily("netreach_worker_silence_seconds", "Since the last sign of life of any worker", silent)
