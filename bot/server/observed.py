"""A worker whose jobs are counted, timed and logged."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from bot.server import log
from bot.server.worker import Looked, Worker

if TYPE_CHECKING:
    from bot.server.access import Access
    from bot.server.deliveries import Job
    from bot.server.metrics import Metrics
    from bot.server.repositories import Cache
    from bot.server.settings import Settings


class Observed(Worker):
    """What it does is what Worker does."""

    def __init__(self, settings: Settings, access: Access, cache: Cache, metrics: Metrics) -> None:
        super().__init__(settings, access, cache)
        self._metrics = metrics

    def look(self, job: Job, run_id: int) -> Looked:
        """As Worker does it. Raises Refused."""
        begun = monotonic()
        state = "failed"
        found = None
        try:
            found = super().look(job, run_id)
            state = found.verdict or found.state
            return found
        finally:
            seconds = monotonic() - begun
            self._metrics.job(job.kind, state, seconds)
            log.say(
                "looked",
                "warning" if state in ("failed", "error") else "info",
                repository=job.name,
                number=job.number or None,
                head=job.head[:12],
                state=state,
                comment=found.comment if found else None,
                seconds=round(seconds, 3),
            )
