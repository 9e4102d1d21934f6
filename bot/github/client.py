"""A token and the address of an API in, a PyGithub client out that retries only what may be repeated; errors become PublishError.

What GitHub refused for its rate is tried again, whatever it was: it was not done. What failed on the way (a 5xx, a dropped connection)
is tried again unless it creates something: it may have been done, and whoever creates must look first (`comment`, `checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from github import Auth, Github
from github.GithubException import GithubException, RateLimitExceededException
from github.GithubRetry import GithubRetry
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from bot import __version__
from bot.errors import PublishError

if TYPE_CHECKING:
    from types import TracebackType

    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import ConnectionPool

PUBLIC_API = "https://api.github.com"
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "PATCH"})
LIMITED = (403, 429)
Answered = Callable[[int, Mapping[str, Any]], None]


class Patience(NamedTuple):
    """How long to keep trying, in seconds but for `tries`.

    `secondary_wait` after a rate limit that does not say how long, doubled each time; nothing waits longer than `longest_wait`, it fails
    instead. `between_writes`: GitHub asks for a second. Best practices for using the REST API, docs.github.com.
    """

    tries: int = 5
    backoff: float = 0.5
    secondary_wait: float = 60.0
    longest_wait: float = 120.0
    between_requests: float = 0.25
    between_writes: float = 1.0
    timeout: int = 15


class Refused(PublishError):
    """A call to GitHub that did not succeed.

    `kind`: forbidden (the token may not), limited (too many requests), too-long, missing, invalid, server, or network. `uncertain`:
    it may have been done all the same.
    """

    def __init__(self, message: str, kind: str, uncertain: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.uncertain = uncertain


class _Retry(GithubRetry):
    """PyGithub repeats creates after a 5xx and never an edit after a rate limit; this is the other way round."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Whether to come to `increment` for this answer."""
        return bool(self.total) and (
            status_code in LIMITED or (status_code >= 500 and self._is_method_retryable(method))
        )

    def increment(  # type: ignore[override]
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Retry:
        """The next try with its pause. Raises what the caller sees where there is none."""
        if response is None or response.status not in LIMITED:
            if _appends(method, url):
                if error is not None:
                    raise error
                return Retry.increment(self.new(total=0), method, url, response, error, _pool, _stacktrace)
            return Retry.increment(self, method, url, response, error, _pool, _stacktrace)
        words = _message(self.get_content(response, url or ""))  # type: ignore[arg-type]
        wait = self._wait(response, words)
        if wait is None or wait > (self.max_rate_limit_wait or 0):
            kind = GithubException if wait is None else RateLimitExceededException
            raise kind(response.status, {"message": words}, dict(response.headers))
        again = Retry.increment(self, method, url, response, error, _pool, _stacktrace)
        again.sleep = lambda response=None: _sleep(wait)  # type: ignore[method-assign]
        return again

    def _wait(self, response: BaseHTTPResponse, words: str) -> float | None:
        """Seconds until the next try may be made; None where it is no matter of rates."""
        told = response.headers.get("Retry-After", "")
        if told.isdigit():
            return float(told)
        if response.headers.get("X-RateLimit-Remaining") == "0":
            reset = response.headers.get("X-RateLimit-Reset", "")
            if reset.isdigit():
                from time import time

                return max(0.0, float(reset) - time()) + 1.0
        # Only the words tell a refusal for the rate from one for missing rights.
        if response.status == 403 and not any(word in words.lower() for word in ("rate limit", "abuse")):
            return None
        earlier = sum(1 for entry in self.history if entry.status in LIMITED)
        return float(self.secondary_rate_wait * 2**earlier)


def _appends(method: str | None, url: str | None) -> bool:
    """An update of a check run appends its annotations, so that a repetition could show them twice."""
    return method == "PATCH" and "/check-runs/" in (url or "")


def _sleep(seconds: float) -> None:
    from time import sleep

    sleep(seconds)


def _message(content: bytes | str) -> str:
    import json

    try:
        return str(json.loads(content).get("message", ""))[:500]
    except (ValueError, AttributeError):
        return ""


def connect(
    token: str | Auth.Auth,
    api: str = PUBLIC_API,
    patience: Patience = Patience(),  # noqa: B008
    wait: Callable[[str], None] | None = None,
    answered: Answered | None = None,
) -> Github:
    """A client; one for each thread. `api`: `https://HOST/api/v3` for GitHub Enterprise Server.

    `wait` is called with the method before each request, and returns when it may be made: clients that share it share their pace.
    `answered` is called with the status and the headers of each answer, retries left out, and with status 0 where there was none.
    """
    retry = _Retry(
        secondary_rate_wait=patience.secondary_wait,
        max_rate_limit_wait=patience.longest_wait,
        total=patience.tries,
        backoff_factor=patience.backoff,
        allowed_methods=REPEATABLE,
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    client = Github(
        auth=Auth.Token(token) if isinstance(token, str) else token,
        base_url=api.rstrip("/"),
        user_agent=f"netreach/{__version__}",
        timeout=patience.timeout,
        per_page=100,
        retry=retry,
        seconds_between_requests=patience.between_requests,
        seconds_between_writes=patience.between_writes,
        lazy=True,
    )
    if wait is not None:
        # PyGithub keeps its pace for each client; there is no public way to have several keep one.
        vars(client.requester)["_Requester__deferRequest"] = wait
    if answered is not None:
        vars(client.requester)["_Requester__requestRaw"] = _watched(client.requester, answered)
    return client


def _watched(requester: Any, answered: Answered) -> Callable[..., Any]:
    raw = requester._Requester__requestRaw

    def request(*arguments: Any, **named: Any) -> Any:
        try:
            status, headers, output = raw(*arguments, **named)
        except (RequestException, HTTPError, OSError):
            answered(0, {})
            raise
        except GithubException as error:
            answered(error.status, error.headers or {})
            raise
        answered(status, headers)
        return status, headers, output

    return request


@contextmanager
def told(what: str) -> Iterator[None]:
    """Whatever goes wrong inside is raised as Refused, in words: `what` could not be done, and why."""
    try:
        yield
    except GithubException as error:
        raise _refused(what, error) from None
    except (RequestException, HTTPError, OSError) as error:
        raise Refused(f"could not {what}: no answer from GitHub ({type(error).__name__})", "network", True) from None


def _refused(what: str, error: GithubException) -> Refused:
    data: Any = error.data if isinstance(error.data, dict) else {}
    message = str(data.get("message") or "")[:300]
    details = "; ".join(str(row.get("message") or row) for row in data.get("errors") or () if isinstance(row, dict))
    status = error.status
    if isinstance(error, RateLimitExceededException) or status == 429:
        return Refused(f"could not {what}: GitHub's rate limit is reached ({message}); try again later", "limited")
    if status in (401, 403):
        return Refused(f"could not {what}: the token may not do this ({message or status})", "forbidden")
    if status in (404, 410):
        return Refused(f"could not {what}: it is not there, or the token may not see it", "missing")
    if status == 422:
        kind = (
            "too-long" if "too long" in f"{message} {details}" or "maximum is" in f"{message} {details}" else "invalid"
        )
        return Refused(
            f"could not {what}: GitHub found it not valid ({message}{f': {details[:300]}' if details else ''})", kind
        )
    if status >= 500:
        return Refused(f"could not {what}: GitHub answered with {status}", "server", True)
    return Refused(f"could not {what}: GitHub answered with {status} {message}".rstrip(), "invalid")
