"""The App's id and key in, clients and tokens out, each for one repository and with no more rights than it needs.

A token lives for an hour; it is kept here until shortly before its end, in memory only.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.errors import PublishError
from bot.github.client import Answered, Patience, Refused, connect, told

if TYPE_CHECKING:
    from github import Github
    from github.Repository import Repository

    from bot.server.settings import Settings

SPARE = 300  # seconds that a token must still have
WRITING = {"contents": "read", "pull_requests": "write", "checks": "write", "metadata": "read"}
READING = {"contents": "read", "metadata": "read"}


class _Token(NamedTuple):
    text: str
    until: float


class Pace:
    """Lets the requests of one installation through: writes of all threads at least `between_writes` seconds apart."""

    def __init__(self, between_requests: float, between_writes: float) -> None:
        self._gaps = between_requests, between_writes
        self._next = [0.0, 0.0]
        self._lock = threading.Lock()

    def wait(self, method: str) -> None:
        """Return when the next request may be made."""
        with self._lock:
            now = monotonic()
            at = max(now, self._next[0], self._next[1] if method != "GET" else now)
            self._next[0] = at + self._gaps[0]
            if method != "GET":
                self._next[1] = at + self._gaps[1]
        if at > now:
            sleep(at - now)


class Access:
    """What the App may do, for every installation. May be used from several threads."""

    def __init__(self, settings: Settings, answered: Answered | None = None) -> None:
        """`answered` is told of every answer of GitHub. Raises UsageError where the key cannot be read."""
        self._answered = answered
        self._settings = settings
        self._key = settings.key()
        self._tokens: dict[tuple[int, int, str], _Token] = {}
        self._paces: dict[int, Pace] = {}
        self._lock = threading.Lock()
        self._own = ""
        write = settings.limits.between_writes / 1000
        self.patience = Patience(between_requests=min(0.1, write), between_writes=write)

    def app(self) -> Github:
        """A client that is the App itself (JWT). Raises PublishError where the key is none."""
        from github import Auth

        try:
            auth = Auth.AppAuth(self._settings.app, self._key, jwt_expiry=540)
            auth.create_jwt()
        except Exception as error:
            words = type(error).__name__
            raise PublishError(f"NETREACH_PRIVATE_KEY_FILE: no private key in PEM form ({words})") from None
        return connect(auth, self._settings.api, self.patience, self._pace(0).wait, self._answered)

    def login(self) -> str:
        """The author that the App's comments have. Raises Refused."""
        if not self._own:
            with told("read what the App is called"):
                _, data = self.app().requester.requestJsonAndCheck("GET", "/app")
            self._own = f"{data['slug']}[bot]"
        return self._own

    def client(self, installation: int, repository: int = 0) -> Github:
        """A client for one repository of an installation (0: for all of them). Raises Refused."""
        token = self.token(installation, repository)
        return connect(token, self._settings.api, self.patience, self._pace(installation).wait, self._answered)

    def repository(self, installation: int, repository: int, name: str) -> Repository:
        """The repository, with a client of its own. Raises Refused."""
        return self.client(installation, repository).get_repo(name)

    def token(self, installation: int, repository: int = 0, write: bool = True) -> str:
        """A token of an installation, for one repository where that is given. Raises Refused."""
        at = installation, repository, "write" if write else "read"
        with self._lock:
            known = self._tokens.get(at)
        if known is None or known.until - time() < SPARE:
            known = self._ask(installation, repository, WRITING if write else READING)
            with self._lock:
                self._tokens[at] = known
                for old in [key for key, token in self._tokens.items() if token.until < time()]:
                    del self._tokens[old]
        return known.text

    def forget(self, installation: int) -> None:
        """Drop the tokens of an installation: one was refused."""
        with self._lock:
            for key in [key for key in self._tokens if key[0] == installation]:
                del self._tokens[key]

    def _ask(self, installation: int, repository: int, permissions: Mapping[str, str]) -> _Token:
        # PyGithub cannot narrow a token to repositories.
        body: dict[str, Any] = {"repository_ids": [repository]} if repository else {}
        wanted = {**body, "permissions": dict(permissions)}
        try:
            return self._posted(installation, wanted)
        except Refused as error:
            if error.kind != "invalid":
                raise
        # The owner has not yet accepted all of these permissions: take what there is.
        return self._posted(installation, body)

    def _posted(self, installation: int, body: Mapping[str, Any]) -> _Token:
        url = f"/app/installations/{installation}/access_tokens"
        with told("get a token of the installation"):
            _, data = self.app().requester.requestJsonAndCheck("POST", url, input=dict(body))
        until = datetime.fromisoformat(str(data["expires_at"]).replace("Z", "+00:00")).timestamp()
        return _Token(str(data["token"]), until)

    def _pace(self, installation: int) -> Pace:
        with self._lock:
            if installation not in self._paces:
                # A token is content of nobody: asking for one is no write that GitHub counts as such.
                write = self.patience.between_writes if installation else 0.0
                self._paces[installation] = Pace(self.patience.between_requests, write)
            return self._paces[installation]
