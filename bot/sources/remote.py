"""Addresses and the list of those that may be fetched in; what stands at them out, without credentials and within limits.

Only https is spoken, and nothing is fetched that the list does not name: no redirect leads elsewhere, no submodule is followed,
no hook, helper or setting of this machine counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bot.errors import GitError
from bot.sources.fetch import fetch

SECONDS = 120
MOST_BYTES = 200_000_000
LARGEST_FILE = 20_000_000
# Addresses that are somewhere else than they say; filled by tests alone, which have no network.
PLACES: dict[str, str] = {}
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_PART = re.compile(r"[A-Za-z0-9._~!$'()*+,;=:@-]+")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Unreachable(Exception):
    """Why nothing was fetched, in words for people."""


class Unauthorized(Unreachable):
    """The server wants to know who asks; `challenge`: what it says of how (WWW-Authenticate)."""

    def __init__(self, challenge: str) -> None:
        super().__init__("the server says 401")
        self.challenge = challenge


class Address(NamedTuple):
    """An address in one spelling: the scheme (https or oci), the host with a port that is named, and the parts of its path."""

    scheme: str
    host: str
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return "/".join((f"{self.scheme}://{self.host}", *self.parts))


def address(text: str) -> Address:
    """Raises ValueError, with the reason, for whatever has two readings: a user, `..`, an escape, a query, another scheme."""
    scheme, colon, rest = text.partition("://")
    scheme = scheme.lower()
    if not colon or scheme not in ("https", "oci"):
        raise ValueError("it must begin with https:// or oci://")
    host, *parts = rest.split("/")
    if "@" in host:
        raise ValueError("it names a user")
    name, colon, port = host.lower().partition(":")
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise ValueError("its host is none")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError("its port is none")
    if colon and int(port) != 443:
        name = f"{name}:{int(port)}"
    if parts and not parts[-1]:
        parts = parts[:-1]
    if any(part in ("", ".", "..") or not _PART.fullmatch(part) for part in parts):
        raise ValueError("its path has an empty part, '.', '..', an escape or a query")
    return Address(scheme, name, tuple(parts))


def permitted(wanted: Address, allowed: Iterable[Address]) -> bool:
    """Whether an address is one of the list, or below one; a repository is the same with `.git` and without."""
    return any(
        one.scheme == wanted.scheme
        and one.host == wanted.host
        and _bare(one.parts) == _bare(wanted.parts[: len(one.parts)])
        for one in allowed
    )


def _bare(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.removesuffix(".git") for part in parts)


class Commit(NamedTuple):
    """What a ref of a repository is now. `floats`: it names a branch, and may be another commit tomorrow."""

    sha: str
    floats: bool


def commit(folder: str, repository: Address, ref: str) -> Commit:
    """Fetch one commit, without its history, into a new bare repository at `folder`; `ref` '': the default branch. Raises Unreachable."""
    if ref and (not _REF.fullmatch(ref) or ".." in ref or "//" in ref or ref.endswith(("/", ".lock", "."))):
        raise Unreachable(f"its ref {ref[:60]!a} is none")
    if repository.scheme != "https":
        raise Unreachable("only https is spoken")
    place = _place(str(repository))
    environment = _environment(folder, "file" if place.startswith("file://") else "https")
    _init(folder, environment)
    pinned = bool(_COMMIT.fullmatch(ref))
    tries = [ref] if pinned else [*([f"refs/tags/{ref}"] if ref else []), ref or "HEAD"]
    for index, name in enumerate(tries):
        try:
            fetch(
                folder,
                place,
                [f"+{name}:refs/netreach/fetched"],
                seconds=SECONDS,
                most=MOST_BYTES,
                depth=1,
                environment=environment,
                settings=_SETTINGS,
            )
        except GitError as error:
            if index == len(tries) - 1 or "remote ref" not in str(error):
                raise Unreachable(_words(str(error).rpartition("fatal: ")[2], place, repository)) from None
        else:
            return Commit(_sha(folder, environment), not pinned and (not ref or index == 1))
    raise Unreachable("it has no such ref")


_SETTINGS = (
    "http.followRedirects=false",
    "credential.helper=",
    "core.askPass=",
    "core.sshCommand=false",
    "fetch.unpackLimit=1",
    "fetch.recurseSubmodules=false",
    "transfer.bundleURI=false",
    "submodule.recurse=false",
)


def _init(folder: str, environment: Mapping[str, str]) -> None:
    import subprocess

    try:
        subprocess.run(  # noqa: S603
            ["git", "init", "--quiet", "--bare", "--template=", folder],  # noqa: S607
            env=environment,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        raise Unreachable("git cannot make a place for it") from None


def _sha(folder: str, environment: Mapping[str, str]) -> str:
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", folder, "rev-parse", "--verify", "--end-of-options", "refs/netreach/fetched^{commit}"],  # noqa: S607
            env=environment,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        raise Unreachable("its ref is no commit") from None
    return done.stdout.decode("ascii").strip()


_KEPT = ("PATH", "TMPDIR", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy") + (
    ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE")
)


def _environment(folder: str, protocol: str) -> dict[str, str]:
    """All that git sees of variables: where it is, the way out of this network, and the certificates that count here."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "HOME": os.path.join(folder, "none"),
        "XDG_CONFIG_HOME": os.path.join(folder, "none"),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CEILING_DIRECTORIES": os.path.dirname(os.path.abspath(folder)),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": protocol,
        "GIT_ASKPASS": "false",
        "GIT_SSH_COMMAND": "false",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def _place(url: str) -> str:
    return next((place + url[len(name) :] for name, place in PLACES.items() if url.startswith(name)), url)


