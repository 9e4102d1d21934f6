"""Where the App will stand in, its registration out: GitHub's App manifest, and the page that sends it there in one click.

The way back brings a code, which is good for one hour and once, for the App's id, its key and the webhook's secret.
https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from html import escape
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from bot.errors import PublishError, UsageError
from bot.server.settings import addresses

if TYPE_CHECKING:
    from argparse import Namespace

PERMISSIONS = {
    "metadata": "read",
    "contents": "read",
    "pull_requests": "write",
    "checks": "write",
    "merge_queues": "read",
}
"""All that the App asks for, and what for: docs/app.md."""
SUBSCRIBED = ("check_run", "check_suite", "merge_group", "pull_request", "push", "repository")
"""Events to choose; those of installations come to every App."""
PATH = "/webhooks/github"
TIMEOUT = 15
HOME = "https://github.com/netreach/netreach"


class Registered(NamedTuple):
    """What a registration gave: the App's id and slug, its page, and its two secrets."""

    id: int
    slug: str
    url: str
    key: str
    secret: str


def manifest(url: str, name: str = "netreach", back: str = "", public: bool = False) -> dict[str, Any]:
    """The manifest of an App that receives webhooks below `url`. `back`: where GitHub sends the browser afterwards. Raises UsageError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(
            f"{ascii(url[:200])}: the address that GitHub can reach the App at, like https://netreach.example.com"
        )
    if not 0 < len(name) <= 34:
        raise UsageError("an App's name has 1 to 34 characters")
    out: dict[str, Any] = {
        "name": name,
        "url": HOME,
        "description": "Shows which network paths a pull request opens or closes in Kubernetes, and why.",
        "hook_attributes": {"url": url.rstrip("/") + PATH, "active": True},
        "public": public,
        "default_permissions": PERMISSIONS,
        "default_events": list(SUBSCRIBED),
    }
    if back:
        out["redirect_url"] = back
    return out


def page(value: Mapping[str, Any], server: str, organization: str = "", state: str = "") -> str:
    """A page with one button, which registers the App for the organization, or for who presses it."""
    owner = f"organizations/{quote(organization, safe='')}/settings" if organization else "settings"
    action = f"{server}/{owner}/apps/new" + (f"?state={quote(state, safe='')}" if state else "")
    rights = "".join(
        f"<li>{escape(name)}: {escape(level)}</li>" for name, level in value["default_permissions"].items()
    )
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8><title>Register netreach</title>\n"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}"
        "button{font:inherit;padding:.5rem 1rem}</style>\n"
        f"<h1>Register {escape(str(value['name']))}</h1>\n"
        f"<p>On {escape(server)}{f' for {escape(organization)}' if organization else ''}, "
        f"with webhooks to {escape(value['hook_attributes']['url'])}, and these permissions:</p>\n<ul>{rights}</ul>\n"
        f'<form method=post action="{escape(action)}">\n'
        f'<input type=hidden name=manifest value="{escape(json.dumps(value))}">\n'
        "<button>Register</button>\n</form></html>\n"
    )


def converted(api: str, code: str) -> Registered:
    """What the code stands for. Raises PublishError."""
    import requests

    try:
        answer = requests.post(
            f"{api}/app-manifests/{quote(code, safe='')}/conversions",
            headers={"Accept": "application/vnd.github+json"},
            timeout=TIMEOUT,
        )
        data = answer.json()
        return Registered(
            int(data["id"]), str(data["slug"]), str(data["html_url"]), str(data["pem"]), str(data["webhook_secret"])
        )
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise PublishError(
            f"could not register the App: {type(error).__name__}; the code is good once and for an hour"
        ) from None


def keep(found: Registered, folder: str, server: str) -> tuple[str, str]:
    """Write the key and the settings, for their owner alone, where nothing is yet; their names. Raises UsageError."""
    key, settings = (os.path.join(folder, name) for name in ("netreach.private-key.pem", "netreach.env"))
    lines = [
        f"NETREACH_APP_ID={found.id}",
        f"NETREACH_PRIVATE_KEY_FILE={os.path.abspath(key)}",
        f"NETREACH_WEBHOOK_SECRET={found.secret}",
        f"NETREACH_GITHUB_URL={server}",
    ]
    try:
        os.makedirs(folder, exist_ok=True)
        for file, text in ((key, found.key), (settings, "\n".join(lines) + "\n")):
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                stream.write(text)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror or error}") from None
    return key, settings


def command(options: Namespace, environ: Mapping[str, str]) -> str:
    """What `netreach app manifest` and `register` print. Raises NetreachError."""
    if options.part == "manifest":
        return json.dumps(manifest(options.url, options.name), indent=2) + "\n"
    server, api = addresses(environ)
    made = register(options.url, server, api, options.name, options.org, options.out, options.port, _tell)
    return f"Registered {made.slug} ({made.id}). Settings: {options.out}/netreach.env. Install it: {made.url}/installations/new\n"


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def register(
    url: str, server: str, api: str, name: str, organization: str, folder: str, port: int, tell: Callable[[str], object]
) -> Registered:
    """Serve the page on this machine until GitHub sends the browser back, and write what comes of it. Raises NetreachError.

    `tell` is given where to open it.
    """
    state = secrets.token_urlsafe(24)
    found: list[Registered | Exception] = []
    here: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:  # noqa: N802
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            if parts.path == "/":
                self._say(200, page(manifest(url, name, here[0]), server, organization, state))
            elif parts.path != "/registered" or not secrets.compare_digest(
                query.get("state", [""])[0].encode(), state.encode()
            ):
                self._say(404, "not here\n")
            else:
                try:
                    made = converted(api, query.get("code", [""])[0])
                    keep(made, folder, server)
                    found.append(made)
                    self._say(200, f"Registered. Install it: {made.url}/installations/new\n", "text/plain")
                except (PublishError, UsageError) as error:
                    found.append(error)
                    self._say(502, f"{error}\n", "text/plain")

        def _say(self, status: int, text: str, kind: str = "text/html") -> None:
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    manifest(url, name)
    try:
        listening = HTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UsageError(f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}") from None
    with listening:
        own = f"http://127.0.0.1:{listening.server_port}/"
        here.append(f"{own}registered")
        tell(f"Open {own} and press the button.")
        while not found:
            listening.handle_request()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]
