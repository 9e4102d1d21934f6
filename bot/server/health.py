"""Settings and a store in, whether the App can work out: what `/readyz` answers and part of what `netreach app doctor` says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import TYPE_CHECKING

from bot.errors import UsageError

if TYPE_CHECKING:
    from bot.server.settings import Settings
    from bot.server.store import Store

# A token of the App is valid from 60 seconds before it was made.
MOST_SKEW = 60.0
MOST_SILENCE = 120.0
KEPT = 600.0
TIMEOUT = 5.0


class Health:
    """Looks at what the App needs. May be used from several threads."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._lock = threading.Lock()
        self._skew: float | None = None
        self._asked = -KEPT

    def parts(self, only: Iterable[str] = ()) -> dict[str, str]:
        """What was looked at, with "ok" or what is wrong: store (it can be written to), key (it is one), worker (one is alive), clock."""
        every: dict[str, Callable[[], str]] = {
            "store": self._writable,
            "key": self._key,
            "worker": self._worker,
            "clock": self._clock,
        }
        wanted = set(only) & every.keys() or every.keys()
        return {name: look() for name, look in every.items() if name in wanted}

    def _writable(self) -> str:
        from bot.server.app import Full

        try:
            self._store.writable()
        except Full as error:
            return str(error)
        return "ok"

    def _key(self) -> str:
        return key_problem(self._settings) or "ok"

    def _worker(self) -> str:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            silent = self._store.heartbeat()
        except SQLAlchemyError as error:
            return f"the store does not answer ({type(error).__name__})"
        if silent is None:
            return "no worker runs"
        return "ok" if silent <= MOST_SILENCE else f"no worker has given a sign of life for {silent:.0f} seconds"

    def _clock(self) -> str:
        """By the last look at GitHub's clock; a new one, when it is due, is taken beside."""
        with self._lock:
            due = monotonic() - self._asked >= KEPT
            if due:
                self._asked = monotonic()
        if due:
            threading.Thread(target=self._look, name="clock", daemon=True).start()
        return skew_problem(self._skew) or "ok"

    def _look(self) -> None:
        self._skew = skew(self._settings.api)


def key_problem(settings: Settings) -> str:
    """Why the App's key does not load, or ''."""
    from jwt import PyJWTError, encode

    try:
        encode({"iss": settings.app}, settings.key(), algorithm="RS256")
    except UsageError as error:
        return str(error)
    except (PyJWTError, ValueError, TypeError) as error:
        return f"NETREACH_PRIVATE_KEY_FILE: no private key in PEM form ({type(error).__name__})"
    return ""


def skew(api: str) -> float | None:
    """By how many seconds this clock is ahead of that of the API; None where it does not answer."""
    import requests

    try:
        answer = requests.head(f"{api}/zen", timeout=TIMEOUT, allow_redirects=False)
        return time() - parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (requests.RequestException, KeyError, ValueError, TypeError):
        return None


def skew_problem(seconds: float | None) -> str:
    """What is wrong with the clock, or '' (also where nobody knows)."""
    if seconds is None or abs(seconds) <= MOST_SKEW:
        return ""
    which = "ahead of" if seconds > 0 else "behind"
    return f"this clock is {abs(seconds):.0f} seconds {which} GitHub's, whose tokens allow {MOST_SKEW:.0f}"
