"""The environment in, what of it would keep the App from working out, each with what mends it: `netreach app doctor`.

Nothing is changed anywhere but that the database is prepared, as every start does.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.errors import NetreachError, UsageError
from bot.server.manifest import PATH, PERMISSIONS, SUBSCRIBED

if TYPE_CHECKING:
    from github import Github

    from bot.server.settings import Settings

LEVELS = ("none", "read", "write", "admin")
OLDEST_SERVER = (3, 14)
LITTLE_SPACE = 1_000_000_000
SHOWN = 30


class Finding(NamedTuple):
    """One thing that was looked at. `state`: ok, warning (it works, but), failure (it does not work), or unknown."""

    state: str
    what: str
    words: str


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that can be looked at, one after the other; what rests on something that failed is left out."""
    from bot.server import settings

    yield git()
    try:
        found = settings.read(environ)
    except UsageError as error:
        yield Finding("failure", "settings", str(error))
        return
    yield Finding("ok", "settings", f"App {found.app} on {found.server}")
    yield address(found)
    yield from key(found)
    yield database(found)
    yield cache(found)
    if found.render:
        yield rendering()
    yield clock(found)
    yield from on_github(found)


def exit_code(findings: list[Finding]) -> int:
    """1 if anything fails."""
    return int(any(one.state == "failure" for one in findings))


def shown(one: Finding) -> str:
    """One line."""
    from bot.report.escape import plain

    return f"{one.state:8} {one.what:14} {plain(one.words, 600)}"


# --- This machine ---


