"""Two commits of a copy on disk in, their review out: the command that a person runs, in a process of its own with limits.

What a pull request holds is hostile: it is read where there are no secrets, where time and memory end, and where a fault ends only it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, NamedTuple

import bot
from bot.errors import GitError, InternalError, NetreachError, NoManifests, UsageError

if TYPE_CHECKING:
    from bot.config import Check, Comment
    from bot.review import Review
    from bot.server.settings import Limits

_ERRORS = {2: UsageError, 4: NoManifests, 5: GitError}


class Wishes(NamedTuple):
    """What the base's config says of the comment and the check; `configured`: whether there is a config."""

    comment: Comment
    check: Check
    configured: bool


def wishes(path: str, base: str) -> Wishes:
    """What the config on the base side wants. One with a mistake wants nothing: the review says what is wrong. Raises GitError."""
    from bot.config import Check, Comment, parse
    from bot.sources.git import read_ref
    from bot.sources.select import SETTINGS_FILES, find_config

    try:
        found = find_config(read_ref(path, base, SETTINGS_FILES).contents)
        config = None if found is None else parse(*found)
    except UsageError:
        return Wishes(Comment(), Check(), True)
    return Wishes(Comment(), Check(), False) if config is None else Wishes(config.comment, config.check, True)


def compare(path: str, base: tuple[str, str], head: str, limits: Limits, empty: bool, render: bool) -> Review:
    """The review of what merging `head` into `base` (what people call it, and the commit) changes.

    `empty`: no manifests at all are no error. `render`: whether Helm and Kustomize may be run. Raises NetreachError.
    """
    from bot.report import stored

    name, commit = base
    with tempfile.TemporaryDirectory(prefix="netreach-") as folder:
        file = os.path.join(folder, "report.json")
        arguments = ["--repo", path, "--base", commit, "--head", head, "--mode", "merge", "--quiet", "-o", f"json={file}"]
        arguments += [*(["--allow-empty"] if empty else []), *([] if render else ["--render", "off"])]
        status, said = _run(["diff", *arguments], folder, limits)
        if not os.path.exists(file):
            raise _error(status, said)
        found = stored.read(file)
    notes = tuple(note.replace(commit, commit[:12]).replace(head, head[:12]) for note in found.notes)
    return found._replace(base=found.base._replace(ref=name), notes=notes)


def _run(arguments: list[str], folder: str, limits: Limits) -> tuple[int, str]:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    environment |= {
        "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.abspath(bot.__file__))),
        "TMPDIR": folder,
    }
    # The unit of ulimit -v is 1,024 bytes. The limit of CPU time ends it too where this process is gone.
    script = f'ulimit -v {limits.memory // 1024} && ulimit -t {limits.review} && exec "$0" "$@"'
    limited = ["sh", "-c", script, sys.executable, "-m", "bot"]
    with subprocess.Popen(  # noqa: S603
        [*limited, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=limits.review)
        except subprocess.TimeoutExpired:
            raise InternalError(f"the comparison took longer than {limits.review} seconds") from None
        finally:
            _end(process)
    return process.returncode, said.decode("utf-8", "backslashreplace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it with all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _error(status: int, said: str) -> NetreachError:
    lines = [line.removeprefix("netreach: ") for line in said.strip().splitlines() if line.startswith("netreach: ")]
    words = "\n".join(lines[-5:]) or f"the comparison ended with {json.dumps(status)} and said nothing"
    return _ERRORS.get(status, InternalError)(words)
