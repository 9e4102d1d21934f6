"""The environment's NETREACH_ variables in, the settings of the App out; every mistake in them is a UsageError that names the variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from bot.errors import UsageError

PUBLIC = "https://github.com"
MEGABYTE = 1_000_000


class Limits(NamedTuple):
    """What the App spends at most. Sizes in bytes, times in seconds.

    `cache`: every repository on disk together, `repository`: one of them. `queued`: jobs that wait before deliveries are refused (503).
    `jobs`: reviews that one worker runs at once. `review`, `fetch`: how long each may take. `memory`: of one review's process.
    `pushes`: pull requests that are looked at again when their base moved, `settle`: how long a base must lie still before.
    `between_writes`: milliseconds from one write to the next in an installation (GitHub asks for a second).
    """

    cache: int = 10_000 * MEGABYTE
    repository: int = 2_000 * MEGABYTE
    queued: int = 100_000
    jobs: int = 2
    review: int = 300
    fetch: int = 300
    memory: int = 4_000 * MEGABYTE
    pushes: int = 30
    settle: int = 20
    between_writes: int = 1000


class Settings(NamedTuple):
    """How the App runs. Secrets are only in `secrets`, in the key file and, with PostgreSQL, in `database`.

    `app`: the App's id, `key_file`: its private key (PEM). `secrets`: of the webhook, the new one first, while it is changed also the old.
    `server`: where people see GitHub, `api`: its API. `database`: an address of SQLAlchemy. `cache`: the folder of the fetched
    repositories. `listen`, `metrics`: host and port (metrics None: none). `executor`: this worker's name, the same after a restart.
    `drafts`: comment on drafts too. `render`: render Helm and Kustomize of pull requests that do not come from a fork.
    `reconcile`: seconds between two looks at GitHub's own state. `log`: the least severe level that is logged.
    `admission`: host and port of the admission webhook over TLS, with the files of its `certificate` chain and key.
    """

    app: str
    key_file: str
    secrets: tuple[bytes, ...]
    server: str
    api: str
    database: str
    cache: str
    listen: tuple[str, int]
    metrics: tuple[str, int] | None
    executor: str
    drafts: bool = False
    render: bool = True
    reconcile: int = 600
    log: str = "info"
    limits: Limits = Limits()
    admission: tuple[str, int] | None = None
    certificate: tuple[str, str] = ("", "")

    def __repr__(self) -> str:
        return f"Settings(app={self.app!r}, server={self.server!r})"

    def key(self) -> str:
        """The private key. Raises UsageError."""
        return _file("NETREACH_PRIVATE_KEY_FILE", self.key_file)


def read(environ: Mapping[str, str]) -> Settings:
    """The settings. Raises UsageError, which never has a secret in its words."""
    app = environ.get("NETREACH_APP_ID", "").strip()
    if not app or not app.isascii() or not app.isalnum() and "." not in app:
        raise UsageError("NETREACH_APP_ID: the App's id, a number on the App's page")
    server, api = addresses(environ)
    folder = environ.get("NETREACH_DATA_DIR", "") or os.path.join(os.getcwd(), "netreach-data")
    database = environ.get("NETREACH_DATABASE_URL", "") or f"sqlite:///{os.path.join(folder, 'netreach.sqlite')}"
    if not database.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise UsageError("NETREACH_DATABASE_URL: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")
    key_file = environ.get("NETREACH_PRIVATE_KEY_FILE", "")
    if not key_file:
        raise UsageError("NETREACH_PRIVATE_KEY_FILE: the file with the App's private key (PEM)")
    metrics = environ.get("NETREACH_METRICS_LISTEN", "127.0.0.1:9464")
    admission = environ.get("NETREACH_ADMISSION_LISTEN", "")
    certificate = environ.get("NETREACH_TLS_CERT_FILE", ""), environ.get("NETREACH_TLS_KEY_FILE", "")
    if admission and not all(certificate):
        raise UsageError("NETREACH_ADMISSION_LISTEN needs NETREACH_TLS_CERT_FILE and NETREACH_TLS_KEY_FILE")
    return Settings(
        app,
        key_file,
        _secrets(environ),
        server,
        api,
        database,
        environ.get("NETREACH_CACHE_DIR", "") or os.path.join(folder, "cache"),
        _listen("NETREACH_LISTEN", environ.get("NETREACH_LISTEN", "") or "127.0.0.1:8080"),
        None if metrics in ("", "none") else _listen("NETREACH_METRICS_LISTEN", metrics),
        environ.get("NETREACH_EXECUTOR_ID", "") or environ.get("HOSTNAME", "") or os.uname().nodename,
        _switch(environ, "NETREACH_COMMENT_DRAFTS"),
        _switch(environ, "NETREACH_RENDER", "true"),
        _number(environ, "NETREACH_RECONCILE_SECONDS", 600),
        _log(environ),
        _limits(environ),
        _listen("NETREACH_ADMISSION_LISTEN", admission) if admission else None,
        certificate,
    )


def addresses(environ: Mapping[str, str]) -> tuple[str, str]:
    """Where people see GitHub, and its API. Raises UsageError."""
    server = _address(environ, "NETREACH_GITHUB_URL", PUBLIC)
    return server, _address(environ, "NETREACH_API_URL", _api(server))


def _secrets(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    found = []
    for name in ("NETREACH_WEBHOOK_SECRET", "NETREACH_WEBHOOK_SECRET_OLD"):
        text, file = environ.get(name), environ.get(f"{name}_FILE")
        if text is None and file is None:
            continue
        if text is not None and file is not None:
            raise UsageError(f"{name} and {name}_FILE: give one of them")
        value = text if text is not None else _file(f"{name}_FILE", file or "").rstrip("\r\n")
        if not value.strip():
            raise UsageError(f"{name} is empty: anyone could send webhooks then")
        found.append(value.encode("utf-8", "surrogateescape"))
    if not found or environ.get("NETREACH_WEBHOOK_SECRET", environ.get("NETREACH_WEBHOOK_SECRET_FILE")) is None:
        raise UsageError("NETREACH_WEBHOOK_SECRET (or NETREACH_WEBHOOK_SECRET_FILE): the secret of the App's webhook")
    return tuple(found)


def _limits(environ: Mapping[str, str]) -> Limits:
    usual = Limits()
    return Limits(
        _number(environ, "NETREACH_CACHE_MB", usual.cache // MEGABYTE) * MEGABYTE,
        _number(environ, "NETREACH_REPOSITORY_MB", usual.repository // MEGABYTE) * MEGABYTE,
        _number(environ, "NETREACH_MOST_QUEUED", usual.queued),
        _number(environ, "NETREACH_JOBS", usual.jobs),
        _number(environ, "NETREACH_REVIEW_SECONDS", usual.review),
        _number(environ, "NETREACH_FETCH_SECONDS", usual.fetch),
        _number(environ, "NETREACH_MEMORY_MB", usual.memory // MEGABYTE) * MEGABYTE,
        _number(environ, "NETREACH_PUSH_PULLS", usual.pushes, 0),
        _number(environ, "NETREACH_PUSH_SECONDS", usual.settle, 0),
        _number(environ, "NETREACH_WRITE_MILLISECONDS", usual.between_writes, 0),
    )


def _api(server: str) -> str:
    return "https://api.github.com" if server == PUBLIC else f"{server}/api/v3"


def _address(environ: Mapping[str, str], name: str, usual: str) -> str:
    text = (environ.get(name, "") or usual).rstrip("/")
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.username is None
        good = good and not parts.query and not parts.fragment and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"{name}: an address like {usual}")
    return text


def _listen(name: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"{name}: HOST:PORT, like 0.0.0.0:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104


def _number(environ: Mapping[str, str], name: str, usual: int, least: int = 1) -> int:
    text = environ.get(name, "") or str(usual)
    if not text.isascii() or not text.isdecimal() or len(text) > 12 or int(text) < least:
        raise UsageError(f"{name}: a whole number, at least {least}")
    return int(text)


def _switch(environ: Mapping[str, str], name: str, usual: str = "false") -> bool:
    text = (environ.get(name, "") or usual).lower()
    if text not in ("true", "false", "1", "0", "on", "off"):
        raise UsageError(f"{name}: true or false")
    return text in ("true", "1", "on")


def _log(environ: Mapping[str, str]) -> str:
    text = (environ.get("NETREACH_LOG", "") or "info").lower()
    if text not in ("debug", "info", "warning", "error"):
        raise UsageError("NETREACH_LOG: debug, info, warning or error")
    return text


def _file(name: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read(MEGABYTE)
    except OSError as error:
        raise UsageError(f"{name}: cannot read {path}: {error.strerror or error}") from None
