"""What happens in the App in, one JSON object a line on stderr out; what is secret, or looks like it, is struck out of every line.

Fields: `time` (UTC), `level`, `message`, and whatever belongs to it (`delivery`, `event`, `repository`, `status` ...).
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

NAME = "netreach"
LONGEST = 2_000
STRUCK = "***"
# Tokens of GitHub, web tokens, private keys, and passwords in addresses.
_SECRET = re.compile(
    r"\bgh[a-z]_[A-Za-z0-9_]{4,}|\bgithub_pat_[A-Za-z0-9_]+|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*-----|\Z)|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
)


class Line(logging.Formatter):
    """A record as one line of JSON. `secrets`: texts that are struck out wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._known = sorted({text for text in secrets if len(text) >= 4}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}
        if record.name != NAME:
            fields["logger"] = record.name
        fields |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
            fields["trace"] = self.formatException(record.exc_info)
        return json.dumps({name: self._clean(value) for name, value in fields.items()})

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        text = str(value)
        for secret in self._known:
            text = text.replace(secret, STRUCK)
        text = _SECRET.sub(STRUCK, text)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def setup(level: str = "info", secrets: Iterable[str] = ()) -> None:
    """Have every logger of this process write such lines from this level on; those of libraries from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # DBOS brings a handler of its own unless there is one.
    for name in (NAME, "dbos"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
    logging.getLogger(NAME).setLevel(level.upper())
    logging.getLogger("dbos").setLevel(logging.WARNING)


def say(message: str, level: str = "info", **fields: object) -> None:
    """Write one line."""
    logging.getLogger(NAME).log(logging.getLevelName(level.upper()), "%s", message, extra={"fields": fields})