def _words(said: str, place: str, named: Address) -> str:
    said = re.sub(r"(?<=//)[^/@\s]+@", "", said.replace(place, str(named)))
    said = "".join(character if character.isprintable() else " " for character in said)
    return said if len(said) <= 200 else said[:197] + "..."


def get(
    wanted: Address,
    allowed: Iterable[Address],
    most: int = LARGEST_FILE,
    headers: Mapping[str, str] | None = None,
    query: str = "",
) -> bytes:
    """The bytes at an address, of at most `most`; a redirect is followed to what is on the list, too, without an Authorization.

    `headers` and `query`: sent along. Raises Unreachable.
    """
    import time
    import urllib.error
    import urllib.request

    allowed = tuple(allowed)

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, request, answer, code, message, headers, url):  # type: ignore[no-untyped-def]
            plain = url.partition("?")[0]
            try:
                known = permitted(address(plain), allowed)
            except ValueError:
                known = False
            if not known:
                answer.close()
                raise Unreachable(f"it leads to {plain[:120]!a}, which render.remote does not name")
            made = super().redirect_request(request, answer, code, message, headers, url)
            if made is not None:
                made.remove_header("Authorization")
            return made

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        Redirects(),
    ):
        opener.add_handler(handler)
    if wanted.scheme != "https" or not permitted(wanted, allowed):
        raise Unreachable("render.remote does not name it")
    until = time.monotonic() + SECONDS
    place = _place(str(wanted)) + (f"?{query}" if query else "")
    request = urllib.request.Request(place, headers={"User-Agent": "netreach", **(headers or {})})  # noqa: S310
    data = bytearray()
    try:
        with opener.open(request, timeout=30) as answer:
            while more := answer.read1(1 << 16):
                data += more
                if len(data) > most:
                    raise Unreachable(f"it is larger than {most:,} bytes")
                if time.monotonic() > until:
                    raise Unreachable(f"it took longer than {SECONDS} seconds")
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 401:
                raise Unauthorized(error.headers.get("WWW-Authenticate", "")) from None
            raise Unreachable(f"the server says {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Unreachable(_words(str(getattr(reason, "strerror", None) or reason), str(wanted), wanted)) from None
    except Exception as error:
        if isinstance(error, Unreachable):
            raise
        # What http.client makes of an answer that is none has many names.
        raise Unreachable(f"its answer is none ({type(error).__name__})") from None
    return bytes(data)
