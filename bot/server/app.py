"""Settings and a queue in, the web application out: webhooks are verified and stored here, and nothing else is done with them.

A delivery is answered with 202 once it is on disk, so that whatever happens then it is not lost; GitHub itself never sends one again.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from bot.server import log
from bot.server.deliveries import Job, interpret

if TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

    from bot.server.health import Health
    from bot.server.metrics import Metrics
    from bot.server.settings import Settings

# GitHub sends at most 25 MB; what is larger is not from there.
LARGEST = 25 * 1024 * 1024 + 1024


class Full(Exception):
    """The queue cannot take a job now: it is full, or its store does not answer."""


class Queue(Protocol):
    """Where jobs are put."""

    def put(self, delivery: str, job: Job) -> bool:
        """Store a job; once this returns it is on disk. False: this delivery is known, and done or under way. Raises Full."""


def create_app(settings: Settings, queue: Queue, metrics: Metrics | None = None, health: Health | None = None) -> Flask:
    """The application (WSGI)."""
    from flask import Flask, request
    from werkzeug.exceptions import RequestEntityTooLarge

    app = Flask("netreach", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_: RequestEntityTooLarge) -> ResponseReturnValue:
        return {"error": "too large"}, 413

    @app.post("/webhooks/github")
    def webhook() -> ResponseReturnValue:
        status, answer = delivered()
        event, delivery = (request.headers.get(name, "")[:64] for name in ("X-GitHub-Event", "X-GitHub-Delivery"))
        if metrics is not None:
            metrics.delivery(event, status)
        why = answer.get("error") or answer.get("ignored")
        log.say("delivery", "info" if status < 300 else "warning", event=event, delivery=delivery, status=status, why=why)
        return answer, status

    def delivered() -> tuple[int, dict[str, Any]]:
        body = request.get_data(cache=False)
        signature = request.headers.get("X-Hub-Signature-256", "")
        if not signed(body, signature, settings.secrets):
            return 401, {"error": "the signature is missing or wrong"}
        if request.mimetype != "application/json":
            return 415, {"error": "set the webhook's content type to application/json"}
        event, delivery = (request.headers.get(name, "") for name in ("X-GitHub-Event", "X-GitHub-Delivery"))
        return receive(event, delivery, body, queue)

    @app.post("/admission/validate")
    def admission() -> ResponseReturnValue:
        status, answer = validated(request.get_data(cache=False), metrics)
        return answer, status

    @app.get("/healthz")
    def healthy() -> ResponseReturnValue:
        return {"status": "ok"}

    @app.get("/readyz")
    def ready() -> ResponseReturnValue:
        only = [name for name in request.args.get("only", "").split(",") if name]
        parts = {} if health is None else health.parts(only)
        return parts, 200 if all(words == "ok" for words in parts.values()) else 503

    return app


def validated(body: bytes, metrics: Metrics | None = None) -> tuple[int, dict[str, Any]]:
    """The status and the answer for an AdmissionReview, counted."""
    from bot.server.admission import answer

    status, found = answer(body)
    decision = ("allowed" if found["response"]["allowed"] else "refused") if status == 200 else "malformed"
    if metrics is not None:
        metrics.admission(decision)
    if decision != "allowed":
        why = found.get("error") or found["response"]["status"]["message"]
        log.say("admission", "warning", decision=decision, why=why)
    return status, found


def signed(body: bytes, signature: str, secrets: Sequence[bytes]) -> bool:
    """Whether `signature` (the header X-Hub-Signature-256) is that of the raw body, by any of the secrets.

    Bytes are compared: of two strings, one that is not ASCII would be an error and not a no.
    https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    """
    given = signature.encode("utf-8", "surrogateescape")
    found = [
        hmac.compare_digest(b"sha256=" + hmac.digest(key, body, "sha256").hex().encode(), given) for key in secrets
    ]
    return any(found)


def receive(event: str, delivery: str, body: bytes, queue: Queue) -> tuple[int, dict[str, Any]]:
    """The status and the answer for a delivery whose signature is right."""
    if not event or not _identifier(delivery):
        return 400, {"error": "X-GitHub-Event or X-GitHub-Delivery is missing"}
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return 400, {"error": "the body is not JSON"}
    if not isinstance(payload, dict):
        return 400, {"error": "the body is not an object"}
    found = interpret(event, payload)
    if isinstance(found, str):
        return (400, {"error": found.removeprefix("!")}) if found.startswith("!") else (200, {"ignored": found})
    try:
        new = queue.put(delivery, found)
    except Full as error:
        return 503, {"error": str(error)}
    return (202, {"queued": delivery}) if new else (200, {"ignored": "this delivery is done or under way"})


def _identifier(text: str) -> bool:
    return 0 < len(text) <= 64 and text.isascii() and text.replace("-", "").isalnum()
