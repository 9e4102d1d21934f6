"""`netreach app serve|worker|reconcile|doctor` in, processes that run until they are told to end out."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from bot.errors import NetreachError, UsageError
from bot.server import log

if TYPE_CHECKING:
    from types import FrameType

    from bot.server.access import Access
    from bot.server.deliveries import Job
    from bot.server.jobs import Client
    from bot.server.settings import Settings
    from bot.server.store import Store

BEAT = 5.0
# On start what may have been missed while nothing ran; later what changed since the last look, and some more.
FIRST = timedelta(days=3)
# GitHub Enterprise Server can send a delivery again for a week: for so long it must be known.
KEPT = timedelta(days=8)
THREADS = 8


def main(command: str, environ: Mapping[str, str]) -> int:
    """Run one of the commands. Raises NetreachError."""
    try:
        import dbos  # noqa: F401
        import flask  # noqa: F401
    except ImportError as error:
        raise UsageError(f"the App needs more than the command: pip install 'netreach[app]' ({error.name})") from None
    from bot.server.settings import read

    if command == "doctor":
        return doctor(environ)
    settings = read(environ)
    log.setup(settings.log, _secrets(settings))
    _clear(environ)
    return {"serve": serve, "worker": worker, "reconcile": reconcile}[command](settings)


def _secrets(settings: Settings) -> list[str]:
    """What must stand in no line of a log."""
    from urllib.parse import unquote, urlsplit

    password = urlsplit(settings.database).password or ""
    return [*(one.decode("utf-8", "surrogateescape") for one in settings.secrets), password, unquote(password)]


def doctor(environ: Mapping[str, str]) -> int:
    """Say what would keep the App from working; 1 if anything does."""
    from bot.server.doctor import examine, exit_code, shown

    log.setup("error")
    found = []
    for one in examine(environ):
        print(shown(one), flush=True)
        found.append(one)
    return exit_code(found)


def _clear(environ: Mapping[str, str]) -> None:
    """Secrets leave the environment: no process that is started can have them."""
    if environ is os.environ:
        for name in [name for name in os.environ if name.startswith("NETREACH_WEBHOOK_SECRET") or name == "NETREACH_DATABASE_URL"]:
            del os.environ[name]


def serve(settings: Settings) -> int:
    """Take webhooks until a signal comes."""
    from waitress.server import create_server

    from bot.server import tls
    from bot.server.app import LARGEST, create_app, validated
    from bot.server.health import Health
    from bot.server.jobs import Client
    from bot.server.metrics import Metrics
    from bot.server.store import Store

    settings.key()
    store = Store(settings.database)
    store.prepare()
    client = Client(settings, store)
    metrics = Metrics(store)
    app = create_app(settings, client, metrics, Health(settings, store))
    host, port = settings.listen
    try:
        server = create_server(
            app, host=host, port=port, threads=THREADS, ident="netreach", max_request_body_size=LARGEST + 1
        )
    except OSError as error:
        raise UsageError(f"NETREACH_LISTEN: cannot listen on {host}:{port}: {error.strerror or error}") from None

    def end(_: int, __: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    if settings.metrics is not None:
        metrics.serve(settings.metrics)
    if settings.admission is not None:
        tls.serve(settings.admission, settings.certificate, lambda body: validated(body, metrics))
    _say(f"listening on http://{host}:{server.effective_port}")
    try:
        server.run()
    except SystemExit:
        server.close()
    client.close()
    store.close()
    return 0


def worker(settings: Settings) -> int:
    """Run jobs until a signal comes."""
    from bot.server.access import Access
    from bot.server.jobs import Client, Runner
    from bot.server.metrics import Metrics
    from bot.server.observed import Observed
    from bot.server.repositories import Cache
    from bot.server.store import Store

    store = Store(settings.database)
    metrics = Metrics(store)
    access = Access(settings, metrics.answered)
    store.prepare()
    client = Client(settings, store)
    look = _Look(settings, access, client, store)
    runner = Runner(settings, Observed(settings, access, Cache(settings.cache, settings.limits), metrics), look.missed)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _, __: stop.set())
    if settings.metrics is not None:
        metrics.serve(settings.metrics)
    store.beat(settings.executor)
    runner.start()
    _say(f"worker {settings.executor} is ready")
    # Its pauses are long, and it waits for GitHub: the sign of life has a thread of its own.
    timer = threading.Thread(target=look.run, args=(stop,), name="reconcile", daemon=True)
    timer.start()
    while not stop.wait(BEAT):
        _beat(settings, store, runner.take_over)
    runner.stop()
    store.leave(settings.executor)
    store.close()
    return 0


def _beat(settings: Settings, store: Store, take_over: Callable[[list[str]], None]) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        store.beat(settings.executor)
        gone = [name for name in store.silent() if name != settings.executor]
        if gone:
            _say(f"taking over from {', '.join(gone)}")
            take_over(gone)
    except SQLAlchemyError as error:
        _say(f"the store does not answer ({type(error).__name__})", "error")


def reconcile(settings: Settings) -> int:
    """Once: have GitHub send again what failed, and queue what has no finished check."""
    from bot.server.access import Access
    from bot.server.jobs import Client
    from bot.server.store import Store

    store = Store(settings.database)
    store.prepare()
    client = Client(settings, store)
    again, queued = _Look(settings, Access(settings), client, store).once(FIRST)
    print(f"{again} deliveries are sent again, {queued} pull requests are queued")
    client.close()
    store.close()
    return 0


class _Look:
    """Looks at GitHub's own state every now and then."""

    def __init__(self, settings: Settings, access: Access, client: Client, store: Store) -> None:
        self._settings, self._access, self._client, self._store = settings, access, client, store

    def missed(self, installation: int) -> list[tuple[str, Job]]:
        """What of one installation has no finished check."""
        from bot.server.reconcile import missed

        return missed(self._access, datetime.now(timezone.utc) - FIRST, installation)

    def once(self, back: timedelta) -> tuple[int, int]:
        """How many deliveries were asked for again, and how many jobs were queued. Raises NetreachError."""
        from bot.server.app import Full
        from bot.server.reconcile import missed, redeliver

        again = queued = 0
        try:
            again = redeliver(self._access)
        except NetreachError as error:
            _say(f"no delivery is sent again: {error}", "warning")
        for delivery, job in missed(self._access, datetime.now(timezone.utc) - back):
            try:
                queued += self._client.put(delivery, job)
            except Full as error:
                raise NetreachError(str(error)) from None
        return again, queued

    def run(self, stop: threading.Event) -> None:
        """On start, and then every so often."""
        back = FIRST
        while True:
            try:
                # Of several workers one does it; the others are there if it ends.
                mine = self._store.claim("reconcile", self._settings.reconcile * 0.9)
                again, queued = self.once(back) if mine else (0, 0)
                if mine:
                    self._client.purge(KEPT)
                if again or queued:
                    _say(f"reconciled: {again} deliveries sent again, {queued} pull requests queued")
                back = timedelta(seconds=self._settings.reconcile * 3)
            except NetreachError as error:
                _say(f"not reconciled: {error}", "warning")
            except Exception as error:
                _say(f"not reconciled: {type(error).__name__}", "error")
            if stop.wait(self._settings.reconcile):
                return


def _say(words: str, level: str = "info") -> None:
    log.say(words, level)