def git() -> Finding:
    """Git is there, and new enough to merge without a work tree."""
    from bot.sources.fetch import run
    from bot.sources.plumbing import OLDEST

    try:
        words = run(".", "version").removeprefix("git version ")
    except NetreachError as error:
        return Finding("failure", "git", str(error))
    parts = words.split(".")
    if not all(part.isdecimal() for part in parts[:2]) or tuple(map(int, parts[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return Finding("failure", "git", f"{words or 'nothing'} cannot merge without a work tree: install {oldest} or newer")
    return Finding("ok", "git", words)


def address(settings: Settings) -> Finding:
    """The addresses of a GitHub Enterprise Server fit each other and are not in the clear."""
    if settings.server != "https://github.com" and settings.api == "https://api.github.com":
        return Finding("failure", "addresses", f"{settings.server} with the API of github.com: leave NETREACH_API_URL out")
    if settings.server == "https://github.com" and settings.api != "https://api.github.com":
        return Finding("failure", "addresses", f"github.com with the API {settings.api}: set NETREACH_GITHUB_URL too")
    if not settings.api.startswith("https://"):
        return Finding("warning", "addresses", f"{settings.api} is not https: tokens go there in the clear")
    return Finding("ok", "addresses", settings.api)


def key(settings: Settings) -> Iterator[Finding]:
    """The App's key is one, and nobody else's to read."""
    from bot.server.health import key_problem

    if words := key_problem(settings):
        yield Finding("failure", "key", words)
        return
    mode = stat.S_IMODE(os.stat(settings.key_file).st_mode)
    if mode & 0o007:
        yield Finding("warning", "key", f"{settings.key_file} may be read by everybody here: chmod 600")
    else:
        yield Finding("ok", "key", settings.key_file)


def database(settings: Settings) -> Finding:
    """The database answers and can be written to, and a worker runs."""
    from bot.server.app import Full
    from bot.server.health import MOST_SILENCE
    from bot.server.store import Store

    kind = "SQLite" if settings.database.startswith("sqlite") else "PostgreSQL"
    try:
        store = Store(settings.database)
        store.prepare()
        store.writable()
        silent = store.heartbeat()
        depth = store.depth()
        store.close()
    except (UsageError, Full) as error:
        return Finding("failure", "database", str(error))
    if silent is None or silent > MOST_SILENCE:
        return Finding("warning", "database", f"{kind} answers, but no worker runs: netreach app worker")
    return Finding("ok", "database", f"{kind}; {depth.waiting} jobs wait, {depth.running} run")


def cache(settings: Settings) -> Finding:
    """Repositories can be kept."""
    try:
        os.makedirs(settings.cache, mode=0o700, exist_ok=True)
        probe = os.path.join(settings.cache, f".doctor-{os.getpid()}")
        with open(probe, "wb"):
            pass
        os.unlink(probe)
        free = shutil.disk_usage(settings.cache).free
    except OSError as error:
        return Finding("failure", "cache", f"cannot write to {settings.cache}: {error.strerror or error}")
    if free < min(LITTLE_SPACE, settings.limits.cache):
        return Finding("warning", "cache", f"{free // 1_000_000} MB are free for {settings.cache}")
    return Finding("ok", "cache", f"{settings.cache}, {free // 1_000_000_000} GB free")


def rendering() -> Finding:
    """What renders charts and overlays is there."""
    from bot.render import helm, kustomize

    missing = [name for name, tool in (("helm", helm.tool()), ("kustomize", kustomize.tool())) if tool is None]
    if missing:
        words = f"NETREACH_RENDER is on, but {' and '.join(missing)} is not here: pip install 'netreach[render]'"
        return Finding("warning", "render", words)
    return Finding("ok", "render", f"{helm.version()}, {kustomize.version()}")


def clock(settings: Settings) -> Finding:
    """This clock is GitHub's, as nearly as tokens need it."""
    from bot.server.health import skew, skew_problem

    seconds = skew(settings.api)
    if seconds is None:
        return Finding("failure", "clock", f"{settings.api} does not answer: is the network open, and the address right?")
    words = skew_problem(seconds)
    return Finding("failure", "clock", words) if words else Finding("ok", "clock", f"{abs(seconds):.0f} seconds off")


# --- GitHub ---


def on_github(settings: Settings) -> Iterator[Finding]:
    """What GitHub knows of the App."""
    from bot.github.client import told
    from bot.server.access import Access

    try:
        client = Access(settings).app()
        with told("read the App"):
            headers, app = client.requester.requestJsonAndCheck("GET", "/app")
    except NetreachError as error:
        yield Finding("failure", "app", f"{error}: is NETREACH_APP_ID the one of this key?")
        return
    yield Finding("ok", "app", f"{app.get('slug')}, {app.get('html_url')}")
    yield server(headers)
    yield from permissions(app.get("permissions") or {}, "permissions", "the App's page, Permissions & events")
    yield events(app.get("events") or [])
    for look in (webhook, deliveries, installations):
        yield from _asked(look, client)


def _asked(look: Callable[[Github], Iterator[Finding]], client: Github) -> Iterator[Finding]:
    try:
        yield from list(look(client))
    except NetreachError as error:
        yield Finding("unknown", look.__name__, str(error))


def server(headers: Mapping[str, Any]) -> Finding:
    """The version of a GitHub Enterprise Server."""
    text = str(headers.get("x-github-enterprise-version", ""))
    parts = text.removeprefix("enterprise-server@").split(".")
    if not text or not all(part.isdecimal() for part in parts[:2]):
        return Finding("ok", "server", "github.com")
    if tuple(map(int, parts[:2])) < OLDEST_SERVER:
        return Finding("warning", "server", f"{text}: netreach is made for {'.'.join(map(str, OLDEST_SERVER))} and newer")
    return Finding("ok", "server", text)


def permissions(has: Mapping[str, Any], what: str, where: str) -> Iterator[Finding]:
    """The five are there, and no more than these."""
    rank = {name: index for index, name in enumerate(LEVELS)}
    missing = [f"{n}: {level}" for n, level in PERMISSIONS.items() if rank.get(str(has.get(n, "none")), 0) < rank[level]]
    # Without it only merge queues are not served.
    fatal = [one for one in missing if not one.startswith("merge_queues")]
    if missing:
        yield Finding("failure" if fatal else "warning", what, f"missing {', '.join(missing)} ({where})")
    extra = [f"{n}: {level}" for n, level in sorted(has.items()) if rank.get(str(level), 0) > rank[PERMISSIONS.get(n, "none")]]
    if extra:
        yield Finding("warning", what, f"not needed: {', '.join(extra[:SHOWN])}")
    if not missing and not extra:
        yield Finding("ok", what, ", ".join(f"{name}: {level}" for name, level in PERMISSIONS.items()))


def events(has: list[Any]) -> Finding:
    """Every event is subscribed to that is listened to."""
    missing = [name for name in SUBSCRIBED if name not in has]
    if "pull_request" in missing:
        return Finding("failure", "events", f"not subscribed: {', '.join(missing)} (the App's page, Permissions & events)")
    if missing:
        return Finding("warning", "events", f"not subscribed: {', '.join(missing)} (the App's page, Permissions & events)")
    return Finding("ok", "events", ", ".join(SUBSCRIBED))


def webhook(client: Github) -> Iterator[Finding]:
    """Where deliveries go, signed and as JSON."""
    from bot.github.client import told

    with told("read the App's webhook"):
        _, found = client.requester.requestJsonAndCheck("GET", "/app/hook/config")
    url = str(found.get("url") or "")
    # PyGithub puts the path of the request where an answer has no `url`.
    if not url or url.startswith("/"):
        yield Finding("failure", "webhook", f"there is no URL: set it to the App's address with {PATH}")
        return
    wrong = []
    if not url.rstrip("/").endswith(PATH):
        wrong.append(f"{url} does not end with {PATH}")
    if not found.get("secret"):
        wrong.append("there is no secret: every delivery is refused")
    if found.get("content_type") != "json":
        wrong.append("the content type is not application/json")
    if wrong:
        yield Finding("failure", "webhook", "; ".join(wrong))
    elif str(found.get("insecure_ssl", "0")) != "0" or not url.startswith("https://"):
        yield Finding("warning", "webhook", f"{url} is not verified: use https and have GitHub verify it")
    else:
        yield Finding("ok", "webhook", url)


def deliveries(client: Github) -> Iterator[Finding]:
    """What became of the last deliveries: a wrong secret shows here."""
    from bot.github.client import told

    with told("list the App's deliveries"):
        _, rows = client.requester.requestJsonAndCheck("GET", "/app/hook/deliveries", parameters={"per_page": str(SHOWN)})
    failed: dict[int, int] = {}
    for row in rows:
        status = int(row.get("status_code") or 0)
        if not 200 <= status < 300:
            failed[status] = failed.get(status, 0) + 1
    if not rows:
        yield Finding("unknown", "deliveries", "none yet")
        return
    said = ", ".join(f"{count} with {status or 'no answer'}" for status, count in sorted(failed.items()))
    hint = "; 401: the secrets differ" if 401 in failed else ""
    words = f"of the last {len(rows)}, {sum(failed.values())} failed ({said}{hint})" if failed else f"the last {len(rows)} arrived"
    yield Finding("warning" if failed else "ok", "deliveries", words)


def installations(client: Github) -> Iterator[Finding]:
    """Where it is installed, and what was not accepted there."""
    from bot.github.client import told

    with told("list the App's installations"):
        _, rows = client.requester.requestJsonAndCheck("GET", "/app/installations", parameters={"per_page": "100"})
    if not rows:
        yield Finding("warning", "installations", "none: install it from the App's page")
        return
    yield Finding("ok", "installations", f"{len(rows)}{' or more' if len(rows) == 100 else ''}")
    for row in rows:
        who = str((row.get("account") or {}).get("login") or row.get("id"))
        if row.get("suspended_at"):
            yield Finding("warning", "installation", f"{who} is suspended")
        else:
            for one in permissions(row.get("permissions") or {}, "installation", f"{who} has to accept them"):
                if one.state != "ok" and not one.words.startswith("not needed"):
                    yield one
