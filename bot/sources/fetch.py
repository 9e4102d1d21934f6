"""A repository on disk and what it lacks in, the commits fetched out: the only network access of git, used by the Action and the App."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from bot.errors import GitError

SECONDS = 600


def fetch(
    repo: str,
    remote: str,
    refspecs: Sequence[str],
    server: str = "",
    token: str = "",
    whole: bool = False,
    blobless: bool = False,
    seconds: int = SECONDS,
    most: int = 0,
    depth: int = 0,
    environment: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
) -> None:
    """Fetch the refspecs into the repository. Raises GitError, without the token in its words.

    `token` goes to addresses below `server` (`https://github.com`) only, by way of the environment: it is in no argument and
    in no file. `whole`: a shallow clone gets its whole history. `blobless`: no file contents but those asked for by their id.
    `seconds`: how long it may take; `most`: how many bytes a file may have that it writes (0: any); `depth`: how many commits (0: all).
    `environment`: all of the variables that git sees, in place of ours; `settings`: of git, for this fetch.
    """
    arguments = ["git", "-C", repo, "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false"]
    for setting in settings:
        arguments += ["-c", setting]
    arguments += ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
    if whole and run(repo, "rev-parse", "--is-shallow-repository") == "true":
        arguments.append("--unshallow")
    if depth:
        arguments.append(f"--depth={depth}")
    if blobless:
        arguments.append("--filter=blob:none")
    if most:
        # The unit of ulimit is 512 bytes; git ends when it is over the limit, and its temporary files are removed with the copy.
        arguments = ["sh", "-c", 'ulimit -f "$0" && exec "$@"', str(most // 512 + 1), *arguments]
    given = "".join(f"{refspec}\n" for refspec in refspecs).encode("utf-8", "surrogateescape")
    status, complaint = _run(
        [*arguments, "--stdin", "--", remote], given, environment or _environment(server, token), seconds
    )
    if status != 0:
        said = complaint.decode("utf-8", "backslashreplace").strip().splitlines()
        shown = f"{', '.join(refspecs[:3])}{f' and {len(refspecs) - 3} more' if len(refspecs) > 3 else ''}"
        words = next((line for line in said if line.startswith(("fatal:", "error:"))), said[-1] if said else "")
        raise GitError(f"git could not fetch {shown}: {words or 'it said nothing'}")


def _run(command: Sequence[str], given: bytes, environment: Mapping[str, str], seconds: int) -> tuple[int, bytes]:
    """The status, and what it complained of. In the end nothing of it is left: git has children that wait for the other side."""
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror or error}") from None
    with process:
        try:
            _, complaint = process.communicate(given, seconds)
        except subprocess.TimeoutExpired:
            raise GitError(f"git fetch took longer than {seconds} seconds") from None
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, complaint


def run(repo: str, *arguments: str) -> str:
    """What a git command that reads says, '' where it fails. Raises GitError without git."""
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", repo, *arguments],  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror or error}") from None
    return done.stdout.decode("utf-8", "backslashreplace").strip() if done.returncode == 0 else ""


def _environment(server: str, token: str) -> dict[str, str]:
    out = {name: value for name, value in os.environ.items() if not name.startswith("NETREACH_")}
    out |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    if token and server:
        known = int(out.get("GIT_CONFIG_COUNT", "0") or 0)
        secret = base64.b64encode(f"x-access-token:{token}".encode()).decode("ascii")
        # The empty value drops what actions/checkout may have left: two headers are one too many for GitHub.
        for index, value in enumerate(("", f"AUTHORIZATION: basic {secret}"), known):
            out[f"GIT_CONFIG_KEY_{index}"] = f"http.{server.rstrip('/')}/.extraheader"
            out[f"GIT_CONFIG_VALUE_{index}"] = value
        out["GIT_CONFIG_COUNT"] = str(known + 2)
    return out
